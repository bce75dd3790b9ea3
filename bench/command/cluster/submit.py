"""`bench submit`: runs a suite on nodes of a cluster, by job arrays of Slurm."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from math import ceil
from pathlib import Path

from backends.contract import kind_of, nodes_of, ranks_of, ranks_per_node
from backends.registry import DEFAULT_BACKENDS
from bench.command import say
from bench.command.run import goal_of
from bench.command.setup import choose_backends, places_of, say_without_cuda, say_without_native
from bench.command.trainings import trainings
from bench.records.command import write_command
from bench.records.files import RunError, write_atomically
from bench.records.run import read_run
from bench.report.form.words import first_of
from bench.runner import plan
from bench.runner.cluster import slurm
from bench.runner.cluster.reconcile import TaskStatus, reconcile
from bench.runner.cluster.script import Wishes, script_of
from bench.runner.cluster.submission import (
    LOGS,
    SCRIPT,
    Array,
    Place,
    Submission,
    chunks,
    next_folder,
    write_arrays,
    write_submission,
)
from bench.runner.environments import Environments
from bench.worker.clock import utc
from specs.errors import UserError
from specs.model import Suite

# The variables by which tasks find data sets, environments and packages.
_VARIABLES = ("FRAMEWORK_BENCH_CACHE", "FRAMEWORK_BENCH_DATA", "PYTHONPATH")
_GPU_WORDS = ("cuda", "gpu")
_WAITING = ("pending", "running")


def submit(options: argparse.Namespace) -> int:
    """`bench submit`: submit the tasks that have no result and are not waiting or running.

    With `--dry-run`, print the script instead.
    """
    suite = plan.find_suite_or_workload(options.what)
    run = (options.results / (options.run or suite.name)).absolute()
    statuses, problem = reconcile(run)
    before = {status.task.node.name for status in statuses.values()}
    nodes = slurm.nodes(options.partition or (), options.nodes, before)
    site = slurm.site()
    submission = _submission(options, suite, run, site, nodes)
    if problem:
        raise UserError(
            problem, hint="nothing is submitted, because the pending tasks are not known"
        )
    stands = [
        statuses.get(submission.identity(submission.task(number)))
        for number in range(len(submission.places))
    ]
    numbers = [n for n, status in enumerate(stands) if not _is_settled(status, options)]
    folder = next_folder(run)
    text = _script(options, run, folder)
    calls = [*_calls(submission, numbers, folder, site.most_tasks, options)]
    _say(submission, numbers)
    if options.dry_run:
        say(text.removesuffix("\n"))
        for _, arguments in calls:
            say(f"bench: would run: sbatch {shlex.join(arguments)}", error=True)
    elif calls:
        write_command(run, options.arguments)
        _submit(run, folder, submission, text, calls)
    return 0


def _script(options: argparse.Namespace, run: Path, folder: Path) -> str:
    wishes = Wishes(
        held=options.exclusive,
        minutes=ceil(options.time / 60),
        cpus=options.threads if isinstance(options.threads, int) else None,
        others=tuple(options.sbatch),
    )
    return script_of(
        run.name,
        folder,
        wishes,
        python=sys.executable,
        current=Path.cwd(),
        variables={name: os.environ[name] for name in _VARIABLES if os.environ.get(name)},
    )


def _submission(
    options: argparse.Namespace,
    suite: Suite,
    run: Path,
    site: slurm.Site,
    nodes: Sequence[slurm.Node],
) -> Submission:
    """Choose on the login node what runs: backends, data sets, tasks.

    Raises:
        UserError: a choice is unknown, not installed or not available.
    """
    if options.spark_master:
        raise UserError("--spark-master does not work with Slurm", hint="use bench run")
    environments = Environments(dict(options.python), variables=options.variable)
    defaults = suite.backends or DEFAULT_BACKENDS
    backends = choose_backends(options.backend, environments, defaults, tuned=options.tuned)
    devices = {node.name: _devices(options, node) for node in nodes}
    choices = _choices(options, suite, backends, devices)
    say_without_native(choices.backends, choices.modes)
    say_without_cuda(choices, environments)
    earlier = read_run(run)[0] if (run / "jobs").is_dir() else []
    planned = trainings(options, suite, places_of(options), run, earlier)
    plan.make_groups(planned, choices)  # raises for what cannot run
    goal_of(options, suite, choices)
    return Submission(
        arguments=tuple(options.arguments),
        suite=suite,
        choices=choices,
        cluster=site.cluster,
        nodes=tuple(nodes),
        trainings=tuple(planned),
        places=tuple(
            Place(
                node=team[0],
                training=training,
                device=device,
                precision=precision,
                others=team[1:],
            )
            for team, device in _teams(nodes, devices)
            for precision, training in product(choices.precisions, range(len(planned)))
        ),
        made=utc(),
    )


def _teams(
    nodes: Sequence[slurm.Node], devices: Mapping[str, Sequence[str]]
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield each team of nodes that train together: the nodes' numbers, and their device.

    A team has consecutive nodes of one partition. Nodes that are too few for a team are left out.

    Raises:
        UserError: there are too few nodes for any team.
    """
    with_team = set[str]()
    for partition in dict.fromkeys(node.partition for node in nodes):
        of_partition = [number for number, node in enumerate(nodes) if node.partition == partition]
        for place, number in enumerate(of_partition):
            for device in devices[nodes[number].name]:
                team = tuple(of_partition[place : place + nodes_of(device)])
                if place % nodes_of(device) == 0 and len(team) == nodes_of(device):
                    with_team.add(device)
                    yield team, device
    for device in dict.fromkeys(word for words in devices.values() for word in words):
        if device not in with_team:
            raise UserError(
                f"--device {device}: a job needs {nodes_of(device)} nodes of one partition",
                hint=f"--nodes {nodes_of(device)}",
            )


