"""What a user sees during a run: a line per finished job, and a bar.

The bar shows the job's epochs and accuracy, and the time left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from backends.contract import Job
from bench.machine import disturbance
from bench.records.job import Group, Record, backend_name, group_of
from bench.runner.task import DataTask
from bench.statistics.agreement import Result, judge, result_of
from bench.statistics.steady import steady_seconds, warm_ups
from bench.worker.lines import Epoch
from specs.shapes import infer_shapes

# Rough costs for the first guess of the time left, corrected as soon as a job was measured: a
# framework's start, and a step's overhead and arithmetic on two CPU cores.
_START_SECONDS, _STEP_SECONDS, _FLOPS = 6.0, 4e-4, 8e10


class ProgressDisplay:
    """Shows a run on a terminal; without one (a batch job's log), only a line per finished job."""

    def __init__(self, console: Console, machine: str, earlier: Sequence[Record] = ()) -> None:
        """Prepare the display of a run.

        Args:
            console: where to show it.
            machine: the name of this machine.
            earlier: its records, with which those of this run are compared.
        """
        self._console, self._machine = console, machine
        self._groups: dict[tuple[object, ...], dict[tuple[str, int], Result]] = defaultdict(dict)
        # What was shown of each job that ended, and why it disagrees.
        self._lines: dict[str, tuple[str, str]] = {}
        for record in sorted(earlier, key=lambda record: record.started):
            self._keep(record)
        self._numbers: dict[str, int] = {}  # of the tasks, by key, from 1
        self._widths = [0, 0, 0]
        self._guesses: list[float] = []
        # Guessed and real seconds of each job that this run has finished.
        self._measured: list[tuple[float, float]] = []
        self._number = 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[accuracy]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            refresh_per_second=2,  # the parent stays idle while a job measures
        )
        self._row = self._bar.add_task("", total=1, accuracy="", left="", visible=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def planned(self, tasks: Sequence[DataTask]) -> None:
        for task in tasks:
            self._numbers[task.key] = len(self._numbers) + 1
            # An earlier record of this job may be of other versions, or of another adapter. The job
            # is added again when it ends.
            self._groups[self._group(task.job, task.data.checksum)].pop(
                (task.job.backend, task.job.round), None
            )
            self._guesses.append(_guess(task))
            self._widths = [
                max(pair) for pair in zip(self._widths, map(len, _cell(task)), strict=True)
            ]

    def started(self, task: DataTask) -> None:
        self._number = self._numbers[task.key]
        job = task.job
        self._bar.reset(
            self._row,
            total=job.epochs,
            description=escape(self._title(task)),
            accuracy="starting",
            left=self._left(0.0),
            visible=True,
        )

    def advanced(self, task: DataTask, epochs: Sequence[Epoch]) -> None:
        done, why = len(epochs), self._disagreement(task, epochs)
        title = escape(self._title(task))
        self._bar.update(
            self._row,
            completed=done,
            description=f"[bold red]{title} DISAGREES[/]" if why else title,
            accuracy=f"{100 * epochs[-1].test_accuracy:.2f} %" if epochs else "training",
            left=self._left(done / task.job.epochs),
        )

    def ended(self, task: DataTask, record: Record, *, old: bool) -> None:
        number, of = self._numbers[task.key], len(self._numbers)
        if not old:
            self._measured.append((self._guesses[number - 1], record.wall_seconds))
        cell = " ".join(
            f"{text:<{width}}" for text, width in zip(_cell(task), self._widths, strict=True)
        )
        self._lines[record.key] = (
            f"[{number:>{len(str(of))}}/{of}] {cell} {_result(record, old=old)}",
            "",
        )
        why = judge(list(self._keep(record).values()))
        if not why.get(record.key):
            self._say(record.key, "")
        # What ended earlier may be shown to be wrong, or right, only now.
        for key, reason in why.items():
            if key in self._lines and bool(reason) != bool(self._lines[key][1]):
                self._say(key, reason)

    def _say(self, key: str, reason: str) -> None:
        """Print a job's line: in red if it disagrees, with a note if it no longer does."""
        line, before = self._lines[key]
        self._lines[key] = line, reason
        style = "bold red" if reason else None
        if reason:
            line = f"{line}  DISAGREES: {reason}"
        elif before:
            line = f"{line}  agrees after all"
        self._console.print(line, style=style, markup=False, highlight=not reason, soft_wrap=True)

    def _keep(self, record: Record) -> dict[tuple[str, int], Result]:
        """Keep the result of a job, if it can be compared with others; returns its group."""
        job = record.job
        if record.status != "ok" or job.mode != "matched":
            return {}
        group = self._groups[self._group(job, record.data.checksum)]
        group[job.backend, job.round] = result_of(record)
        return group

    def _group(self, job: Job, data_checksum: str) -> tuple[Group, int]:
        """The jobs that a job can be compared with: those of its group with the same seed."""
        return group_of(job, data_checksum, self._machine), job.seed

    def _disagreement(self, task: DataTask, epochs: Sequence[Epoch]) -> str:
        """Why a job disagrees after its first epoch; "" if it does not, or that is not over."""
        job, found = task.job, dict[tuple[str, int], Result]()
        if epochs and job.mode == "matched":
            found |= self._groups[self._group(job, task.data.checksum)]
            loss = epochs[0].running_loss
            found[job.backend, job.round] = Result(
                task.key, job.backend, loss, None, task.data.test_examples
            )
        return judge(list(found.values())).get(task.key, "")

    def _title(self, task: DataTask) -> str:
        return f"{self._number}/{len(self._numbers)} {_name(task.job)} {backend_name(task.job)}"

    def _left(self, share_done: float) -> str:
        """The time left: the guesses, scaled by the median of real to guessed seconds."""
        ahead = self._guesses[self._number - 1 :]
        seconds = sum(ahead[1:]) + ahead[0] * (1.0 - share_done)
        scale = median(real / guess for guess, real in self._measured) if self._measured else 1.0
        minutes = seconds * scale / 60
        return f"(~{minutes:.0f} min left)" if minutes >= 1 else "(< 1 min left)"


def _cell(task: DataTask) -> tuple[str, str, str]:
    return _name(task.job), backend_name(task.job), task.job.device


def _name(job: Job) -> str:
    """The workload, with its batch size where that is not the recipe's."""
    usual = job.batch_size == job.workload.recipe.batch_size
    return job.workload.name if usual else f"{job.workload.name} batch {job.batch_size}"


def _guess(task: DataTask) -> float:
    job, layers = task.job, infer_shapes(task.job.workload)
    steps = task.data.train_examples / job.batch_size
    flops = sum(layer.training_flops for layer in layers) * task.data.train_examples
    return _START_SECONDS + job.epochs * (steps * _STEP_SECONDS + flops / _FLOPS)


def _result(record: Record, *, old: bool) -> str:
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    seconds = steady_seconds(record, warm_ups([record])[record.key])
    note = ""
    if old:
        note = "  (kept from before)"
    elif disturbance.say(record.disturbance):
        note = "  (disturbed)"
    return f"{100 * record.epochs[-1].test_accuracy:.2f} %  {seconds:.3g} s/epoch{note}"
