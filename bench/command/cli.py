"""The command line: its commands and their options.

Help and lists import no framework, no pandas and no plots, so that they answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from backends.registry import BACKENDS, ENVIRONMENTS, LEFT_OUT
from bench.command.arguments import (
    _count,
    _counts,
    _duration,
    _level,
    _modes,
    _name,
    _override,
    _percentage,
    _seeds,
    _words,
)
from specs.errors import UserError

_EXAMPLES = """\
examples:
  bench run                        the suite 'quick' with every installed backend
  bench run cnn --epochs 3         one workload
  bench run my-model.json          a workload of your own
  bench report results/quick       tables, plots and page of a run, again
  bench compare results/a results/b              two machines, devices or versions
  bench check results/quick --against baseline   did accuracy fall?
  bench verify                      are all backends equal to the reference, here?
  bench calibrate                  what can this machine tell apart?
  bench environment create torch   install a framework
"""
_RUN = (
    "Runs what has no record yet, so that the same command again goes on where it stopped; then"
    " writes the report."
)
_VERIFY = (
    "Holds every backend to the float64 reference on small models. Reports show the verifications"
    " that"
    " apply to them."
)
_CALIBRATE = (
    "Races a backend (default: pytorch) against itself. Reports say beside their tables what it"
    " found of the machine."
)
_RUN_COMMAND = "bench.command.run:run"
_RESUMED = (_RUN_COMMAND, "bench.command.calibrate:command")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0 fine, 1 a job failed, results disagree or a check did not hold, 2 usage, 130 interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # what a scheduler sends before it kills
    options = _parser().parse_args(arguments)
    for sentence in LEFT_OUT:
        print(f"bench: {sentence}", file=sys.stderr)
    try:
        module, _, name = options.command.partition(":")
        return int(getattr(importlib.import_module(module), name)(options))
    except UserError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumed = options.command in _RESUMED
        kept = "the same command resumes" if resumed else "finished tasks are kept"
        print(f"\nbench: interrupted; {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # What no command foresaw: a full disk, a folder removed while a run was writing to it.
        print(
            f"bench: {error}\n  hint: is the disk full, or was a folder removed?", file=sys.stderr
        )
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Train the same model in every framework, fairly, and measure what it takes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        *(
            _add_run,
            _add_report,
            _add_compare,
            _add_check,
            _add_verify,
            _add_calibrate,
            _add_export,
        ),
        *(_add_lists, _add_data, _add_environment),
    ):
        add(subparsers)
    return parser


def _add_run(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = subparsers.add_parser(
        "run", help="run a suite or a workload, then report", description=_RUN
    )
    run.add_argument(
        "what",
        nargs="?",
        default="quick",
        help="a suite, a workload, or a JSON file (default: quick)",
    )
    _add_place(run)
    run.add_argument("--dataset", metavar="NAME", help="instead of the workload's own")
    _add_data_directory(run)
    _add_repetitions(run)
    _add_sizes(run)
    run.add_argument(
        "--run", type=_name, metavar="NAME", help="the run's folder there (default: as what is run)"
    )
    run.add_argument("--retry", action="store_true", help="run again what did not end well")
    run.add_argument(
        "--timeout",
        type=_count,
        default=1800,
        metavar="S",
        help="seconds a job may go on without an epoch's end",
    )
    run.set_defaults(command=_RUN_COMMAND)


def _add_repetitions(run: argparse.ArgumentParser) -> None:
    """How often everything is run: seeds, rounds, and the time for them."""
    run.add_argument("--seeds", type=_seeds, metavar="0,1,2", help="instead of the suite's")
    rounds = run.add_mutually_exclusive_group()
    rounds.add_argument(
        "--rounds", type=_count, metavar="N", help="how often everything is repeated"
    )
    rounds.add_argument(
        "--until-precise",
        type=_percentage,
        metavar="SHARE",
        help="repeat until every ratio is known so well, as 2%%",
    )
    run.add_argument(
        "--budget",
        type=_duration,
        metavar="30m",
        help="begin no round after so long (90s, 30m, 2h)",
    )


def _add_sizes(run: argparse.ArgumentParser) -> None:
    """How much a job trains and evaluates: epochs, batch sizes, widths, examples."""
    run.add_argument("--epochs", type=_count, metavar="N", help="instead of the suite's")
    run.add_argument(
        "--batch-size",
        type=_counts,
        metavar="A,B",
        help="instead of the recipe's; several are a sweep",
    )
    run.add_argument(
        "--width",
        type=_counts,
        default=(1,),
        metavar="A,B",
        help="times the units of hidden layers, and the filters",
    )
    run.add_argument(
        "--evaluate",
        choices=["sample", "full"],
        default="sample",
        help="training examples to evaluate",
    )


def _add_report(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = subparsers.add_parser("report", help="tables and plots of a run, from its records")
    report.add_argument("run", type=Path, metavar="RUN", help="the run's folder, as results/quick")
    report.add_argument(
        "--into", type=Path, metavar="FILE", help="put the accuracy table between two marks in FILE"
    )
    report.add_argument(
        "--suite", metavar="NAME", help="with --into: also list what of a suite was not run"
    )
    report.set_defaults(command="bench.command.report:report")


def _add_compare(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = subparsers.add_parser(
        "compare", help="runs side by side: machines, devices, versions"
    )
    compare.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="runs' folders; ratios are to the first"
    )
    compare.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="also write report.html, report.md, CSV and plots",
    )
    compare.set_defaults(command="bench.command.compare:compare")


def _add_export(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = subparsers.add_parser(
        "export", help="a run as JSON Lines, CSV (a row per epoch), or pytest-benchmark's"
    )
    export.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    export.add_argument("--format", choices=["jsonl", "csv", "pytest-benchmark"], default="jsonl")
    export.add_argument(
        "--pytest-benchmark",
        dest="format",
        action="store_const",
        const="pytest-benchmark",
        help="that format, in short",
    )
    export.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")
    export.set_defaults(command="bench.command.export:export")


def _add_lists(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that run nothing: `list`, `show` and `contract`."""
    subparsers.add_parser("list", help="suites, workloads, backends, data sets").set_defaults(
        command="bench.command.show:listing"
    )
    show = subparsers.add_parser("show", help="a workload: layers, shapes, parameters, arithmetic")
    show.add_argument("workload", help="a name from 'bench list', or a JSON file")
    show.set_defaults(command="bench.command.show:show")
    contract = subparsers.add_parser(
        "defaults", help="per backend: the framework's defaults, and what is enforced"
    )
    contract.add_argument("--backend", type=_words, metavar="A,B", help=f"of {', '.join(BACKENDS)}")
    contract.set_defaults(command="bench.command.show:defaults")


