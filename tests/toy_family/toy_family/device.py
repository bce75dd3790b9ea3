"""Where it computes, and what it says of how it is set."""

from __future__ import annotations

from backends.contract import Job, Unsupported


def require_device(job: Job) -> None:
    """Raise `Unsupported` for what it cannot do; the text becomes a row of the report."""
    if job.device != "cpu":
        raise Unsupported("the toy runs on the CPU only")
    if job.precision != "float32" or job.compiled or job.mode != "matched":
        raise Unsupported("the toy knows no other precision, compiler or mode")


def settings() -> dict[str, str | int | bool | None]:
    """Read back from the framework, where it can tell; never repeated from the job."""
    return {"dtype": "float64", "compiled": False, "device": "cpu"}
