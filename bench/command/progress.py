"""Shows the progress of a run: a line per finished task, and a bar.

The bar shows the share of the run's work that is done, the running task, and the time left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Task as Row
from rich.progress_bar import ProgressBar
from rich.text import Text

from backends.contract import Job
from bench.machine import disturbance
from bench.records.job import Group, Record, backend_name, group_of, in_precision
from bench.records.limits import EngineLimits
from bench.records.stored import Outcome
from bench.records.verification import Verification, say
from bench.runner.task import Task, TrainingTask
from bench.statistics.agreement import Result, judge, loss_margins, result_of
from bench.statistics.judgement import NOT_JUDGED, Judgement, judgements, own_doubt
from bench.statistics.steady import steady_seconds, warm_ups
from bench.worker.assignment import MeasureLimits, Verify
from bench.worker.clock import monotonic_seconds
from bench.worker.lines import Epoch, Line, ModelFindings, Reached
from bench.worker.operations import OPERATIONS
from specs.shapes import infer_shapes

# Rough costs for the first estimate of the time left: a framework's start, a step's overhead and
# arithmetic on two CPU cores, and the checks of a model. Each finished task corrects them.
_START_SECONDS, _STEP_SECONDS, _FLOPS, _MODEL_SECONDS = 9.0, 4e-4, 6e10, 4.0
_MINUTES_PER_HOUR = 60
_MOST_BY_CLOCK = 0.95  # the largest share of a task that counts as done by time alone
_FEW_EPOCHS = 2  # a job with at most this many epochs shows the time of each


def expected_seconds(tasks: Sequence[Task], earlier: Sequence[Record] = ()) -> float:
    """The estimated time of tasks: from earlier records of their jobs, else from their arithmetic.

    Args:
        tasks: the tasks to run.
        earlier: records of any machine; only those that ended ok are used.
    """
    before = {
        (group_of(record.job, record.data.checksum, ""), record.job.backend): record.wall_seconds
        for record in earlier
        if record.status == "ok"
    }
    seconds = 0.0
    for task in tasks:
        earlier_seconds = None
        if isinstance(task, TrainingTask):
            earlier_seconds = before.get(
                (group_of(task.job, task.data.checksum, ""), task.job.backend)
            )
        seconds += earlier_seconds or _guess(task)
    return seconds


def in_minutes(seconds: float) -> str:
    """A time as rounded text."""
    minutes = seconds / 60
    if minutes >= _MINUTES_PER_HOUR:
        return f"about {minutes / _MINUTES_PER_HOUR:.1f} hours"
    return f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"


class ProgressDisplay:
    """Shows tasks on a terminal; in a log file, only a line per finished task."""

    def __init__(self, console: Console, machine: str, earlier: Sequence[Record] = ()) -> None:
        """Prepare the display.

        Args:
            console: where to show it.
            machine: the name of this machine.
            earlier: earlier records of this machine; new results are compared with them.
        """
        self._console, self._machine = console, machine
        self._ended: dict[tuple[Group, int], dict[tuple[str, int], Record]] = defaultdict(dict)
        # By key: the line of a task that ended, and its doubt ("" if there is none).
        self._lines: dict[str, tuple[str, str]] = {}
        for record in sorted(earlier, key=lambda record: record.started):
            self._keep(record)
        self._numbers: dict[str, int] = {}  # of the tasks, by key, from 1
        self._widths = [0, 0, 0]
        self._guesses: list[float] = []
        # Estimated and real seconds of each task that this run has finished.
        self._measured: list[tuple[float, float]] = []
        self._number = 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _WorkDone(self),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            _TimeLeft(self),
            console=console,
            transient=True,
            refresh_per_second=2,  # the parent stays idle while a job measures
        )
        self._row = self._bar.add_task("", total=1, note="", visible=False)
        self._started, self._steps_done, self._steps = 0.0, 0, 1  # of the task that runs

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def planned(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._numbers[task.key] = len(self._numbers) + 1
            if isinstance(task, TrainingTask):
                # The earlier record may be from other versions. The new one is added when the
                # job ends.
                group = self._group(task.job, task.data.checksum)
                self._ended[group].pop((backend_name(task.job), task.job.round), None)
            self._guesses.append(_guess(task))
            widths = map(len, _names(task))
            self._widths = [max(pair) for pair in zip(self._widths, widths, strict=True)]

    def started(self, task: Task) -> None:
        self._number = self._numbers[task.key]
        self._started, self._steps_done, self._steps = monotonic_seconds(), 0, _steps(task)
        self._bar.update(
            self._row, description=escape(self._title(task)), note="starting", visible=True
        )

    def advanced(self, task: Task, lines: Sequence[Line]) -> None:
        done = [line for line in lines if isinstance(line, Epoch | ModelFindings | Reached)]
        epochs = [line for line in done if isinstance(line, Epoch)]
        disagrees = isinstance(task, TrainingTask) and self._disagreement(task, epochs)
        title = escape(self._title(task))
        self._steps_done = len(done)
        accuracy = f" {100 * epochs[-1].test_accuracy:.2f} %" if epochs else ""
        self._bar.update(
            self._row,
            description=f"[bold red]{title} DISAGREES[/]" if disagrees else title,
            note=f"{len(done)}/{self._steps}{accuracy}",
        )

    def ended(self, task: Task, record: Outcome, *, reused: bool) -> None:
        number, total = self._numbers[task.key], len(self._numbers)
        if not reused and record.status == "ok":  # others do not predict later jobs
            self._measured.append((self._guesses[number - 1], record.wall_seconds))
        names = " ".join(
            f"{text:<{width}}" for text, width in zip(_names(task), self._widths, strict=True)
        )
        line = f"[{number:>{len(str(total))}}/{total}] {names.rstrip()}  {_result(record)}"
        self._lines[record.key] = (f"{line}  (reused)" if reused else line, "")
        judged = judgements(self._keep(record)) if isinstance(record, Record) else {}
        if not judged.get(record.key, NOT_JUDGED).doubt:
            self._show(record.key, NOT_JUDGED)
        # This result may change the judgement of an earlier one.
        for key, judgement in judged.items():
            if key in self._lines and judgement.doubt != self._lines[key][1]:
                self._show(key, judgement)

    def turned(self, tasks: Sequence[TrainingTask], sweeps: int) -> None:
        workload, _, _ = _names(tasks[0])
        self._bar.update(
            self._row, description=f"{escape(workload)} turns", note=f"{sweeps}", visible=True
        )

    def _show(self, key: str, judgement: Judgement) -> None:
        """Print a task's line: in red if its result is doubtful, with a note if the doubt ended."""
        line, before = self._lines[key]
        self._lines[key] = line, judgement.doubt
        style = None
        if judgement.doubt:
            style = "yellow" if judgement.counts else "bold red"
            line = f"{line}  {judgement.doubt.upper()}: {judgement.reason}"
        elif before:
            line = f"{line}  no longer in doubt"
        self._console.print(line, style=style, highlight=not judgement.doubt, soft_wrap=True)

    def _keep(self, record: Record) -> list[Record]:
        """Keep a record that can be compared; return all records of its group and seed."""
        job = record.job
        if record.status != "ok":
            return []
        records = self._ended[self._group(job, record.data.checksum)]
        records[backend_name(job), job.round] = record
        return list(records.values())

    def _group(self, job: Job, data_checksum: str) -> tuple[Group, int]:
        """The group and seed of a job; jobs that share both can be compared."""
        return group_of(job, data_checksum, self._machine), job.seed

    def _disagreement(self, task: TrainingTask, epochs: Sequence[Epoch]) -> str:
        """Why a running job disagrees so far; "" if it agrees or its first epoch has not ended."""
        job = task.job
        if not epochs or job.mode != "matched":
            return ""
        ended = self._ended[self._group(job, task.data.checksum)]
        losses = tuple(epoch.running_loss for epoch in epochs)
        margins = loss_margins(job, task.data.train_examples, len(losses))
        running = Result(task.key, job.backend, losses, margins, None, task.data.test_examples)
        results = {
            name: result_of(record)
            for name, record in ended.items()
            if record.job.mode == "matched"
            and own_doubt(record.verification, job.device)[0] != "wrong"
        }
        results[backend_name(job), job.round] = running
        return judge(list(results.values())).get(task.key, "")

    def _title(self, task: Task) -> str:
        names = " ".join(filter(None, _names(task)[:2]))
        return f"{self._number}/{len(self._numbers)} {names}"

    def position(self) -> tuple[float, float]:
        """The share of the run's work that is done, and the estimated seconds left.

        Within an epoch the share is estimated from the time: messages about single steps would
        slow the worker. A task counts as done only when it has ended.
        """
        if not self._number:
            return 0.0, 0.0
        pairs = self._measured or [(1.0, 1.0)]
        real_per_guessed = sum(real for _, real in pairs) / sum(guess for guess, _ in pairs)
        task, *later = (g * real_per_guessed for g in self._guesses[self._number - 1 :])
        by_clock = min((monotonic_seconds() - self._started) / task, _MOST_BY_CLOCK)
        seconds_left = sum(later) + task * (1.0 - max(by_clock, self._steps_done / self._steps))
        return 1.0 - seconds_left / (sum(self._guesses) * real_per_guessed), seconds_left


