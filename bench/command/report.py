"""`bench report`, and its functions for other commands; it imports pandas only when needed."""

from __future__ import annotations

import argparse
import getpass
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.command import say
from bench.command.cluster.status import settle
from bench.records.files import RunError, inside
from bench.records.job import Record
from bench.records.stored import LeftOut
from bench.report.form.words import first_of
from bench.runner.cluster.submission import FOLDER as CLUSTER
from specs.errors import UserError
from specs.loading import find_suite

ANONYMOUS = "anonymous"  # the folder in a run's folder for its copy without names


def report(options: argparse.Namespace) -> int:
    """`bench report`: write the report of a run again.

    With `--into`, put tables into a Markdown file instead.

    Returns 1 if a result disagrees with the other backends.
    """
    if (options.run / CLUSTER).is_dir():
        try:
            settle(options.run)
        except RunError as error:  # from another version, or a read-only folder
            say(f"bench: {error}", error=True)
    if options.anonymous:
        return _report_anonymously(options)
    if options.into is None:
        if options.suite:
            raise UserError(
                "--suite needs --into",
                expected="--into FILE: its table then lists the suite's workloads",
            )
        return 0 if write_run_report(options.run, full=options.full) else 1
    from bench.report.readme import fill_table  # see write_run_report
    from bench.report.terminal.alarm import print_alarm
    from bench.report.terminal.plain import plain_console

    suite = find_suite(options.suite) if options.suite else None
    run = fill_table(
        options.into, options.run, [part.workload for part in suite.workloads] if suite else ()
    )
    say(f"{options.into}: table of {options.run}")
    return 0 if print_alarm(run.jobs, plain_console()) else 1


def _report_anonymously(options: argparse.Namespace) -> int:
    from bench.report.anonymous import copy_anonymously  # see write_run_report
    from bench.report.run import Run

    if options.into is not None:
        raise UserError("--anonymous does not work with --into", expected="one of them")
    run, folder = Run.read(options.run), inside(options.run, ANONYMOUS)
    copy_anonymously(run, folder, private_words())
    warn_left_out(run.left_out)
    return 0 if write_run_report(folder, full=options.full) else 1


def private_words() -> list[str]:
    """This user's name and home folder, and this machine's names, as far as they are known."""
    words = [platform.node(), platform.node().partition(".")[0]]
    with suppress(OSError, KeyError, ImportError):  # a user without a name
        words.append(getpass.getuser())
    with suppress(RuntimeError):
        words.append(Path.home().name)
    return words


def write_run_report(
    folder: Path,
    notes: Sequence[str] = (),
    known: Sequence[Record] = (),
    left_out: Sequence[LeftOut] = (),
    *,
    full: bool = False,
) -> bool:
    """Write a run's report, and print its summary; returns whether all results agree.

    The last printed lines name the results that disagree.

    Args:
        folder: the run's folder.
        notes: lines to print below the summary.
        known: records that need not be read again.
        left_out: files that were already reported to the user.
        full: print the longer table, with memory and start-up, instead of the summary.
    """
    from bench.report.page import write_report  # imports pandas and Altair, 2 s
    from bench.report.section.trust import verification_line
    from bench.report.terminal.alarm import print_alarm
    from bench.report.terminal.plain import plain_console
    from bench.report.terminal.results import print_table
    from bench.report.terminal.summary import next_command, print_summary

    run = write_report(folder, known)
    warn_left_out([file for file in run.left_out if file not in left_out])
    console = plain_console()
    show = print_table if full else print_summary
    show(run, console)
    if verified := verification_line(run):
        console.print(verified, soft_wrap=True)
    for line in notes:
        say(line)
    say(f"\npage: {folder / 'report.html'}")
    agree = print_alarm(run.jobs, console)
    if agree and (command := next_command(run)):
        console.print(command)
    return agree


def warn_left_out(left_out: Sequence[LeftOut]) -> None:
    """Print on standard error which files of a run cannot be read."""
    for line in first_of([str(file) for file in left_out]):
        say(f"bench: {line}", error=True)