def _add_data(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = subparsers.add_parser(
        "data", help="where the data sets are; 'fetch' downloads, 'verify' checks"
    )
    data.add_argument("action", nargs="?", choices=["list", "fetch", "verify"], default="list")
    data.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data sets (fetch: mnist; verify: all that are there)",
    )
    _add_data_directory(data)
    data.set_defaults(command="bench.command.data:data")


def _add_environment(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    environment = subparsers.add_parser(
        "environment", help="the frameworks' environments; 'create' installs them"
    )
    environment.add_argument("action", nargs="?", choices=["list", "create"], default="list")
    environment.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(ENVIRONMENTS)}; all if none"
    )
    environment.add_argument(
        "--cpu", action="store_true", help="CPU builds, even where there is an NVIDIA GPU"
    )
    environment.set_defaults(command="bench.command.environment:environment")


def _add_verify(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = subparsers.add_parser(
        "verify",
        help="is every backend equal to the float64 reference, here? exit code 1 if not",
        description=_VERIFY,
    )
    _add_place(verify)
    verify.add_argument(
        "--timeout",
        type=_count,
        default=600,
        metavar="S",
        help="seconds that the checks of one model may take",
    )
    verify.set_defaults(command="bench.command.verify:verify")


def _add_calibrate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = subparsers.add_parser(
        "calibrate",
        help="how noisy is this machine? what can it tell apart?",
        description=_CALIBRATE,
    )
    _add_place(calibrate)
    calibrate.add_argument(
        "--workload", default="softmax", metavar="NAME", help="or a JSON file (default: softmax)"
    )
    calibrate.add_argument(
        "--dataset", metavar="NAME", help="default: mnist-5k, which every machine has"
    )
    _add_data_directory(calibrate)
    calibrate.add_argument(
        "--epochs", type=_count, default=5, metavar="N", help="of a job (default: 5)"
    )
    calibrate.add_argument(
        "--rounds",
        type=_count,
        default=40,
        metavar="N",
        help="of two jobs each, those made before counted (40)",
    )
    calibrate.add_argument("--retry", action="store_true", help="run again what did not end well")
    calibrate.add_argument(
        "--timeout", type=_count, default=600, metavar="S", help="as of bench run"
    )
    calibrate.set_defaults(command="bench.command.calibrate:command")


def _add_place(parser: argparse.ArgumentParser) -> None:
    """On what to run, and where the results go: alike for `run`, `verify` and `calibrate`."""
    parser.add_argument("--backend", type=_words, metavar="A,B", help=f"of {', '.join(BACKENDS)}")
    parser.add_argument("--tuned", action="store_true", help="also each backend's tuned variants")
    parser.add_argument(
        "--mode",
        type=_modes,
        default=("matched",),
        metavar="A,B",
        help="matched (default: all alike), native, or both",
    )
    parser.add_argument(
        "--device",
        type=_words,
        metavar="A,B",
        help="cpu, cuda:0, mps, xpu:0; cuda is every GPU (default: all but mps, xpu)",
    )
    parser.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="CPU threads (default: what the scheduler allows)",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results lie"
    )
    parser.add_argument(
        "--python",
        action="append",
        type=_override,
        default=[],
        metavar="ENV=PATH",
        help="another interpreter",
    )


def _add_check(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = subparsers.add_parser(
        "check", help="did accuracy fall against a baseline, do backends agree? exit code 1 if not"
    )
    check.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    check.add_argument(
        "--against",
        type=Path,
        required=True,
        metavar="BASELINE",
        help="a run's folder to hold it to",
    )
    check.add_argument(
        "--backend", type=_words, metavar="A,B", help="only these of the baseline (default: all)"
    )
    check.add_argument(
        "--level",
        type=_level,
        default=0.01,
        metavar="P",
        help="false alarms per check, all cells together (0.01)",
    )
    check.add_argument(
        "--allow-new", action="store_true", help="let pass what the baseline has no job for"
    )
    check.add_argument(
        "--junit", type=Path, metavar="FILE", help="JUnit XML (default: RUN/check.xml)"
    )
    check.add_argument(
        "--markdown", type=Path, metavar="FILE", help="a summary (default: RUN/check.md)"
    )
    check.set_defaults(command="bench.command.check:check")


def _add_data_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="a folder with MNIST's four .gz files (or the variable FRAMEWORK_BENCH_DATA)",
    )


if __name__ == "__main__":
    sys.exit(main())
