"""What each engine of a run reaches by itself, measured in the run, in a process of its own; and its record.

An engine is an environment's framework on a device, with its threads and precision. Its record lies in `RUN/limits/`;
that it could not be measured is a record too, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Job
from backends.registry import BACKENDS, ENGINES
from bench.files import Key, RunError, make_key, write_atomically
from bench.imported import checksum_of
from bench.limiting import Assignment, Line, Reached, Settled
from bench.machine import Machine
from bench.measure import monotonic_seconds, utc
from bench.process import DataTask, Task, files_of, run_worker
from bench.record import Setting, Status
from bench.trials import OperationName

FORMAT = 1
FOLDER = "limits"
# Of one size, with what a framework needs to start; seen: 10 s at most.
_TIMEOUT_SECONDS = 180.0


class EngineLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine reached, however its process ended: what is in `reached` was checked.

    Attributes:
        status, reason, details: see `bench.record.Record`.
        environment: the engine's, a key of `backends.registry.ENGINES`.
        value_bytes: of a number that it computes with; None where it did not come so far.
    """

    format: int
    key: Key
    status: Status
    reason: str
    details: str
    environment: str
    device: str
    threads: int
    precision: str
    machine: Machine
    versions: dict[str, str]
    started: str
    wall_seconds: float
    value_bytes: int | None
    settings: dict[str, Setting]
    reached: tuple[Reached, ...]

    def best(self, operation: OperationName, least: int = 0) -> Reached | None:
        """The highest rate of an operation's sizes with at least that much work, or of the largest; None: not measured.

        Args:
            operation: see `bench.trials`.
            least: FLOP, or bytes read and written.
        """
        sizes = [found for found in self.reached if found.operation == operation]
        enough = [found for found in sizes if found.work >= least]
        return max(enough or sizes[-1:], key=lambda found: found.per_second, default=None)

    @property
    def call_seconds(self) -> float | None:
        """What calling an operation costs, whatever it does: the smallest sum's time; None: not measured."""
        return min((found.seconds for found in self.reached if found.operation == "memory"), default=None)


def limit_tasks(tasks: Sequence[DataTask], folder: Path, machine: Machine, *, retry: bool) -> list[Task]:
    """A task per engine whose limits are still to be measured, of those that have a job still to be run.

    Args:
        tasks: the run's, see `bench.runner.make_tasks`.
        folder: the run's.
        machine: this one.
        retry: measure again what could not be measured before.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        if (folder / "jobs" / f"{task.key}.json").exists():
            continue  # limits of another day say nothing of it
        made = _limit_task(task, machine)
        record = _read(folder / FOLDER / f"{made.key}.json")
        if record is None or (retry and record.status != "ok"):
            found.setdefault(made.key, made)
    return list(found.values())


def measure_limits(task: Task, folder: Path, machine: Machine) -> EngineLimits:
    """Measure one engine, in some seconds, and write its record to `folder/limits`.

    Raises:
        RunError: the folder cannot be written.
    """
    place = folder / FOLDER
    files, started, began = files_of(task, place), utc(), monotonic_seconds()

    assignment = Assignment(job=task.job, engine=task.adapter)
    try:
        ended = run_worker("bench.limiting", task, assignment, files, machine, _TIMEOUT_SECONDS, Line)
    finally:
        for path in (files.lines, files.log):
            path.unlink(missing_ok=True)
    lines, end = ended.lines, ended.end
    settled = next((line for line in lines if isinstance(line, Settled)), None)
    made = EngineLimits(
        format=FORMAT,
        key=task.key,
        status=end.status,
        reason=end.reason,
        details=end.traceback,
        environment=task.entry.environment,
        device=task.job.device,
        threads=task.job.threads,
        precision=task.job.precision,
        machine=machine,
        versions=task.versions,
        started=started,
        wall_seconds=monotonic_seconds() - began,
        value_bytes=settled.value_bytes if settled else None,
        settings=settled.settings if settled else {},
        reached=tuple(line for line in lines if isinstance(line, Reached)),
    )
    write_atomically(place / f"{made.key}.json", msgspec.json.format(msgspec.json.encode(made), indent=1))
    return made


def read_limits(folder: Path) -> list[EngineLimits]:
    """The limits of a run, oldest first; what is not a record of them, or not whole, is left out."""
    found = [record for path in sorted((folder / FOLDER).glob("[!.]*.json")) if (record := _read(path))]
    return sorted(found, key=lambda record: record.started)


def limits_of(job: Job, machine: str, limits: Iterable[EngineLimits]) -> EngineLimits | None:
    """The newest limits of the engine that a job ran on."""
    entry = BACKENDS.get(job.backend)
    own = (entry and entry.environment, job.device, job.threads, job.precision, machine)
    of = [one for one in limits if own == (one.environment, one.device, one.threads, one.precision, one.machine.name)]
    return of[-1] if of else None


def _limit_task(task: DataTask, machine: Machine) -> Task:
    """The engine under a task; its key changes with all that its limits depend on."""
    job, engine = task.job, ENGINES[task.entry.environment]
    source = checksum_of("bench.limiting", engine)
    how = (engine, job.device, job.threads, job.precision, job.deterministic)
    decisive = (*how, sorted(task.versions.items()), source, machine.name)
    return Task(
        job=replace(job, mode="matched"),
        key=make_key((task.entry.environment, job.device, f"t{job.threads}"), decisive),
        entry=task.entry,
        python=task.python,
        versions=task.versions,
        adapter=engine,
        adapter_checksum=source,
    )


def _read(path: Path) -> EngineLimits | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineLimits)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}", expected="a readable record") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
