"""`bench acceptance`: checks a machine and its GPUs within a budget, the most valuable steps first.

Every step is a command of `bench` that can also be typed alone. It resumes after an interruption.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console

from backends.family import CUDA_PACKAGES
from backends.registry import BACKENDS, ENVIRONMENTS, EXPERIMENTS
from bench.command.report import ANONYMOUS, private_words
from bench.command.setup import choose_devices
from bench.machine.gpu_facts import Fact, Probe, ProgramError, UnknownError, gpu_facts
from bench.machine.host import Machine, this_machine
from bench.records.anonymous import Neutral
from bench.records.files import RunError, inside
from bench.report.anonymous import copy_anonymously
from bench.report.document.write import write_document
from bench.report.form.blocks import Alarm, Block, Heading, Items, Table, Text
from bench.report.page import write_report
from bench.report.run import Run
from bench.report.section import tuned
from bench.report.section.environment import MACHINE_COLUMNS, machine_cells
from bench.report.terminal.plain import plain_console
from bench.runner.environments import Environments, inherited_by
from bench.runner.interpreters import FailedError, NoAnswerError, ask
from bench.worker import clock
from specs.errors import UserError

_LEAST_SECONDS = 30.0  # no step starts with less time left
_ROUNDS = 11  # of the calibration: the fewest with meaningful figures
_EXPERIMENTS = (
    "An experiment changes one thing in a backend, and is timed in turn with it. Below 1 the"
    " experiment is faster. The previous step verifies its results."
)
_PROGRAM_SECONDS = 120.0  # the first use of a GPU by a framework takes some 20 s
# The exit code of a command that Ctrl-C interrupted; for any signal it is _SIGNALS + its number.
_STOPPED, _SIGNALS = 130, 128


class Step(NamedTuple):
    """One command of the acceptance.

    Attributes:
        question: the question that it answers.
        arguments: the arguments of the command, without `bench`.
        page: the report that it writes, relative to the folder; "" if it writes none.
    """

    question: str
    arguments: tuple[str, ...]
    page: str = ""

    @property
    def command(self) -> str:
        """The command as a user would type it, without the options for the folder."""
        return " ".join(("bench", *self.arguments))


class Ended(NamedTuple):
    """How a step ended: its result in words, and its seconds; "" and 0 if it was not started."""

    result: str = ""
    seconds: float = 0.0


def acceptance(options: argparse.Namespace) -> int:
    """`bench acceptance`: run the steps, write a page and an archive.

    Returns 1 if a step failed. Steps without time left are listed, and are no failure.
    """
    machine = this_machine(os.environ)
    folder, console = options.results / "acceptance", plain_console(stderr=True)
    devices = options.device or (("cuda",) if machine.gpus else ("cpu",))
    choose_devices(devices, machine)  # reports a missing device at once
    steps = steps_of(options, devices)
    alone = "no NVIDIA GPU is visible: the steps run on the CPU"
    console.print(
        "reading facts about the GPUs first; this takes a minute" if machine.gpus else alone
    )
    console.print(f"{len(steps)} steps in at most {options.budget / 60:.0f} min; results: {folder}")
    deadline = clock.monotonic_seconds() + options.budget
    facts = gpu_facts(machine, _with_gpu_builds(), _probe(Environments(dict(options.python))))
    ended = [Ended()] * len(steps)
    for number, step in enumerate(steps):
        seconds_left = deadline - clock.monotonic_seconds()
        if seconds_left < _LEAST_SECONDS:
            break
        console.rule(f"{number + 1} of {len(steps)}: {step.question}")
        ended[number] = _run(step, options, folder, seconds_left)
        write_document(page(machine, steps, ended, facts, folder), folder)
    write_document(page(machine, steps, ended, facts, folder), folder)
    to_send = folder
    if options.anonymous:
        to_send = inside(folder, ANONYMOUS)
        _copy_anonymously(folder, to_send)
        neutral = Neutral([], [*private_words(), machine.name])
        anonymous = replace(machine, name="machine-1", system=neutral.text(machine.system))
        facts = [Fact(fact.name, neutral.text(fact.value)) for fact in facts]
        write_document(page(anonymous, steps, ended, facts, to_send), to_send)
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
    first, *other_precisions = precisions
    in_first = ("--precision", first)
    steps = [
        Step("Does every framework train here?", ("run", "smoke", *place, *in_first), "smoke"),
        Step("Are its results correct?", ("verify", *place, *in_first)),
        Step("How fast is it?", ("run", "quick", *place, *in_first), "quick"),
    ]
    if other_precisions:
        option = ("--precision", ",".join(other_precisions))
        steps += [
            Step(
                f"Are its results correct in {' and '.join(other_precisions)}?",
                ("verify", *place, *option),
            ),
            Step("How fast is it in each precision?", ("run", "quick", *place, *every), "quick"),
        ]
    if devices != ("cpu",):
        steps.append(Step("How fast are large models?", ("run", "big", *place, *every), "big"))
    noise = ("calibrate", "--rounds", str(_ROUNDS), *device)
    steps.append(Step("How noisy is this machine?", noise))
    return steps if devices == ("cpu",) else [*steps, *_experiments(options, device, in_first)]


def _experiments(
    options: argparse.Namespace, device: tuple[str, ...], precision: tuple[str, ...]
) -> Iterator[Step]:
    """Yield the steps of the experiments for each backend that is chosen and installed."""
    environments = Environments(dict(options.python))
    # Keras comes last: its jobs take longest.
    for plain in dict.fromkeys(BACKENDS[name].variant_of or "" for name in reversed(EXPERIMENTS)):
        is_chosen = not options.backend or plain in options.backend
        if is_chosen and environments.python(BACKENDS[plain].environment) is not None:
            variants = [name for name in EXPERIMENTS if BACKENDS[name].variant_of == plain]
            place = (*device, "--backend", ",".join((plain, *variants)), *precision)
            folder = f"experiments-{plain}"
            yield Step(f"Are the results of {plain}'s experiments correct?", ("verify", *place))
            yield Step(
                f"Are {plain}'s experiments faster?",
                ("run", "experiments", *place, "--run", folder),
                folder,
            )


def _with_gpu_builds() -> list[str]:
    return [name for name, spec in ENVIRONMENTS.items() if spec.cuda]


def _probe(environments: Environments) -> Probe:
    """The frameworks' environments, for `gpu_facts`."""
    return Probe(run=partial(_ask, environments), folder=partial(_gpu_folder, environments))


