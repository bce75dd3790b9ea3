"""`bench compare`, `history`, `nodes` and `check`: compare runs, nodes, or a run and a baseline."""

from __future__ import annotations

import argparse

from bench.command import say
from bench.command.report import warn_left_out
from bench.records.files import write_atomically
from specs.errors import UserError


def compare(options: argparse.Namespace) -> int:
    """`bench compare`: show runs side by side.

    Returns 1 if a result disagrees with the other backends of its run.
    """
    from bench.report.compare import Comparison  # see bench.command.report.write_run_report
    from bench.report.hardware import Hardware
    from bench.report.terminal.alarm import print_alarm
    from bench.report.terminal.plain import plain_console

    comparison: Comparison | Hardware
    if options.by or options.price:
        comparison = Hardware(options.runs, options.by, dict(options.price))
    else:
        comparison = Comparison(options.runs)
    warn_left_out(comparison.left_out)
    comparison.print_table(plain_console())
    if options.output:
        comparison.write(options.output)
        page = options.output / "report.html"
        say(f"\n{page}, with report.md and CSV beside it")
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
        say(f"\n{options.output / 'report.html'}, with report.md beside it")
    return 0


def nodes(options: argparse.Namespace) -> int:
    """`bench nodes`: compare the nodes of a run; returns 1 if one is sick."""
    from bench.report.nodes import Nodes  # see bench.command.report.write_run_report
    from bench.report.terminal.plain import plain_console
    from bench.statistics.timing import MARGIN

    if options.find <= MARGIN:
        raise UserError(
            f"--find {options.find:.3g}: too small", expected=f"more than {100 * MARGIN:g}%"
        )
    comparison = Nodes(options.run, options.find)
    warn_left_out(comparison.left_out)
    comparison.print_table(plain_console())
    folder = options.output or options.run / "nodes"
    comparison.write(folder)
    say(f"\n{folder / 'report.html'}, with report.md, plots/ and nodes.csv beside it")
    return 1 if comparison.sick else 0


def check(options: argparse.Namespace) -> int:
    """`bench check`: compare accuracy with a baseline, and name doubtful results.

    Returns 1 if a result regressed, failed, is missing, cannot be checked, or is doubtful. A result
    that is unconfirmed or could not be verified is also named, but does not fail the check.
    """
    from bench.report.export import junit  # see bench.command.report.write_run_report
    from bench.report.frame.epochs import records_of
    from bench.report.terminal.plain import plain_console
    from bench.report.terminal.verdicts import print_verdicts, verdicts_markdown
    from bench.statistics import gate
    from bench.statistics.doubts import check_doubts

    (run, left_out), (baseline, left_out_of_baseline) = (
        records_of(folder) for folder in (options.run, options.against)
    )
    warn_left_out([*left_out, *left_out_of_baseline])
    doubts = check_doubts(run, options.backend)
    verdicts = gate.check(run, baseline, level=options.level, backends=options.backend)
    checked = gate.CheckResult(
        results=tuple(verdicts), doubts=tuple(doubts), allow_new=options.allow_new
    )
    print_verdicts(checked, plain_console())
    title = f"{options.run} against {options.against}"
    summary = verdicts_markdown(checked, title, options.level)
    write_atomically(options.junit or options.run / "check.xml", junit.junit(checked, title))
    write_atomically(options.markdown or options.run / "check.md", summary.encode())
    return 0 if checked.passed else 1
