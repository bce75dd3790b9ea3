"""The commands of the command line and their options.

This module imports no framework, no pandas and no plots, so that help and lists are fast.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

from backends.exports.formats import FORMATS
from backends.registry import BACKENDS, ENVIRONMENTS, EXPERIMENTS, SCRIPTS
from bench.command import arguments, say
from specs.errors import closest

_EXAMPLES = """\
examples:
  bench run                        suite 'quick' with every installed backend
  bench run cnn --epochs 3         one workload
  bench run my-model.json          your own workload
  bench report results/quick       write a run's tables, plots and page again
  bench compare results/a results/b             two machines, devices, versions
  bench nodes results/all          which node of a cluster is sick?
  bench check results/quick --against BASELINE  has accuracy regressed?
  bench show cnn --as pytorch      the same training as a short script
  bench verify                     do all backends compute the same?
  bench calibrate                  how noisy is this machine?
  bench environment create torch   install a framework
  bench acceptance --budget 30m    check a machine and its GPUs
  bench submit quick --partition a100,h100 --nodes 4    run on a cluster
"""
_RUN = (
    "Runs the jobs that have no record yet, then writes the report. Stop it at any time: the same"
    " command resumes."
)
_SUBMIT = (
    "Submits job arrays to Slurm. A task trains one workload on one device of a node, with all"
    " backends. The same command submits lost tasks again. Pass the run's folder to bench status,"
    " report and cancel."
)
_VERIFY = (
    "Checks every backend against the float64 reference on small models. The reports of runs"
    " on this machine show the result."
)
_ACCEPTANCE = (
    "Runs other commands, the most important first: does every framework train here? Are its"
    " results correct? How fast is it? How noisy is the machine? Then writes a page, and one file"
    " with all records. The same command resumes."
)
_CALIBRATE = (
    "Runs a backend (default: pytorch) against itself, to measure how much times vary by chance."
    " Reports show the result beside their tables."
)
# argparse has no public name for it.
_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001
# Formats of `bench export` for records.
_RECORDS = ["jsonl", "csv", "latex", "pytest-benchmark", "bencher", "otava"]


def make_parser() -> argparse.ArgumentParser:
    """The parser of `bench`; each command sets `command` to "module:function"."""
    parser: argparse.ArgumentParser = _Parser(
        prog="bench",
        description="Train the same model in every deep-learning framework, and compare them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for add in (_add_run, _add_report, _add_compare, _add_check, _add_verify, _add_calibrate):
        add(subparsers)
    for add in (_add_nodes, _add_history, _add_export, _add_overview, _add_lists, _add_data):
        add(subparsers)
    for add in (_add_environment, _add_acceptance, _add_cluster):
        add(subparsers)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser with short errors: the problem, then the command to run."""

    def error(self, message: str) -> NoReturn:
        command = re.match(
            r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)", message
        )
        if command:
            commands = re.findall(r"'(.*?)'", command[2])
            message = (
                f"no command is named '{command[1]}'\n  expected: one of {', '.join(commands)}"
            )
            near = closest(command[1], commands)
            message += f"\n  hint: {near}" if near else ""
        self.exit(2, f"{self.prog}: {message}\n  see: {self.prog} --help\n")