class _WorkDone(ProgressColumn):
    """The bar: the share of the run's work that is done."""

    def __init__(self, display: ProgressDisplay) -> None:
        super().__init__()
        self._display = display

    def render(self, _: Row) -> RenderableType:
        return ProgressBar(total=1.0, completed=self._display.position()[0], width=16)


class _TimeLeft(_WorkDone):
    """The time until the run ends."""

    def render(self, _: Row) -> RenderableType:
        return Text(f"({in_minutes(self._display.position()[1])} left)")


def _names(task: Task) -> tuple[str, str, str]:
    """The three names in a task's line: workload, backend and device."""
    if isinstance(task.assignment, MeasureLimits):
        name = in_precision(task.entry.environment, task.job.precision)
        return "peak rates", name, task.job.device
    if isinstance(task.assignment, Verify):
        only_sizes = task.assignment.sizes if not task.assignment.models else ()
        workloads = dict.fromkeys(size.workload.name for size in only_sizes)
        return ",".join(workloads), backend_name(task.job), task.job.device
    job = task.job
    usual = job.batch_size == job.workload.recipe.batch_size
    name = job.workload.name if usual else f"{job.workload.name} batch {job.batch_size}"
    return name, backend_name(job), job.device


def _steps(task: Task) -> int:
    """The number of results that a task reports at most: epochs, models, or sizes."""
    if isinstance(task.assignment, MeasureLimits):
        return sum(len(operation.sizes) for operation in OPERATIONS.values())
    return task.assignment.pieces if isinstance(task.assignment, Verify) else task.job.epochs


