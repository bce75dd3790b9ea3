"""The commands that read runs: report, compare, check, export; what is heavy is imported where it is used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.files import write_atomically
from bench.report.words import first_of
from specs.errors import UserError
from specs.loading import find_suite


def report(options: argparse.Namespace) -> int:
    """`bench report`: the report of a run, anew; with `--into`, its accuracy table into a Markdown file instead.

    1 if a result disagrees with those of the other backends.
    """
    if options.into is None:
        if options.suite:
            raise UserError(
                "--suite without --into", expected="--into FILE, whose table then lists the suite's workloads"
            )
        return 0 if write_run_report(options.run) else 1
    from rich.console import Console  # see write_run_report

    from bench.report.agreement import print_alarm
    from bench.report.page import fill_table

    suite = find_suite(options.suite) if options.suite else None
    frame = fill_table(options.into, options.run, [part.workload for part in suite.workloads] if suite else ())
    print(f"{options.into}: table of {options.run}")
    return 0 if print_alarm(frame, Console()) else 1


def compare(options: argparse.Namespace) -> int:
    """`bench compare`: runs side by side. 1 if a result disagrees with those of the other backends of its run."""
    from rich.console import Console  # see write_run_report

    from bench.report.agreement import print_alarm
    from bench.report.compare import Comparison

    comparison = Comparison(options.runs)
    _warn(comparison.damaged)
    comparison.print_table(Console())
    if options.output:
        comparison.write(options.output)
        print(f"\n{options.output / 'report.html'}, with report.md, plots/ and comparison.csv beside it")
    return 0 if print_alarm(comparison.frame, Console()) else 1


def check(options: argparse.Namespace) -> int:
    """`bench check`: accuracy against a baseline, and backends against each other.

    1 if a cell fell, failed, is missing or cannot be checked, or if backends disagree.
    """
    from rich.console import Console  # see write_run_report

    from bench import check as gate
    from bench.report.page import records_of
    from bench.report.verdicts import print_verdicts, verdicts_markdown

    (run, damaged), (baseline, more) = (records_of(folder) for folder in (options.run, options.against))
    _warn([*damaged, *more])
    agreements = gate.check_agreement(run, options.backend)
    cells = gate.check(run, baseline, level=options.level, backends=options.backend)
    checked = gate.Checked(cells=tuple(cells), agreements=tuple(agreements), allow_new=options.allow_new)
    print_verdicts(checked, Console())
    title = f"{options.run} against {options.against}"
    summary = verdicts_markdown(checked, title, options.level)
    write_atomically(options.junit or options.run / "check.xml", gate.junit(checked, title))
    write_atomically(options.markdown or options.run / "check.md", summary.encode())
    return 0 if checked.passed else 1


def export(options: argparse.Namespace) -> int:
    """`bench export`: a run in another form, to standard output or a file."""
    from bench.report.export import export  # see write_run_report

    content, damaged, disagreement = export(options.run, options.format)
    _warn(damaged)
    if disagreement:
        print(f"bench: {disagreement}", file=sys.stderr)
    if options.output:
        write_atomically(options.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0


def write_run_report(folder: Path, told: Sequence[str] = ()) -> bool:
    """Write a run's report and print its table, then what else is told; whether all results agree, the last lines."""
    from rich.console import Console  # with them come pandas and matplotlib, 1 s

    from bench.report.agreement import print_alarm
    from bench.report.page import write_report
    from bench.report.tables import print_table

    made = write_report(folder)
    _warn(made.damaged)
    console = Console()
    print_table(made.summary, made.frame, made.noise, console)
    console.print(made.proven, highlight=False, markup=False, soft_wrap=True)
    print(f"\n{folder / 'report.html'}, with report.md, plots/, summary.csv and epochs.csv beside it")
    for line in told:
        print(line)
    return print_alarm(made.frame, console)


def _warn(damaged: Sequence[Path]) -> None:
    for line in first_of([f"{path}: damaged, left out; the next run makes it again" for path in damaged]):
        print(f"bench: {line}", file=sys.stderr)
