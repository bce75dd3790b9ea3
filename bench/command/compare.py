"""`bench compare`: shows runs side by side."""

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
