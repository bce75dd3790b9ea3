"""The commands of the command line and their options.

This module imports no framework, no pandas and no plots, so that help and lists are fast.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn

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
    for add in (
        _add_nodes,
        _add_history,
        _add_export,
        _add_overview,
        _add_lists,
        _add_data,
        _add_environment,
    ):
        add(subparsers)
    for add in (_add_acceptance, _add_cluster):
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


def _add_run(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = subparsers.add_parser(
        "run", help="run a suite or a workload, then report", description=_RUN
    )
    _add_what_runs(run)
    before = run.add_mutually_exclusive_group()
    before.add_argument("--install", action="store_true", help="first install missing environments")
    before.add_argument(
        "--dry-run", action="store_true", help="show what would run and how long; run nothing"
    )
    run.set_defaults(command="bench.command.run:run")


def _add_cluster(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands for clusters: `submit`, `status`, `cancel`, and `task` for their scripts."""
    submit = subparsers.add_parser(
        "submit", help="run a suite on nodes of a cluster, through Slurm", description=_SUBMIT
    )
    _add_what_runs(submit)
    _add_slurm(submit)
    submit.add_argument(
        "--dry-run", action="store_true", help="print the script for sbatch; submit nothing"
    )
    submit.set_defaults(command="bench.command.cluster.submit:submit")
    for name, text in (
        ("status", "show a submitted run's pending, running, done and lost tasks, by node"),
        ("cancel", "cancel a submitted run's pending and running tasks"),
    ):
        command = subparsers.add_parser(name, help=text)
        command.add_argument(
            "run", type=arguments.run_folder, metavar="RUN", help="the run's folder"
        )
        command.set_defaults(command=f"bench.command.cluster.status:{name}")
    task = subparsers.add_parser(
        "task", help="run one task on a node (bench submit's scripts call it)"
    )
    task.add_argument("folder", type=Path, metavar="DIR", help="RUN/cluster/NUMBER")
    task.add_argument("number", type=int, metavar="N", help="the number of the task, from 0")
    task.set_defaults(command="bench.command.cluster.task:task")


def _add_slurm(submit: argparse.ArgumentParser) -> None:
    """Options of `bench submit` for Slurm."""
    submit.add_argument(
        "--partition",
        type=arguments.words,
        metavar="A,B",
        help="partitions (queues; default: the cluster's default partition)",
    )
    submit.add_argument(
        "--nodes",
        type=arguments.nodes,
        default="1",
        metavar="N|all|LIST",
        help="N nodes of each partition, idle nodes first; all nodes that are up; or a list, e.g."
        " gpu[001-004] (default: 1). Every node runs the whole suite",
    )
    submit.add_argument(
        "--exclusive",
        choices=["node", "gpu"],
        default="node",
        help="reserve a whole node (default) or one GPU for each task",
    )
    submit.add_argument(
        "--time",
        type=arguments.duration,
        default=3600.0,
        metavar="1h",
        help="time limit of a task: one workload on one device, all backends (default: 1h)",
    )
    submit.add_argument(
        "--sbatch",
        action="append",
        type=arguments.sbatch_option,
        default=[],
        metavar="OPTION",
        help="pass this option to sbatch, e.g. --sbatch=--account=physics",
    )


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
    run.add_argument(
        "--run",
        type=arguments.name,
        metavar="NAME",
        help="folder name under --results (default: the suite's name)",
    )
    run.add_argument("--retry", action="store_true", help="re-run failed jobs")
    run.add_argument(
        "--keep-weights",
        action="store_true",
        help="keep the trained models of the first seed and round, for bench export",
    )
    _add_timeout(run, 1800, "a job that finishes no epoch in S seconds")