def _choices(
    options: argparse.Namespace,
    suite: Suite,
    backends: tuple[str, ...],
    devices: Mapping[str, tuple[str, ...]],
) -> plan.Options:
    return plan.Options(
        backends=backends,
        devices=tuple(dict.fromkeys(word for words in devices.values() for word in words)),
        threads=options.threads if isinstance(options.threads, int) else 0,
        seeds=options.seeds,
        rounds=options.rounds,
        modes=options.mode or ("matched",),
        native=() if options.mode else suite.native,
        precisions=options.precision or ("float32",),
    )


def _devices(options: argparse.Namespace, node: slurm.Node) -> tuple[str, ...]:
    """The devices of a node as tasks name them, one task per device.

    A task with the whole node sees all GPUs, and names one. A task with one GPU sees only this one.

    Raises:
        UserError: the node has no such GPU.
    """
    chosen = options.device or (("cuda:0",) if node.gpus else ("cpu",))
    words: list[str] = []
    for word in chosen:
        is_gpu, number = kind_of(word) in _GPU_WORDS, word.partition(":")[2]
        least = (int(number) if number.isdigit() else 0) + ranks_per_node(word)
        if is_gpu and least > node.gpus:
            raise UserError(
                f"--device {word}: Slurm lists {node.gpus} GPUs on {node.name}",
                hint="sinfo --Node --format='%N %G' lists them",
            )
        if not is_gpu or ranks_of(word) > 1:
            words.append(word)
        elif options.exclusive == "gpu":
            words.append("cuda")
        elif word in _GPU_WORDS:
            words += [f"cuda:{number}" for number in range(node.gpus)]
        else:
            words.append(word)
    return tuple(dict.fromkeys(words))


def _is_settled(status: TaskStatus | None, options: argparse.Namespace) -> bool:
    """Whether a task need not be submitted: it waits, runs, or has all results."""
    if status is None:
        return False
    return status.where in _WAITING or (
        status.where == "done" and (status.is_good or not options.retry)
    )


def _calls(
    submission: Submission,
    numbers: Sequence[int],
    folder: Path,
    most: int,
    options: argparse.Namespace,
) -> Iterator[tuple[Array, list[str]]]:
    """Yield the arrays, without their number in Slurm, and the arguments of sbatch for each."""
    places, firsts = submission.places, dict[tuple[int, ...], int]()
    gpu = options.exclusive == "gpu"
    for number, place in enumerate(places):
        firsts.setdefault(place.nodes, number)
    for team, of_team in groupby(numbers, key=lambda number: places[number].nodes):
        nodes = [submission.nodes[number] for number in team]
        for first, chunk in chunks([*of_team], firsts[team], most):
            words = [places[number].device for number in chunk]
            wanted = max(ranks_per_node(word) for word in words) if gpu else nodes[0].gpus
            on_gpu = gpu or any(kind_of(word) != "cpu" for word in words)
            arguments = [
                f"--partition={nodes[0].partition}",
                f"--nodelist={','.join(node.name for node in nodes)}",
                *([f"--nodes={len(nodes)}", f"--ntasks={len(nodes)}"] if len(nodes) > 1 else []),
                f"--array={_indices([number - first for number in chunk])}",
                *([f"--gres=gpu:{wanted}"] if on_gpu and wanted else []),
                str(folder / SCRIPT),
                str(first),
            ]
            yield Array(job="", first=first, tasks=tuple(chunk)), arguments


def _indices(numbers: Sequence[int]) -> str:
    """Indices as Slurm writes them: "0-2,5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _say(submission: Submission, numbers: Sequence[int]) -> None:
    tasks = [submission.task(number) for number in numbers]
    left_out = len(submission.places) - len(tasks)
    more = f"; {left_out} more are done or already submitted" if left_out else ""
    jobs = sum(len(submission.jobs(task)) for task in tasks)
    nodes = ", ".join(first_of([*dict.fromkeys(task.node.name for task in tasks)]))
    text = f"{len(tasks)} tasks with {jobs} jobs on {nodes}" if tasks else "nothing to submit"
    say(f"bench: {text}{more}", error=True)


def _submit(
    run: Path,
    folder: Path,
    submission: Submission,
    text: str,
    calls: Sequence[tuple[Array, list[str]]],
) -> None:
    """Write the files, and submit the arrays.

    Raises:
        UserError: Slurm refuses an array, or the disk is full; earlier arrays are submitted.
    """
    (run / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    write_submission(folder, submission)
    write_atomically(folder / SCRIPT, text.encode())
    done: list[Array] = []
    for array, arguments in calls:
        try:
            job = slurm.submit(arguments)
        except slurm.SlurmError as error:
            raise UserError(
                f"{error.problem}; {len(done)} of {len(calls)} arrays are submitted",
                hint="the same command submits the others",
            ) from error
        done.append(Array(job=job, first=array.first, tasks=array.tasks))
        try:
            write_arrays(folder, done)
        except RunError:  # else the next command would submit it again
            slurm.cancel([job])
            raise
    shown = os.path.relpath(run)
    say(f"submitted {len(done)} arrays; see: bench status {shown}, bench report {shown}")