def _python(environments: Environments, name: str) -> Path:
    """The interpreter of an environment.

    Raises:
        UnknownError: the environment is not installed.
    """
    python = environments.python(name)
    if python is None:
        raise UnknownError(f"the environment '{name}' is not installed")
    return python


def _gpu_folder(environments: Environments, name: str) -> Path:
    """See `Probe.folder`."""
    python = _python(environments, name)
    try:
        packages = environments.versions(name)
    except UserError as error:
        raise UnknownError(str(error)) from error
    if packages.keys().isdisjoint(CUDA_PACKAGES):
        raise UnknownError(f"the environment '{name}' has no build for NVIDIA GPUs")
    return python.parent.parent


def _ask(
    environments: Environments,
    name: str,
    program: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
) -> str:
    """See `Probe.run`."""
    python = _python(environments, name)
    all_variables = {**inherited_by(python).variables, **ENVIRONMENTS[name].variables, **variables}
    try:
        answer = ask([str(python), "-c", program, *arguments], _PROGRAM_SECONDS, all_variables)
        return answer.strip().splitlines()[-1]
    except FailedError as error:
        lines = error.lines or [str(error)]
        # An error may end with advice, so the last line with an error's name is used.
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        raise ProgramError(f"{name}: {(errors or lines)[-1]}") from error
    except (NoAnswerError, IndexError) as error:
        raise UnknownError(f"{name}: {error}") from error


