"""`bench acceptance`: checks a machine and its GPUs within a budget, the most valuable steps first.

Every step is a command of `bench`, which can be typed alone, and which resumes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console

from bench.command.report import ANONYMOUS, private_words
from bench.command.setup import choose_devices
from bench.machine.host import Machine, this_machine
from bench.records.files import RunError, inside
from bench.report.anonymous import copy_anonymously
from bench.report.document.write import write_document
from bench.report.form.blocks import Alarm, Block, Heading, Items, Table, Text
from bench.report.page import write_report
from bench.report.run import Run
from bench.report.section.environment import MACHINE_COLUMNS, machine_cells
from bench.report.terminal.plain import plain_console
from bench.worker import clock

_LEAST_SECONDS = 30.0  # a step is not begun with less time than this
_ROUNDS = 11  # of the calibration: the fewest with which its figures mean something
# The exit code of a command that was interrupted; by another signal it is higher than _SIGNALS.
_STOPPED, _SIGNALS = 130, 128


class Step(NamedTuple):
    """One command of the acceptance.

    Attributes:
        question: what it answers.
        arguments: the command's, without `bench`.
        page: the report that it writes, relative to the folder; "" if it writes none.
    """

    question: str
    arguments: tuple[str, ...]
    page: str = ""

    @property
    def command(self) -> str:
        """What a user would type, without the options for the folder."""
        return " ".join(("bench", *self.arguments))


class Ended(NamedTuple):
    """How a step ended: its result in words, and its seconds; "" and 0 if it was not begun."""

    result: str = ""
    seconds: float = 0.0


def acceptance(options: argparse.Namespace) -> int:
    """`bench acceptance`: run the steps, write a page and an archive.

    1 if a step failed. Steps for which no time was left are listed; they are no failure.
    """
    machine = this_machine(os.environ)
    folder, console = options.results / "acceptance", plain_console(stderr=True)
    devices = options.device or (("cuda",) if machine.gpus else ("cpu",))
    choose_devices(devices, machine)  # a device that is not there is said at once
    steps = steps_of(options, devices)
    if not machine.gpus:
        console.print("no NVIDIA GPU is visible: the steps run on the CPU")
    console.print(f"{len(steps)} steps in {options.budget / 60:.0f} min, into {folder}")
    deadline = clock.monotonic_seconds() + options.budget
    ended = [Ended()] * len(steps)
    for number, step in enumerate(steps):
        left = deadline - clock.monotonic_seconds()
        if left < _LEAST_SECONDS:
            break
        console.rule(f"{number + 1} of {len(steps)}: {step.question}")
        ended[number] = _run(step, options, folder, left)
        write_document(page(machine, steps, ended), folder)
    write_document(page(machine, steps, ended), folder)
    to_send = folder
    if options.anonymous:
        to_send = inside(folder, ANONYMOUS)
        _copy_anonymously(folder, to_send)
        write_document(page(replace(machine, name="machine-1"), steps, ended), to_send)
    _say_end(console, folder, to_send, ended)
    return 1 if any(result == "failed" for result, _ in ended) else 0


def steps_of(options: argparse.Namespace, devices: tuple[str, ...]) -> list[Step]:
    """The steps, the most valuable first."""
    backends = ("--backend", ",".join(options.backend)) if options.backend else ()
    device = ("--device", ",".join(devices))
    place = (*device, *backends)
    precisions = options.precision or (
        ("float32", "bfloat16") if devices == ("cpu",) else ("float32", "tf32", "bfloat16")
    )
    every = ("--precision", ",".join(precisions))
    first, *others = precisions
    in_first = ("--precision", first)
    steps = [
        Step("Does every framework train here?", ("run", "smoke", *place, *in_first), "smoke"),
        Step("Does each compute what it should?", ("verify", *place, *in_first)),
        Step("Who is how fast?", ("run", "quick", *place, *in_first), "quick"),
    ]
    if others:
        rest = ("--precision", ",".join(others))
        steps += [
            Step(f"And in {' and '.join(others)}?", ("verify", *place, *rest)),
            Step("How fast are these?", ("run", "quick", *place, *every), "quick"),
        ]
    if devices != ("cpu",):
        steps.append(Step("Large models?", ("run", "big", *place, *every), "big"))
    noise = ("calibrate", "--rounds", str(_ROUNDS), *device)
    return [*steps, Step("How noisy is this machine?", noise)]


def _run(step: Step, options: argparse.Namespace, folder: Path, seconds: float) -> Ended:
    """Run a step, and stop it after these seconds, as Ctrl-C would."""
    from bench.command.cli import Interrupted, main  # here, as it imports this module by its name

    started = clock.monotonic_seconds()
    arguments = [*step.arguments, "--results", str(folder)]
    for name, python in options.python:
        arguments += ["--python", f"{name}={python}"]
    if options.data_dir:
        arguments += ["--data-dir", str(options.data_dir)]
    code = _STOPPED
    with _time_limit(seconds) as reached, contextlib.suppress(KeyboardInterrupt):
        code = main(arguments)
    if code > _SIGNALS and not reached():
        raise Interrupted(code - _SIGNALS)  # the user's own
    stopped = "stopped: no time was left"
    result = {0: "passed", _STOPPED: stopped}.get(code, "failed")
    return Ended(result, clock.monotonic_seconds() - started)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt after these seconds; gives a function: whether that has happened."""
    reached = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal reached
        reached = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield lambda: reached
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def page(machine: Machine, steps: list[Step], ended: list[Ended]) -> list[Block]:
    """The page: what was asked, how it ended, and where the answers are."""
    rows = tuple(
        (
            step.question,
            f"`{step.command}`",
            result or "not begun",
            f"{seconds / 60:.1f} min" if result else "-",
            f"{step.page}/report.html" if step.page and result else "-",
        )
        for step, (result, seconds) in zip(steps, ended, strict=True)
    )
    blocks: list[Block] = [Heading(f"Acceptance of {machine.name}", 1)]
    failed = tuple(row[1] for row in rows if row[2] == "failed")
    if failed:
        blocks.append(
            Alarm(
                "A step failed",
                "Its command prints why, and its report has the details:",
                failed,
            )
        )
    blocks.append(
        Table(("question", "command", "result", "time", "report"), rows, "The most valuable first")
    )
    rest = [row[1] for row in rows if row[2] not in ("passed", "failed")]
    if rest:
        blocks += [
            Text("No time was left for these; `bench acceptance` goes on with them:"),
            Items(tuple(rest)),
        ]
    return [
        *blocks,
        Heading("Machine", 2),
        Table(MACHINE_COLUMNS, (machine_cells(machine),)),
    ]