def _add_repetitions(run: argparse.ArgumentParser) -> None:
    """Options for the number of jobs: seeds, rounds, and the time limit."""
    run.add_argument(
        "--seeds", type=arguments.seeds, metavar="0,1,2", help="override the suite's seeds"
    )
    rounds = run.add_mutually_exclusive_group()
    rounds.add_argument(
        "--rounds",
        type=arguments.count,
        metavar="N",
        help="number of times that each job runs (default: the suite's)",
    )
    rounds.add_argument(
        "--until-precise",
        type=arguments.percentage,
        metavar="SHARE",
        help="add turns, then rounds, until every ratio has this precision, e.g. 2%%",
    )
    run.add_argument(
        "--turns",
        type=arguments.count_or_zero,
        metavar="N",
        help="after the epochs, time each backend N more times, in turn with the others"
        " (default: the suite's; 0: no turns)",
    )
    run.add_argument(
        "--budget",
        type=arguments.duration,
        metavar="30m",
        help="start no new round after this time (90s, 30m, 2h)",
    )


def _add_sizes(run: argparse.ArgumentParser) -> None:
    """Options for the size of a job: epochs, batch sizes, widths, evaluated examples."""
    run.add_argument(
        "--epochs", type=arguments.count, metavar="N", help="override the number of epochs"
    )
    run.add_argument(
        "--batch-size",
        type=arguments.counts,
        metavar="A,B",
        help="override the batch size; several make a sweep",
    )
    run.add_argument(
        "--width",
        type=arguments.counts,
        default=(1,),
        metavar="A,B",
        help="multiply hidden units and filters by these (default: 1)",
    )
    run.add_argument(
        "--evaluate",
        choices=["sample", "full"],
        default="sample",
        help="evaluate 10,000 training examples (sample) or all (full)",
    )