class _Version(argparse.Action):
    """Prints the version; reading it takes time, so it is read only here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        say(f"bench {importlib.metadata.version('framework-bench')}")
        parser.exit()


def _command(
    subparsers: _Subparsers, name: str, target: str, text: str, description: str | None = None
) -> argparse.ArgumentParser:
    """Add a command, which calls `target` ("module:function" in `bench.command`)."""
    command = subparsers.add_parser(name, help=text, description=description)
    command.set_defaults(command=f"bench.command.{target}")
    return command


def _value(
    parser: argparse._ActionsContainer,
    name: str,
    reader: Callable[[str], object],
    metavar: str,
    text: str,
    *,
    default: object = None,
) -> None:
    """Add an option whose value `reader` reads."""
    parser.add_argument(name, type=reader, metavar=metavar, help=text, default=default)


def _values(
    parser: argparse._ActionsContainer,
    name: str,
    reader: Callable[[str], object],
    metavar: str,
    text: str,
) -> None:
    """Add an option that may be given several times."""
    parser.add_argument(name, action="append", type=reader, metavar=metavar, help=text, default=[])


def _flag(parser: argparse._ActionsContainer, name: str, text: str) -> None:
    """Add an option without a value."""
    parser.add_argument(name, action="store_true", help=text)


def _run_folder(
    parser: argparse.ArgumentParser,
    name: str = "run",
    text: str = "the run's folder",
    nargs: str | None = None,
) -> None:
    """Add the folder of a run, or of several."""
    parser.add_argument(name, nargs=nargs, type=arguments.run_folder, metavar="RUN", help=text)


def _add_run(subparsers: _Subparsers) -> None:
    text = "run a suite or a workload, then report"
    run = _command(subparsers, "run", "run:run", text, _RUN)
    _add_what_runs(run)
    before = run.add_mutually_exclusive_group()
    _flag(before, "--install", "first install missing environments")
    _flag(before, "--dry-run", "show what would run and how long; run nothing")


def _add_cluster(subparsers: _Subparsers) -> None:
    """The commands for clusters: `submit`, `status`, `cancel`, and `task` for their scripts."""
    text = "run a suite on nodes of a cluster, through Slurm"
    submit = _command(subparsers, "submit", "cluster.submit:submit", text, _SUBMIT)
    _add_what_runs(submit)
    _add_slurm(submit)
    _flag(submit, "--dry-run", "print the script for sbatch; submit nothing")
    for name, text in (
        ("status", "show a submitted run's pending, running, done and lost tasks, by node"),
        ("cancel", "cancel a submitted run's pending and running tasks"),
    ):
        _run_folder(_command(subparsers, name, f"cluster.status:{name}", text))
    text = "run one task on a node (bench submit's scripts call it)"
    task = _command(subparsers, "task", "cluster.task:task", text)
    task.add_argument("folder", type=Path, metavar="DIR", help="RUN/cluster/NUMBER")
    task.add_argument("number", type=int, metavar="N", help="the number of the task, from 0")


def _add_slurm(submit: argparse.ArgumentParser) -> None:
    """Options of `bench submit` for Slurm."""
    text = "partitions (queues; default: the cluster's default partition)"
    _value(submit, "--partition", arguments.words, "A,B", text)
    text = (
        "N nodes of each partition, idle nodes first; all nodes that are up; or a list, e.g."
        " gpu[001-004] (default: 1). Every node runs the whole suite"
    )
    _value(submit, "--nodes", arguments.nodes, "N|all|LIST", text, default="1")
    submit.add_argument(
        "--exclusive",
        choices=["node", "gpu"],
        default="node",
        help="reserve a whole node (default) or one GPU for each task",
    )
    text = "time limit of a task: one workload on one device, all backends (default: 1h)"
    _value(submit, "--time", arguments.duration, "1h", text, default=3600.0)
    text = "pass this option to sbatch, e.g. --sbatch=--account=physics"
    _values(submit, "--sbatch", arguments.sbatch_option, "OPTION", text)


def _add_what_runs(run: argparse.ArgumentParser) -> None:
    """Options of `run` and `submit`."""
    run.add_argument(
        "what",
        nargs="?",
        default="quick",
        help="a suite, a workload, or a JSON file (default: quick)",
    )
    _add_place(run)
    run.add_argument("--dataset", metavar="NAME", help="override the workload's data set")
    _add_data_directory(run)
    _add_repetitions(run)
    _add_sizes(run)
    text = "folder name under --results (default: the suite's name)"
    _value(run, "--run", arguments.name, "NAME", text)
    _flag(run, "--retry", "re-run failed jobs")
    text = "keep the trained models of the first seed and round, for bench export"
    _flag(run, "--keep-weights", text)
    _add_timeout(run, 1800, "a job that finishes no epoch in S seconds")


def _add_repetitions(run: argparse.ArgumentParser) -> None:
    """Options for the number of jobs: seeds, rounds, and the time limit."""
    _value(run, "--seeds", arguments.seeds, "0,1,2", "override the suite's seeds")
    rounds = run.add_mutually_exclusive_group()
    text = "number of times that each job runs (default: the suite's)"
    _value(rounds, "--rounds", arguments.count, "N", text)
    text = "add turns, then rounds, until every ratio has this precision, e.g. 2%%"
    _value(rounds, "--until-precise", arguments.percentage, "SHARE", text)
    text = (
        "after the epochs, time each backend N more times, in turn with the others"
        " (default: the suite's; 0: no turns)"
    )
    _value(run, "--turns", arguments.count_or_zero, "N", text)
    text = "start no new round after this time (90s, 30m, 2h)"
    _value(run, "--budget", arguments.duration, "30m", text)


def _add_sizes(run: argparse.ArgumentParser) -> None:
    """Options for the size of a job: epochs, batch sizes, widths, evaluated examples."""
    _value(run, "--epochs", arguments.count, "N", "override the number of epochs")
    text = "override the batch size; several make a sweep"
    _value(run, "--batch-size", arguments.counts, "A,B", text)
    text = "multiply hidden units and filters by these (default: 1)"
    _value(run, "--width", arguments.counts, "A,B", text, default=(1,))
    run.add_argument(
        "--evaluate",
        choices=["sample", "full"],
        default="sample",
        help="evaluate 10,000 training examples (sample) or all (full)",
    )


def _add_report(subparsers: _Subparsers) -> None:
    text = "write a run's tables, plots and page again"
    report = _command(subparsers, "report", "report:report", text)
    _run_folder(report, text="the run's folder, e.g. results/quick")
    _flag(report, "--full", "print a longer table: also memory and start-up")
    text = (
        "write a table of accuracies, of accuracies and time ratios, or of published"
        " accuracies, between two marker lines of FILE; if FILE has none, the error message shows"
        " them"
    )
    _value(report, "--into", Path, "FILE", text)
    text = "with --into: also list workloads of this suite that were not run"
    report.add_argument("--suite", metavar="NAME", help=text)
    _add_anonymous(report, "write RUN/anonymous, a copy to send to others,")


def _add_compare(subparsers: _Subparsers) -> None:
    text = "show runs side by side: machines, devices, versions"
    compare = _command(subparsers, "compare", "compare:compare", text)
    _run_folder(compare, "runs", "the folders of runs; times are relative to the first run", "+")
    compare.add_argument(
        "--by",
        choices=["partition", "gpu", "cpu", "driver", "version", "node", "run"],
        help="group all nodes by this, and compare the groups: speed, energy, price",
    )
    text = "price per hour of what a job reserves on a node, for a group of --by"
    _values(compare, "--price", arguments.price, "NAME=2.10/h", text)
    _value(compare, "--output", Path, "DIR", "also write report.html, report.md, CSV and a chart")


def _add_nodes(subparsers: _Subparsers) -> None:
    text = "compare a run's nodes with each other; exit code 1 if one is sick"
    nodes = _command(subparsers, "nodes", "compare:nodes", text)
    _run_folder(nodes)
    text = "slowdown to detect: print how many rounds it needs (default: 5%%)"
    _value(nodes, "--find", arguments.percentage, "SHARE", text, default=0.05)
    _value(nodes, "--output", Path, "DIR", "folder of the page (default: RUN/nodes)")


def _add_history(subparsers: _Subparsers) -> None:
    text = "show since when a result changed: accuracy, time, versions"
    history = _command(subparsers, "history", "compare:history", text)
    _run_folder(history, "runs", "the folders of runs, in any order", "+")
    _value(history, "--output", Path, "DIR", "also write report.html and report.md")


def _add_export(subparsers: _Subparsers) -> None:
    text = "convert a run to JSON Lines, CSV, LaTeX, Bencher; its models to t7, caffe"
    export = _command(subparsers, "export", "export:export", text)
    _run_folder(export)
    _run_folder(export, "more", "with otava: more runs", "*")
    export.add_argument(
        "--format",
        choices=[*_RECORDS, *FORMATS, ",".join(FORMATS)],
        default="jsonl",
        metavar="NAME",
        help=f"{', '.join(_RECORDS)}: the records (default: jsonl);"
        f" {' or '.join([*FORMATS, ','.join(FORMATS)])}: the models, checked against the reference",
    )
    export.add_argument(
        "--pytest-benchmark",
        dest="format",
        action="store_const",
        const="pytest-benchmark",
        help="same as --format pytest-benchmark",
    )
    text = "output file (default: standard output); for models, a folder (default: RUN/exported)"
    _value(export, "--output", Path, "FILE", text)
    _add_anonymous(export, "write the records")
    text = "only models of these workloads"
    _value(export, "--workload", arguments.words, "A,B", text)
    _value(export, "--backend", arguments.words, "A,B", "only models of these backends")
    _add_data_directory(export)


def _add_overview(subparsers: _Subparsers) -> None:
    text = "make slides for a course from a run: an overview of the frameworks"
    overview = _command(subparsers, "overview", "export:overview", text)
    _run_folder(overview)
    overview.add_argument(
        "--format",
        choices=["markdown", "beamer", "html"],
        default="markdown",
        help="markdown (for Marp), beamer (LaTeX) or html (default: %(default)s)",
    )
    text = "output folder (default: RUN/overview); texts that you edited there are kept"
    _value(overview, "--output", Path, "DIR", text)
    _add_data_directory(overview)


def _add_lists(subparsers: _Subparsers) -> None:
    """The commands that run nothing: `list`, `show` and `defaults`."""
    text = "list suites, workloads, backends and data sets"
    _command(subparsers, "list", "show:listing", text)
    text = "show a workload: layers, shapes, parameters, FLOPs"
    show = _command(subparsers, "show", "show:show", text)
    show.add_argument("workload", help="a name from 'bench list', or a JSON file")
    show.add_argument(
        "--as",
        dest="framework",
        metavar="NAME",
        help=f"print it as a script instead: {', '.join(SCRIPTS)}",
    )
    text = "show each framework's defaults, and what the bench sets instead"
    _add_backend(_command(subparsers, "defaults", "show:defaults", text))


def _add_data(subparsers: _Subparsers) -> None:
    text = "list, download (fetch) or check (verify) data sets"
    data = _command(subparsers, "data", "data:data", text)
    data.add_argument("action", nargs="?", choices=["list", "fetch", "verify"], default="list")
    data.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data sets (default for fetch: mnist; for verify: all that exist here)",
    )
    _add_data_directory(data)


def _add_environment(subparsers: _Subparsers) -> None:
    environment = _command(
        subparsers,
        "environment",
        "environment:show",
        "list or install (create) the frameworks' environments, or pack them",
        "Without an action, lists the frameworks' environments.",
    )
    actions = environment.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="list them (default)")
    create = _command(actions, "create", "environment:create", "install them")
    create.add_argument(
        "--from",
        dest="wheelhouse",
        type=Path,
        metavar="FOLDER",
        help="install from a packed folder, without a network (without NAME: all of it)",
    )
    pack = _command(
        actions,
        "pack",
        "environment:pack",
        "download packages for machines without a network, for create --from FOLDER",
        "Downloads the packages of the environments and of the bench itself, for this"
        " Python, system and processor.",
    )
    pack.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the packages")
    for action in (create, pack):
        _add_builds(action)


def _add_builds(action: argparse.ArgumentParser) -> None:
    """Options for the names of environments and their GPUs."""
    action.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(ENVIRONMENTS)}; or a suite: the environments of its backends for which"
        " this machine has a Python (default: those of the default backends)",
    )
    _flag(action, "--cpu", "install CPU builds even if there is an NVIDIA GPU")
    _flag(action, "--cuda", "install builds for NVIDIA GPUs (default if there is one)")
    text = "NVIDIA driver of the machines with GPUs, e.g. 550 (default: this machine's)"
    _value(action, "--driver", arguments.driver, "VERSION", text)
    text = "e.g. 8.0 for an A100, 9.0 for an H100 (default: that of this machine's GPUs)"
    _value(action, "--compute-capability", arguments.capabilities, "A,B", text)


def _add_verify(subparsers: _Subparsers) -> None:
    text = "check every backend against a float64 reference; exit code 1 if one differs"
    verify = _command(subparsers, "verify", "verify:verify", text, _VERIFY)
    _add_place(verify)
    text = "check only the first training steps of these workloads, in full size"
    _value(verify, "--workload", arguments.words, "A,B", text)
    text = "with --workload: at these batch sizes (default: the workload's)"
    _value(verify, "--batch-size", arguments.counts, "A,B", text)
    _add_data_directory(verify)
    _add_timeout(verify, 600, "a worker that checks one model for more than S seconds")


def _add_calibrate(subparsers: _Subparsers) -> None:
    text = "measure the timing noise of this machine"
    calibrate = _command(subparsers, "calibrate", "calibrate:command", text, _CALIBRATE)
    _add_place(calibrate)
    text = "a workload or a JSON file (default: softmax)"
    calibrate.add_argument("--workload", default="softmax", metavar="NAME", help=text)
    text = "override the data set (default: mnist-5k)"
    calibrate.add_argument("--dataset", metavar="NAME", help=text)
    _add_data_directory(calibrate)
    _value(calibrate, "--epochs", arguments.count, "N", "epochs of a job (default: 5)", default=5)
    text = "total rounds, including earlier runs; a round is two jobs (default: 40)"
    _value(calibrate, "--rounds", arguments.count, "N", text, default=40)
    _flag(calibrate, "--retry", "re-run failed jobs")
    _add_timeout(calibrate, 600, "a job that finishes no epoch in S seconds")


def _add_acceptance(subparsers: _Subparsers) -> None:
    text = "check a machine and its GPUs in limited time; write a page and a file to send"
    acceptance = _command(subparsers, "acceptance", "acceptance:acceptance", text, _ACCEPTANCE)
    text = "stop after this time (90s, 30m, 2h; default: 30m)"
    _value(acceptance, "--budget", arguments.duration, "30m", text, default=1800.0)
    _add_backend(acceptance)
    text = "default: all NVIDIA GPUs, or the CPU if there is none"
    _value(acceptance, "--device", arguments.words, "A,B", text)
    text = "default: float32,tf32,bfloat16 on GPUs, float32,bfloat16 on CPUs"
    _value(acceptance, "--precision", arguments.precisions, "A,B", text)
    _add_anonymous(acceptance, "make the file to send")
    _add_folders(acceptance)
    _add_data_directory(acceptance)


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Options of `run`, `verify` and `calibrate`: what runs, where, and the folders."""
    _add_backend(parser)
    _flag(parser, "--tuned", "also run each backend's tuned variants")
    text = (
        "matched (default): the same training in all frameworks; native: as in each"
        " framework's tutorial"
    )
    _value(parser, "--mode", arguments.modes, "A,B", text)
    text = "of matrix products: float32 (default), tf32 (NVIDIA GPUs), bfloat16 (mixed precision)"
    _value(parser, "--precision", arguments.precisions, "A,B", text)
    text = (
        "cpu, cuda (all NVIDIA GPUs; also: gpu), cuda:0, cuda:0:1 (MIG slice 1 of GPU 0), mps,"
        " xpu:0; 4xcuda: four GPUs that share each batch; 2x4xcuda: two nodes with four GPUs each"
        " (default: the CPU and one NVIDIA GPU of each kind)"
    )
    _value(parser, "--device", arguments.words, "A,B", text)
    text = "train on this Spark cluster instead of --device; only with --backend spark"
    _value(parser, "--spark-master", arguments.spark_master, "spark://HOST:PORT", text)
    text = "CPU threads; cores: one per core (default: one per CPU that the process may use)"
    _value(parser, "--threads", arguments.threads, "N|cores", text)
    _add_folders(parser)


