"""`bench compare` and `bench history`: show runs side by side, and one after the other."""

from __future__ import annotations

import argparse

from bench.command.report import warn_left_out


def compare(options: argparse.Namespace) -> int:
    """`bench compare`: show runs side by side.

    Returns 1 if a result disagrees with those of the other backends of its run.
    """
    from bench.report.compare import Comparison  # see bench.command.report.write_run_report
    from bench.report.terminal.alarm import print_alarm
    from bench.report.terminal.plain import plain_console

    comparison = Comparison(options.runs)
    warn_left_out(comparison.left_out)
    comparison.print_table(plain_console())
    if options.output:
        comparison.write(options.output)
        page = options.output / "report.html"
        print(f"\n{page}, with report.md, plots/ and comparison.csv beside it")
    return 0 if print_alarm(comparison.jobs, plain_console()) else 1


def history(options: argparse.Namespace) -> int:
    """`bench history`: follow every result over runs; returns 0."""
    from bench.report.history import History  # see bench.command.report.write_run_report
    from bench.report.terminal.plain import plain_console

    over_runs = History(options.runs)
    warn_left_out(over_runs.left_out)
    over_runs.print_table(plain_console())
    if options.output:
        over_runs.write(options.output)
        print(f"\n{options.output / 'report.html'}, with report.md beside it")
    return 0