def _add_report(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = subparsers.add_parser("report", help="write a run's tables, plots and page again")
    report.add_argument(
        "run", type=arguments.run_folder, metavar="RUN", help="the run's folder, e.g. results/quick"
    )
    report.add_argument(
        "--full", action="store_true", help="print a longer table: also memory and start-up"
    )
    report.add_argument(
        "--into",
        type=Path,
        metavar="FILE",
        help="write a table of accuracies, of accuracies and time ratios, or of published"
        " accuracies, between two marker lines of FILE; if FILE has none, the error message shows"
        " them",
    )
    report.add_argument(
        "--suite",
        metavar="NAME",
        help="with --into: also list workloads of this suite that were not run",
    )
    _add_anonymous(report, "write RUN/anonymous, a copy to send to others,")
    report.set_defaults(command="bench.command.report:report")


def _add_compare(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = subparsers.add_parser(
        "compare", help="show runs side by side: machines, devices, versions"
    )
    compare.add_argument(
        "runs",
        nargs="+",
        type=arguments.run_folder,
        metavar="RUN",
        help="the folders of runs; times are relative to the first run",
    )
    compare.add_argument(
        "--by",
        choices=["partition", "gpu", "cpu", "driver", "version", "node", "run"],
        help="group all nodes by this, and compare the groups: speed, energy, price",
    )
    compare.add_argument(
        "--price",
        action="append",
        type=arguments.price,
        default=[],
        metavar="NAME=2.10/h",
        help="price per hour of what a job reserves on a node, for a group of --by",
    )
    compare.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="also write report.html, report.md, CSV and a chart",
    )
    compare.set_defaults(command="bench.command.compare:compare")


def _add_nodes(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    nodes = subparsers.add_parser(
        "nodes", help="compare a run's nodes with each other; exit code 1 if one is sick"
    )
    nodes.add_argument("run", type=arguments.run_folder, metavar="RUN", help="the run's folder")
    nodes.add_argument(
        "--find",
        type=arguments.percentage,
        default=0.05,
        metavar="SHARE",
        help="slowdown to detect: print how many rounds it needs (default: 5%%)",
    )
    nodes.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the page (default: RUN/nodes)"
    )
    nodes.set_defaults(command="bench.command.compare:nodes")


def _add_history(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    history = subparsers.add_parser(
        "history", help="show since when a result changed: accuracy, time, versions"
    )
    history.add_argument(
        "runs",
        nargs="+",
        type=arguments.run_folder,
        metavar="RUN",
        help="the folders of runs, in any order",
    )
    history.add_argument(
        "--output", type=Path, metavar="DIR", help="also write report.html and report.md"
    )
    history.set_defaults(command="bench.command.compare:history")


def _add_export(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = subparsers.add_parser(
        "export", help="convert a run to JSON Lines, CSV, LaTeX, Bencher; its models to t7, caffe"
    )
    export.add_argument("run", type=arguments.run_folder, metavar="RUN", help="the run's folder")
    export.add_argument(
        "more", nargs="*", type=arguments.run_folder, metavar="RUN", help="with otava: more runs"
    )
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
    export.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="output file (default: standard output); for models, a folder (default: RUN/exported)",
    )
    _add_anonymous(export, "write the records")
    _add_models(export)
    export.set_defaults(command="bench.command.export:export")


def _add_models(export: argparse.ArgumentParser) -> None:
    """Options of `bench export` for models."""
    export.add_argument(
        "--workload", type=arguments.words, metavar="A,B", help="only models of these workloads"
    )
    export.add_argument(
        "--backend", type=arguments.words, metavar="A,B", help="only models of these backends"
    )
    _add_data_directory(export)


def _add_overview(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    overview = subparsers.add_parser(
        "overview", help="make slides for a course from a run: an overview of the frameworks"
    )
    overview.add_argument("run", type=arguments.run_folder, metavar="RUN", help="the run's folder")
    overview.add_argument(
        "--format",
        choices=["markdown", "beamer", "html"],
        default="markdown",
        help="markdown (for Marp), beamer (LaTeX) or html (default: %(default)s)",
    )
    overview.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="output folder (default: RUN/overview); texts that you edited there are kept",
    )
    _add_data_directory(overview)
    overview.set_defaults(command="bench.command.export:overview")


def _add_lists(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that run nothing: `list`, `show` and `defaults`."""
    subparsers.add_parser(
        "list", help="list suites, workloads, backends and data sets"
    ).set_defaults(command="bench.command.show:listing")
    show = subparsers.add_parser("show", help="show a workload: layers, shapes, parameters, FLOPs")
    show.add_argument("workload", help="a name from 'bench list', or a JSON file")
    show.add_argument(
        "--as",
        dest="framework",
        metavar="NAME",
        help=f"print it as a script instead: {', '.join(SCRIPTS)}",
    )
    show.set_defaults(command="bench.command.show:show")
    defaults = subparsers.add_parser(
        "defaults", help="show each framework's defaults, and what the bench sets instead"
    )
    _add_backend(defaults)
    defaults.set_defaults(command="bench.command.show:defaults")


def _add_data(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = subparsers.add_parser("data", help="list, download (fetch) or check (verify) data sets")
    data.add_argument("action", nargs="?", choices=["list", "fetch", "verify"], default="list")
    data.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data sets (default for fetch: mnist; for verify: all that exist here)",
    )
    _add_data_directory(data)
    data.set_defaults(command="bench.command.data:data")


def _add_environment(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    environment = subparsers.add_parser(
        "environment",
        help="list or install (create) the frameworks' environments, or pack them",
        description="Without an action, lists the frameworks' environments.",
    )
    environment.set_defaults(command="bench.command.environment:show")
    actions = environment.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="list them (default)")
    create = actions.add_parser("create", help="install them")
    create.add_argument(
        "--from",
        dest="wheelhouse",
        type=Path,
        metavar="FOLDER",
        help="install from a packed folder, without a network (without NAME: all of it)",
    )
    create.set_defaults(command="bench.command.environment:create")
    pack = actions.add_parser(
        "pack",
        help="download packages for machines without a network, for create --from FOLDER",
        description="Downloads the packages of the environments and of the bench itself, for this"
        " Python, system and processor.",
    )
    pack.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the packages")
    pack.set_defaults(command="bench.command.environment:pack")
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
    action.add_argument(
        "--cpu", action="store_true", help="install CPU builds even if there is an NVIDIA GPU"
    )
    action.add_argument(
        "--cuda",
        action="store_true",
        help="install builds for NVIDIA GPUs (default if there is one)",
    )
    action.add_argument(
        "--driver",
        type=arguments.driver,
        metavar="VERSION",
        help="NVIDIA driver of the machines with GPUs, e.g. 550 (default: this machine's)",
    )
    action.add_argument(
        "--compute-capability",
        type=arguments.capabilities,
        metavar="A,B",
        help="e.g. 8.0 for an A100, 9.0 for an H100 (default: that of this machine's GPUs)",
    )


def _add_verify(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = subparsers.add_parser(
        "verify",
        help="check every backend against a float64 reference; exit code 1 if one differs",
        description=_VERIFY,
    )
    _add_place(verify)
    verify.add_argument(
        "--workload",
        type=arguments.words,
        metavar="A,B",
        help="check only the first training steps of these workloads, in full size",
    )
    verify.add_argument(
        "--batch-size",
        type=arguments.counts,
        metavar="A,B",
        help="with --workload: at these batch sizes (default: the workload's)",
    )
    _add_data_directory(verify)
    _add_timeout(verify, 600, "a worker that checks one model for more than S seconds")
    verify.set_defaults(command="bench.command.verify:verify")


def _add_calibrate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = subparsers.add_parser(
        "calibrate",
        help="measure the timing noise of this machine",
        description=_CALIBRATE,
    )
    _add_place(calibrate)
    calibrate.add_argument(
        "--workload",
        default="softmax",
        metavar="NAME",
        help="a workload or a JSON file (default: softmax)",
    )
    calibrate.add_argument(
        "--dataset", metavar="NAME", help="override the data set (default: mnist-5k)"
    )
    _add_data_directory(calibrate)
    calibrate.add_argument(
        "--epochs",
        type=arguments.count,
        default=5,
        metavar="N",
        help="epochs of a job (default: 5)",
    )
    calibrate.add_argument(
        "--rounds",
        type=arguments.count,
        default=40,
        metavar="N",
        help="total rounds, including earlier runs; a round is two jobs (default: 40)",
    )
    calibrate.add_argument("--retry", action="store_true", help="re-run failed jobs")
    _add_timeout(calibrate, 600, "a job that finishes no epoch in S seconds")
    calibrate.set_defaults(command="bench.command.calibrate:command")


def _add_acceptance(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    acceptance = subparsers.add_parser(
        "acceptance",
        help="check a machine and its GPUs in limited time; write a page and a file to send",
        description=_ACCEPTANCE,
    )
    acceptance.add_argument(
        "--budget",
        type=arguments.duration,
        default=1800.0,
        metavar="30m",
        help="stop after this time (90s, 30m, 2h; default: 30m)",
    )
    _add_backend(acceptance)
    acceptance.add_argument(
        "--device",
        type=arguments.words,
        metavar="A,B",
        help="default: all NVIDIA GPUs, or the CPU if there is none",
    )
    acceptance.add_argument(
        "--precision",
        type=arguments.precisions,
        metavar="A,B",
        help="default: float32,tf32,bfloat16 on GPUs, float32,bfloat16 on CPUs",
    )
    _add_anonymous(acceptance, "make the file to send")
    _add_folders(acceptance)
    _add_data_directory(acceptance)
    acceptance.set_defaults(command="bench.command.acceptance:acceptance")


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Options of `run`, `verify` and `calibrate`: what runs, where, and the folders."""
    _add_backend(parser)
    parser.add_argument(
        "--tuned", action="store_true", help="also run each backend's tuned variants"
    )
    parser.add_argument(
        "--mode",
        type=arguments.modes,
        metavar="A,B",
        help="matched (default): the same training in all frameworks; native: as in each"
        " framework's tutorial",
    )
    parser.add_argument(
        "--precision",
        type=arguments.precisions,
        metavar="A,B",
        help="of matrix products: float32 (default), tf32 (NVIDIA GPUs), bfloat16 (mixed"
        " precision)",
    )
    parser.add_argument(
        "--device",
        type=arguments.words,
        metavar="A,B",
        help="cpu, cuda (all NVIDIA GPUs; also: gpu), cuda:0, cuda:0:1 (MIG slice 1 of GPU 0), mps,"
        " xpu:0; 4xcuda: four GPUs that share each batch; 2x4xcuda: two nodes with four GPUs each"
        " (default: the CPU and one NVIDIA GPU of each kind)",
    )
    parser.add_argument(
        "--spark-master",
        type=arguments.spark_master,
        metavar="spark://HOST:PORT",
        help="train on this Spark cluster instead of --device; only with --backend spark",
    )
    parser.add_argument(
        "--threads",
        type=arguments.threads,
        metavar="N|cores",
        help="CPU threads; cores: one per core (default: one per CPU that the process may use)",
    )
    _add_folders(parser)


def _add_backend(parser: argparse.ArgumentParser) -> None:
    usual = [name for name in BACKENDS if name not in EXPERIMENTS]
    parser.add_argument(
        "--backend",
        type=arguments.words,
        metavar="A,B",
        help=f"one or more of: {', '.join(usual)}; or of the experiments in `bench list`;"
        " pytorch@2.12.0 selects a version",
    )


def _add_anonymous(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help=f"{what} without machine names, user names, paths, GPU UUIDs and logs",
    )


def _add_timeout(parser: argparse.ArgumentParser, seconds: int, what: str) -> None:
    parser.add_argument(
        "--timeout",
        type=arguments.count,
        default=seconds,
        metavar="S",
        help=f"kill {what} (default: {seconds})",
    )


def _add_folders(parser: argparse.ArgumentParser) -> None:
    """Options for the folder of results and for interpreters."""
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of all results (default: results)",
    )
    parser.add_argument(
        "--python",
        action="append",
        type=arguments.override,
        default=[],
        metavar="ENV=PATH",
        help="use this interpreter for an environment; all=PATH for every environment",
    )
    parser.add_argument(
        "--variable",
        action="append",
        type=arguments.variable,
        default=[],
        metavar="NAME=VALUE",
        help="set this environment variable for the frameworks, and record it; your own variables"
        " that change results (XLA_FLAGS, OMP_..., ...) are not passed on",
    )


def _add_check(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = subparsers.add_parser(
        "check", help="compare accuracy with a baseline; exit code 1 if it regressed"
    )
    check.add_argument("run", type=arguments.run_folder, metavar="RUN", help="the run's folder")
    check.add_argument(
        "--against",
        type=arguments.run_folder,
        required=True,
        metavar="BASELINE",
        help="the folder of the run to compare with",
    )
    check.add_argument(
        "--backend",
        type=arguments.words,
        metavar="A,B",
        help="check only these backends (default: all)",
    )
    check.add_argument(
        "--level",
        type=arguments.level,
        default=0.01,
        metavar="P",
        help="probability that a check fails though nothing changed (default: 0.01)",
    )
    check.add_argument(
        "--allow-new",
        action="store_true",
        help="do not fail on results that are missing in the baseline",
    )
    check.add_argument(
        "--junit", type=Path, metavar="FILE", help="JUnit XML (default: RUN/check.xml)"
    )
    check.add_argument(
        "--markdown", type=Path, metavar="FILE", help="a summary (default: RUN/check.md)"
    )
    check.set_defaults(command="bench.command.compare:check")


def _add_data_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="a folder with MNIST's four .gz files (or the variable FRAMEWORK_BENCH_DATA)",
    )