def _add_backend(parser: argparse.ArgumentParser) -> None:
    usual = [name for name in BACKENDS if name not in EXPERIMENTS]
    text = (
        f"one or more of: {', '.join(usual)}; or of the experiments in `bench list`;"
        " pytorch@2.12.0 selects a version"
    )
    _value(parser, "--backend", arguments.words, "A,B", text)


def _add_anonymous(parser: argparse.ArgumentParser, what: str) -> None:
    text = f"{what} without machine names, user names, paths, GPU UUIDs and logs"
    _flag(parser, "--anonymous", text)


def _add_timeout(parser: argparse.ArgumentParser, seconds: int, what: str) -> None:
    text = f"kill {what} (default: {seconds})"
    _value(parser, "--timeout", arguments.count, "S", text, default=seconds)


def _add_folders(parser: argparse.ArgumentParser) -> None:
    """Options for the folder of results and for interpreters."""
    text = "folder of all results (default: results)"
    _value(parser, "--results", Path, "DIR", text, default=Path("results"))
    text = "use this interpreter for an environment; all=PATH for every environment"
    _values(parser, "--python", arguments.override, "ENV=PATH", text)
    text = (
        "set this environment variable for the frameworks, and record it; your own variables"
        " that change results (XLA_FLAGS, OMP_..., ...) are not passed on"
    )
    _values(parser, "--variable", arguments.variable, "NAME=VALUE", text)


def _add_check(subparsers: _Subparsers) -> None:
    text = "compare accuracy with a baseline; exit code 1 if it regressed"
    check = _command(subparsers, "check", "compare:check", text)
    _run_folder(check)
    check.add_argument(
        "--against",
        type=arguments.run_folder,
        required=True,
        metavar="BASELINE",
        help="the folder of the run to compare with",
    )
    _value(check, "--backend", arguments.words, "A,B", "check only these backends (default: all)")
    text = "probability that a check fails though nothing changed (default: 0.01)"
    _value(check, "--level", arguments.level, "P", text, default=0.01)
    _flag(check, "--allow-new", "do not fail on results that are missing in the baseline")
    _value(check, "--junit", Path, "FILE", "JUnit XML (default: RUN/check.xml)")
    _value(check, "--markdown", Path, "FILE", "a summary (default: RUN/check.md)")


def _add_data_directory(parser: argparse.ArgumentParser) -> None:
    text = "a folder with MNIST's four .gz files (or the variable FRAMEWORK_BENCH_DATA)"
    _value(parser, "--data-dir", Path, "DIR", text)