def _run(step: Step, options: argparse.Namespace, folder: Path, seconds: float) -> Ended:
    """Run a step, and stop it after these seconds, as Ctrl-C would."""
    from bench.command.cli import Interrupted, main  # here: `cli` imports this module by name

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
        raise Interrupted(code - _SIGNALS)  # the user's signal
    stopped = "stopped: time is up"
    result = {0: "passed", _STOPPED: stopped}.get(code, "failed")
    return Ended(result, clock.monotonic_seconds() - started)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt after these seconds; yields a function that says if it was raised."""
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


def page(
    machine: Machine, steps: list[Step], ended: list[Ended], facts: list[Fact], folder: Path
) -> list[Block]:
    """The page: the questions, how the steps ended, and where the answers are.

    Args:
        machine: this machine.
        steps: all steps.
        ended: how each step ended.
        facts: the facts about the GPUs.
        folder: the folder of the steps' runs.
    """
    rows = tuple(
        (
            step.question,
            f"`{step.command}`",
            result or "not started",
            f"{seconds / 60:.1f} min" if result else "-",
            f"{step.page}/report.html" if step.page and result else "-",
        )
        for step, (result, seconds) in zip(steps, ended, strict=True)
    )
    failed = tuple(row[1] for row in rows if row[2] == "failed")
    why = "Run its command to see why. Its report has the details:"
    blocks: list[Block] = [
        Heading(f"Acceptance of {machine.name}", 1),
        *([Alarm("A step failed", why, failed)] if failed else []),
        Table(
            ("question", "command", "result", "time", "report"), rows, "The most important first"
        ),
    ]
    not_run = [row[1] for row in rows if row[2] not in ("passed", "failed")]
    if not_run:
        blocks += [
            Text("There was no time for these; `bench acceptance` continues with them:"),
            Items(tuple(not_run)),
        ]
    pages = {step.page for step, (result, _) in zip(steps, ended, strict=True) if result}
    return [
        *blocks,
        *_answers([folder / name for name in sorted(pages)]),
        Heading("Machine", 2),
        Table(MACHINE_COLUMNS, (machine_cells(machine),)),
        Heading("Facts about its GPUs", 2),
        Table(("fact", "value"), tuple((fact.name, fact.value) for fact in facts)),
    ]


def _copy_anonymously(folder: Path, to_send: Path) -> None:
    """Copy every run in a folder without names, and write its report."""
    for jobs in sorted(folder.glob("*/jobs")):
        with contextlib.suppress(RunError):  # no job has ended
            copy_anonymously(Run.read(jobs.parent), to_send / jobs.parent.name, private_words())
            write_report(to_send / jobs.parent.name)


def _answers(folders: list[Path]) -> list[Block]:
    """The answers of the experiments in the folders of runs, with a heading; [] without any."""
    answers = [block for folder in folders for block in _answers_in(folder)]
    return [Heading("Experiments", 2), Text(_EXPERIMENTS), *answers] if answers else []


def _answers_in(folder: Path) -> list[Block]:
    if not (folder / "jobs").is_dir():
        return []
    try:
        return tuned.experiments(Run.read(folder))
    except UserError:  # stopped before its first record
        return []


def _say_end(console: Console, folder: Path, to_send: Path, ended: list[Ended]) -> None:
    count = {kind: sum(step.result == kind for step in ended) for kind in ("passed", "failed")}
    not_started = len(ended) - sum(count.values())
    console.print(
        f"{count['passed']} steps passed, {count['failed']} failed, {not_started} not finished"
    )
    console.print(f"page: {folder / 'report.html'}")
    console.print(f"to send: {_archive(to_send, folder / 'acceptance.tar.gz')}")


def _archive(folder: Path, path: Path) -> Path:
    """Write all records and reports into one file, without their owner; returns its path."""
    part = path.with_suffix(".part")
    try:
        with tarfile.open(part, "w:gz") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and file not in (path, part) and not file.name.startswith("."):
                    name = Path("acceptance") / file.relative_to(folder)
                    archive.add(file, name, filter=_without_owner)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _without_owner(file: tarfile.TarInfo) -> tarfile.TarInfo:
    file.uid = file.gid = 0
    file.uname = file.gname = ""
    return file
