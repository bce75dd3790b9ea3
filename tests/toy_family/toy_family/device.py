"""The device and the settings of the framework."""

from __future__ import annotations

from backends.contract import Job, Unsupported


def require_device(job: Job) -> None:
    """Raise `Unsupported` if the family cannot do the job; the report shows the text."""
    if job.device != "cpu":
        raise Unsupported("the toy runs on the CPU only")
    if job.precision != "float32" or job.compiled or job.mode != "matched":
        raise Unsupported("the toy trains uncompiled, in float32, in matched mode")


def settings() -> dict[str, str | int | bool | None]:
    """The settings as the framework reports them; copies of the job's values are useless."""
    return {"dtype": "float64", "compiled": False, "device": "cpu"}
