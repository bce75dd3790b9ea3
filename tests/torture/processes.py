"""Real processes of `bench run` on a small workload, and what they leave behind.

Every process has a mark in its variables that its children inherit, so that orphans are found
wherever they are.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.records.files import PROJECT
from bench.records.job import Record
from bench.records.run import read_run
from tests.torture.campaign import Fault
from tests.torture.oracles import (
    facts,
    no_traceback,
    nothing_left,
    plain_terminal,
    same_records,
    tail,
    whole_files,
)

ORPHAN_SECONDS = 2.0
PARENT_BYTES = 200 * 10**6
_MARK = "TORTURE_MARK"
_WORKER = b"bench/worker/start.py"  # in the command of every worker
_FAMILY = PROJECT / "tests" / "torture" / "family"  # its backend misbehaves when told to
_MEMORY_BYTES = 2 * 2**30  # of the parent and of each worker
_END_SECONDS = 240.0  # an undisturbed run takes a tenth of it
_POLL_SECONDS = 0.005
_WORKLOAD = {
    "name": "tiny",
    "title": "Tiny",
    "input": {"shape": [4, 4, 1], "classes": 3},
    "layers": [{"type": "flatten"}, {"type": "dense", "units": 3, "activation": "linear"}],
    "loss": "softmax_cross_entropy",
    "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": False},
    "recipe": {
        "dataset": "synthetic",
        "batch_size": 50,
        "epochs": 40,
        "initializer": "glorot_uniform",
        "last_partial_batch": "keep",
        "target_accuracy": None,
    },
    "references": [],
}


class Ended(NamedTuple):
    """A process that has ended; `code` is None if it had to be killed as it did not end."""

    code: int | None
    output: str
    errors: str
    seconds: float
    peak_bytes: int

    @property
    def faults(self) -> list[Fault]:
        """What no run may do, however it is disturbed."""
        found = [*no_traceback(self.errors), *plain_terminal(self.output + self.errors)]
        if self.code is None:
            found.append(Fault("no end in time", f"killed after {self.seconds:.0f} s"))
        return found


class Running:
    """A process of the bench; its output goes to files in `folder`."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        before: Sequence[str] = (),
        largest_file: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start `bench` with these arguments.

        Args:
            arguments: of `bench`.
            folder: its current folder, whose `home`, `cache` and `tmp` it uses.
            before: a command that starts it, such as `unshare`.
            largest_file: the most bytes of a file; None for no limit.
            variables: more environment variables.
        """
        self.mark, self.peak_bytes = uuid.uuid4().hex, 0
        self._said = Path(tempfile.mkdtemp(dir=_scratch(), prefix="said-"))
        self._started = time.monotonic()
        limit = partial(_prepare, largest_file)
        with (self._said / "out").open("wb") as out, (self._said / "errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "bench", *arguments],
                cwd=folder,
                env={**_variables(folder), **(variables or {}), _MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                preexec_fn=limit,
                start_new_session=True,
            )

    def workers(self) -> list[int]:
        """Its workers that run, without what it and they have started besides."""
        found = []
        for pid in marked(self.mark):
            with suppress(OSError):
                if _WORKER in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def wait_for(self, condition: Callable[[], Any], seconds: float = _END_SECONDS) -> bool:
        """Wait until a condition holds; False if the process ended before, or it took longer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            if condition():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def end(self, seconds: float = _END_SECONDS, run: Path | None = None) -> Ended:
        """Wait until it has ended; one that takes too long is killed, with all that it has started.

        Its memory is watched until `run` has a record of a job: the report needs 300 MB after that.
        """
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            if run is None or not any((run / "jobs").glob("*.json")):
                self.peak_bytes = max(self.peak_bytes, _peak(self.process.pid))
            time.sleep(0.02)
        code = self.process.poll()
        if code is None:
            self.process.kill()
            self.process.wait()
            end_all(self.mark)
        texts = [_text(self._said / name) for name in ("out", "errors")]
        return Ended(code, *texts, time.monotonic() - self._started, self.peak_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        end_all(self.mark)
        shutil.rmtree(self._said, ignore_errors=True)


def run_arguments(run: Path, *more: str) -> list[str]:
    """The arguments of `bench run` on the small workload into a run's folder."""
    place = ["--results", str(run.parent), "--run", run.name]
    job = ["--device", "cpu", "--threads", "1", "--seeds", "0,1"]
    if "--backend" not in more:
        job += ["--backend", "reference"]
    return ["run", str(workload_file()), *job, *place, *more]


def torture_arguments(run: Path, how: str, *more: str) -> list[str]:
    """The arguments of a run whose worker misbehaves; see `family/torture_family`."""
    own = ("--python", f"torture={sys.executable}", "--variable", f"TORTURE={how}")
    return run_arguments(run, "--backend", "torture", *own, *more)


@cache
def workload_file() -> Path:
    """The file of the small workload."""
    path = _scratch() / "tiny.json"
    path.write_text(json.dumps(_WORKLOAD))
    return path


@cache
def undisturbed(*more: str) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The folder of a run that nobody disturbs, and the facts of its records."""
    place = Path(tempfile.mkdtemp(dir=_scratch(), prefix="undisturbed-"))
    with Running(run_arguments(place / "run", *more), place) as running:
        ended = running.end()
    assert ended.code == 0, ended.errors
    return place / "run", records(place / "run")


def records(run: Path) -> dict[str, dict[str, Any]]:
    """The facts of a run's records, by key; a run that does not exist has none."""
    found: list[Record] = read_run(run)[0] if (run / "jobs").is_dir() else []
    return {record.key: facts(record) for record in found}


def prepare(
    run: Path, *more: str, with_limits: bool = True
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Prepare a new run; returns `undisturbed` of the same arguments.

    With limits it has those of the other run, as to measure them takes most of its time.
    """
    clean, expected = undisturbed(*more)
    if with_limits:
        shutil.copytree(clean / "limits", run / "limits")
    return clean, expected


def marked(mark: str) -> list[int]:
    """The processes whose variables have a mark, helpers and orphans included; no zombies."""
    found, wanted = [], f"{_MARK}={mark}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def no_orphans(marks: Iterable[str], since: float) -> list[Fault]:
    """No process with these marks is left two seconds after their parent's end."""
    marks = [*marks]
    while time.monotonic() < since + ORPHAN_SECONDS and any(map(marked, marks)):
        time.sleep(0.02)
    faults = []
    for mark in marks:
        for pid in marked(mark):
            command = Path(f"/proc/{pid}/cmdline")
            with suppress(OSError):
                said = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                faults.append(Fault("orphan", f"still there after {ORPHAN_SECONDS:g} s: {said}"))
        end_all(mark)
    return faults


def end_all(mark: str) -> None:
    """Kill the processes that have a mark."""
    for pid in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def finish(
    running: Running, run: Path, clean: Path, expected: dict[str, dict[str, object]]
) -> list[Fault]:
    """Let a run end, and compare all that it has with one that nobody disturbed."""
    ended = running.end()
    faults = [*ended.faults, *no_orphans([running.mark], time.monotonic())]
    if ended.code != 0:
        faults.append(Fault("does not resume", describe(ended)))
    names = {path.name for path in (run / "turns").glob("*")}
    if names != {path.name for path in (clean / "turns").glob("*")}:
        faults.append(Fault("other turns", f"{sorted(names)}"))
    return [
        *(*faults, *whole_files(run), *nothing_left(run)),
        *same_records(records(run), expected),
    ]


def describe(ended: Ended) -> str:
    """An end that was not expected, in a fault."""
    return f"exit code {ended.code} after {ended.seconds:.1f} s\n{tail(ended.errors)}"


@cache
def _scratch() -> Path:
    """A folder of this process for what attempts share; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "cache").mkdir()
    return folder


def _variables(folder: Path) -> dict[str, str]:
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if name != _MARK}
    inherited.pop("FRAMEWORK_BENCH_DATA", None)
    return {
        **inherited,
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "FRAMEWORK_BENCH_CACHE": str(_scratch() / "cache"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(_FAMILY)]),
    }


def _prepare(largest_file: int | None) -> None:
    """Before the bench starts: signals as on a terminal, and limits of memory and files' sizes."""
    resource.setrlimit(
        resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES)
    )  # others work here, too
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))


def _peak(pid: int) -> int:
    """The most memory that a process had resident; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _text(path: Path) -> str:
    """The end of a file's text."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1_000_000))
        return file.read().decode("utf-8", "surrogateescape")