def _guess(task: Task) -> float:
    """The estimated seconds of a task."""
    if not isinstance(task, TrainingTask):
        models = isinstance(task.assignment, Verify)
        return _START_SECONDS + (_MODEL_SECONDS * _steps(task) if models else 0.0)
    job, layers = task.job, infer_shapes(task.job.workload)
    steps = task.data.train_examples / job.batch_size
    evaluated = task.assignment.train_evaluated + task.data.test_examples
    flops = sum(
        layer.training_flops * task.data.train_examples + layer.forward_flops * evaluated
        for layer in layers
    )
    return _START_SECONDS + job.epochs * (steps * _STEP_SECONDS + flops / _FLOPS)


def _result(record: Outcome) -> str:
    """The result of a record in one line."""
    if isinstance(record, Verification):
        return say(record)
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    if isinstance(record, EngineLimits):
        return _peaks(record)
    return _training_result(record) if isinstance(record, Record) else ""


def _training_result(record: Record) -> str:
    times = [epoch.training.wall_seconds / epoch.epochs for epoch in record.epochs]
    if len(times) > _FEW_EPOCHS:
        times = [steady_seconds(record, warm_ups([record])[record.key])]
    seconds = ", ".join(f"{time:.3g}" for time in times)
    note = "  (machine was busy)" if disturbance.reasons(record.disturbance) else ""
    return f"{100 * record.epochs[-1].test_accuracy:.2f} %  {seconds} s/epoch{note}"


def _peaks(limits: EngineLimits) -> str:
    """The peak rates of the operations that the engine has."""
    rates = {operation: limits.best(operation) for operation in OPERATIONS}
    rates["memory"] = limits.largest("memory")  # smaller arrays may be in a cache
    return ", ".join(
        f"{operation} {reached.per_second / 1e9:.3g}"
        f" {'GB/s' if operation == 'memory' else 'GFLOP/s'}"
        for operation, reached in rates.items()
        if reached
    )