def _copy_anonymously(folder: Path, to_send: Path) -> None:
    """Copy every run in a folder without names, and write its report."""
    for jobs in sorted(folder.glob("*/jobs")):
        with contextlib.suppress(RunError):  # no job has ended
            copy_anonymously(Run.read(jobs.parent), to_send / jobs.parent.name, private_words())
            write_report(to_send / jobs.parent.name)


def _say_end(console: Console, folder: Path, to_send: Path, ended: list[Ended]) -> None:
    count = {kind: sum(one.result == kind for one in ended) for kind in ("passed", "failed")}
    left = len(ended) - sum(count.values())
    console.print(
        f"{count['passed']} steps passed, {count['failed']} failed, {left} had no time left"
    )
    console.print(f"page: {folder / 'report.html'}")
    console.print(f"to send: {_archive(to_send, folder / 'acceptance.tar.gz')}")


def _archive(folder: Path, path: Path) -> Path:
    """All records and reports in one file; it does not tell who owns them."""
    part = path.with_suffix(".part")
    try:
        with tarfile.open(part, "w:gz") as archive:
            for one in sorted(folder.rglob("*")):
                if one.is_file() and one not in (path, part) and not one.name.startswith("."):
                    name = Path("acceptance") / one.relative_to(folder)
                    archive.add(one, name, filter=_without_owner)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _without_owner(file: tarfile.TarInfo) -> tarfile.TarInfo:
    file.uid = file.gid = 0
    file.uname = file.gname = ""
    return file
