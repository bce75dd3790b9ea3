"""What is submitted to Slurm, and the files about it in `RUN/cluster/NUMBER/`.

Many tasks write into a run at the same time, on many nodes. Every file has one writer at a time,
and is written whole or not at all, so no locks are needed, which network file systems may lack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Job, Precision
from bench.records.files import RunError, write_atomically
from bench.records.job import Record, SlurmTask
from bench.runner import plan
from bench.runner.cluster.slurm import Node
from specs.model import Suite

FOLDER = "cluster"
SCRIPT = "array.sh"
_SUBMISSION, _ARRAYS, _STARTED, LOGS = "submission.json", "arrays.json", "started", "log"


class Task(Struct, frozen=True, kw_only=True):
    """One task of an array: a training on a device of a node, by all backends.

    Attributes:
        node: the node that the task runs on; the first of several.
        others: the other nodes that train with it, see `backends.contract.Job`.
        device: as the user may name it on that node, see `--device`.
        limits: whether it also measures the limits of the engines on its device and precision.
    """

    node: Node
    training: plan.Training
    device: str
    precision: Precision
    limits: bool
    others: tuple[Node, ...] = ()

    @property
    def name(self) -> str:
        """The name for a reader."""
        size = f" batch {self.training.batch_size}" if self.training.batch_size else ""
        return f"{self.training.workload.name}{size} on {self.device}"

    @property
    def group(self) -> plan.Group:
        """The group of its jobs."""
        return plan.Group(training=self.training, device=self.device, precision=self.precision)


class Place(Struct, frozen=True, kw_only=True):
    """A task on disk: its nodes and training by their numbers, as there may be thousands."""

    node: int
    training: int
    device: str
    precision: Precision
    others: tuple[int, ...] = ()

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes of the task, the first of them first."""
        return self.node, *self.others


class Submission(Struct, frozen=True, kw_only=True):
    """Everything that the tasks need to know, so that nodes decide nothing.

    Attributes:
        arguments: the arguments of the command; their options say how a job is run.
        choices: the backends, seeds and so on; each task has its own device and precision.
        cluster: Slurm's name of the cluster; numbers of jobs are valid only there.
        nodes, trainings: see `Place`.
        places: the places of the tasks, by number.
        made: the time in UTC.
    """

    arguments: tuple[str, ...]
    suite: Suite
    choices: plan.Options
    cluster: str
    nodes: tuple[Node, ...]
    trainings: tuple[plan.Training, ...]
    places: tuple[Place, ...]
    made: str

    def task(self, number: int) -> Task:
        """The task with a number. The first training's tasks measure the limits."""
        place = self.places[number]
        return Task(
            node=self.nodes[place.node],
            training=self.trainings[place.training],
            device=place.device,
            precision=place.precision,
            limits=place.training == 0,
            others=tuple(self.nodes[number] for number in place.others),
        )

    def choices_of(self, task: Task) -> plan.Options:
        """The choices on a task's node."""
        threads = self.choices.threads or task.node.cpus
        place = {"devices": (task.device,), "precisions": (task.precision,), "threads": threads}
        return replace(self.choices, **place)

    def jobs(self, task: Task) -> list[Job]:
        """The jobs of a task, as far as they are known when it is submitted."""
        choices, rounds = self.choices_of(task), self.choices.rounds or self.suite.rounds
        return [
            job
            for number in range(rounds)
            for job, _ in plan.make_round([task.group], choices, self.suite, number)
        ]

    def identity(self, task: Task) -> tuple[object, ...]:
        """A value that is equal for the same task in another submission."""
        names = tuple(node.name for node in (task.node, *task.others))
        return names, task.group, replace(self.choices, devices=(), precisions=())


class Array(Struct, frozen=True, kw_only=True):
    """An array that was submitted: its number in Slurm, and its tasks.

    Attributes:
        first: index 0 of the array is the task with this number.
        tasks: their numbers.
    """

    job: str
    first: int
    tasks: tuple[int, ...]


class Started(Struct, frozen=True, kw_only=True):
    """What a task writes when it starts.

    Attributes:
        started: the time in UTC.
        records: the records, without a result, that its jobs get if Slurm ends the task.
        stopped: the time in UTC when a signal stopped it; "" if none did.
    """

    slurm: SlurmTask
    started: str
    records: tuple[Record, ...]
    stopped: str = ""


def chunks(numbers: Sequence[int], first: int, most: int) -> Iterator[tuple[int, list[int]]]:
    """Yield for each array of a node: the number at index 0, and the numbers of its tasks.

    Args:
        numbers: the numbers of the tasks, in order.
        first: the least number that a task of the node may have.
        most: the site's limit; all indices of an array are below it.
    """
    last = max(numbers) - first
    for part in range(ceil((last + 1) / most)):
        start = first + part * most
        if tasks := [number for number in numbers if start <= number < start + most]:
            yield start, tasks


def next_folder(run: Path) -> Path:
    """The folder of a run's next submission."""
    numbers = [int(path.name) for path in folders_of(run)]
    return run / FOLDER / str(max(numbers, default=0) + 1)


def folders_of(run: Path) -> list[Path]:
    """The folders of a run's submissions, oldest first."""
    folders = [path for path in (run / FOLDER).glob("*") if path.name.isdigit()]
    return sorted(folders, key=lambda path: int(path.name))


def write_submission(folder: Path, submission: Submission) -> None:
    """Write the submission.

    Raises:
        RunError: the folder cannot be written.
    """
    _write(folder / _SUBMISSION, submission)


def read_submission(folder: Path) -> Submission:
    """The submission in a folder.

    Raises:
        RunError: there is none, or another version of the bench wrote it.
    """
    submission = _read(folder / _SUBMISSION, Submission)
    if submission is None:
        raise RunError(f"{folder}: no submission", expected="RUN/cluster/NUMBER")
    return submission


def write_arrays(folder: Path, arrays: Sequence[Array]) -> None:
    """Write the arrays of a submission; after each sbatch, so that none is forgotten."""
    _write(folder / _ARRAYS, list(arrays))


def read_arrays(folder: Path) -> list[Array]:
    """The arrays of a submission."""
    return _read(folder / _ARRAYS, list[Array]) or []


def write_started(folder: Path, number: int, started: Started) -> None:
    """Write that a task has started."""
    _write(folder / _STARTED / f"{number}.json", started)


def numbers_started(folder: Path) -> set[int]:
    """The numbers of the tasks that have started. Listing a folder also refreshes NFS's cache."""
    paths = (folder / _STARTED).glob("[0-9]*.json")
    return {int(path.stem) for path in paths if path.stem.isdigit()}


def read_started(folder: Path, number: int) -> Started | None:
    """What a task wrote when it last started; None if it has not."""
    return _read(folder / _STARTED / f"{number}.json", Started)


def log_of(folder: Path, array: str, index: int) -> Path:
    """The output of a task."""
    return folder / LOGS / f"{array}_{index}.out"


_Kind = TypeVar("_Kind")


def _write(path: Path, content: object) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1))


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    """The content of a file; None if it does not exist.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path}: cannot be read, or is of another version of the bench: {error}",
            hint="use the version of the bench that submitted it",
        ) from error
