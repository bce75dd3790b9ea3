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
    """`bench report`: the report of a run, anew; with `--into`, its accuracy table into a Markdown file instead."""
    if options.into is None:
        if options.suite:
            raise UserError(
                "--suite without --into", expected="--into FILE, whose table then lists the suite's workloads"
            )
        write_run_report(options.run)
        return 0
    from bench.report.page import fill_table  # see write_run_report

    suite = find_suite(options.suite) if options.suite else None
    fill_table(options.into, options.run, [part.workload for part in suite.workloads] if suite else ())
    print(f"{options.into}: table of {options.run}")
    return 0


def compare(options: argparse.Namespace) -> int:
    """`bench compare`: runs side by side."""
    from rich.console import Console  # see write_run_report

    from bench.report.compare import Comparison

    comparison = Comparison(options.runs)
    _warn(comparison.damaged)
    comparison.print_table(Console())
    if options.output:
        comparison.write(options.output)
        print(f"\n{options.output / 'report.html'}, with report.md, plots/ and comparison.csv beside it")
    return 0


def check(options: argparse.Namespace) -> int:
    """`bench check`: accuracy against a baseline. 1 if a cell fell, failed or is missing."""
    from rich.console import Console  # see write_run_report

    from bench import check as gate
    from bench.report.page import records_of
    from bench.report.verdicts import print_verdicts, verdicts_markdown

    (run, damaged), (baseline, more) = (records_of(folder) for folder in (options.run, options.against))
    _warn([*damaged, *more])
    if options.backend:
        run, baseline = ([r for r in rs if r.job.backend in options.backend] for rs in (run, baseline))
    verdicts = gate.check(run, baseline, level=options.level)
    print_verdicts(verdicts, Console())
    title = f"{options.run} against {options.against}"
    summary = verdicts_markdown(verdicts, title, options.level)
    write_atomically(options.junit or options.run / "check.xml", gate.junit(verdicts, title))
    write_atomically(options.markdown or options.run / "check.md", summary.encode())
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def export(options: argparse.Namespace) -> int:
    """`bench export`: a run in another form, to standard output or a file."""
    from bench.report.export import export  # see write_run_report

    content, damaged = export(options.run, options.format)
    _warn(damaged)
    if options.output:
        write_atomically(options.output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0


def write_run_report(folder: Path) -> None:
    """Write a run's report and print its table."""
    from rich.console import Console  # with them come pandas and matplotlib, 1 s

    from bench.report.page import write_report
    from bench.report.tables import print_table

    made = write_report(folder)
    _warn(made.damaged)
    console = Console()
    print_table(made.summary, made.frame, made.noise, console)
    console.print(made.proven, highlight=False, markup=False, soft_wrap=True)
    print(f"\n{folder / 'report.html'}, with report.md, plots/, summary.csv and epochs.csv beside it")


def _warn(damaged: Sequence[Path]) -> None:
    for line in first_of([f"{path}: damaged, left out; the next run makes it again" for path in damaged]):
        print(f"bench: {line}", file=sys.stderr)
