"""Measures a run of many nodes: what it has on disk, and what each command takes.

`python -m tests.perf.scale FOLDER [NODES [PROCESSES]]` writes 50 records per node into one run, as
the tasks of a cluster do, from several processes at once. Then it runs `bench status`, `nodes` and
`report` over them, each once as it is and once with its calls of the system counted by strace.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

from msgspec.structs import replace

from bench.data.dataset import DataSet
from bench.records import files
from bench.records.files import PROJECT
from bench.records.job import SlurmTask
from bench.records.stored import write
from bench.runner import plan
from bench.runner.cluster.reconcile import forget_never_started
from bench.runner.cluster.slurm import Node
from bench.runner.cluster.submission import (
    Array,
    Place,
    Started,
    Submission,
    next_folder,
    write_arrays,
    write_started,
    write_submission,
)
from tests.support.clusters import on_node
from tests.support.jobs import named

WORKLOADS = ("softmax", "mlp-relu", "mlp-tanh", "lenet5", "cnn")
BACKENDS = ("pytorch", "jax")
ROUNDS = 5
COMMANDS = ("status", "nodes", "report")
DATA = DataSet(
    name="mnist",
    folder="/d",
    checksum="d",
    train_examples=60_000,
    test_examples=10_000,
    shape=(28, 28, 1),
    classes=10,
)


def submit(run, nodes):
    """A submission to so many nodes: an array per node, a task per workload."""
    submission = Submission(
        arguments=("submit", "quick"),
        suite=plan.find_suite_or_workload("quick"),
        choices=plan.Options(
            backends=BACKENDS, devices=("cuda:0",), threads=1, seeds=(0,), rounds=ROUNDS
        ),
        cluster="here",
        nodes=tuple(
            Node(
                name=f"gpu{number:03d}",
                partition="a",
                cpus=4,
                memory_bytes=10**9,
                gpus=1,
                state="idle",
            )
            for number in range(nodes)
        ),
        trainings=tuple(
            plan.Training(workload=named(name), data=DATA, epochs=2) for name in WORKLOADS
        ),
        places=tuple(
            Place(node=node, training=training, device="cuda:0", precision="float32")
            for node in range(nodes)
            for training in range(len(WORKLOADS))
        ),
        made="2026-01-01T00:00:00Z",
    )
    folder = next_folder(run)
    write_submission(folder, submission)
    count = len(WORKLOADS)
    arrays = [
        Array(job=str(100 + node), first=count * node, tasks=tuple(range(count)))
        for node in range(nodes)
    ]
    arrays = [replace(a, tasks=tuple(a.first + index for index in a.tasks)) for a in arrays]
    write_arrays(folder, arrays)
    return folder, submission


def write_tasks(folder, submission, numbers):
    """Write what these tasks write, one after the other; returns the seconds of each record."""
    seconds = []
    for number in numbers:
        node, training = divmod(number, len(WORKLOADS))
        records = [
            on_node(node, 1 + number % 7 / 100, workload=WORKLOADS[training], backend=b, round=r)
            for r in range(ROUNDS)
            for b in BACKENDS
        ]
        task = SlurmTask(job=f"{100 + node}_{training}", attempt=1, node="", partition="", gpus="")
        files._SWEPT.clear()  # each task is a process of its own
        expected = tuple(replace(each, status="killed", epochs=()) for each in records)
        write_started(folder, number, Started(slurm=task, started="now", records=expected))
        forget_never_started(folder.parents[1] / "jobs", submission, submission.task(number))
        for record in records:
            started = time.perf_counter()
            write(folder.parents[1] / "jobs", replace(record, slurm=task))
            seconds.append(time.perf_counter() - started)
    return seconds


def make_slurm(folder, nodes):
    """Programs that answer as Slurm does after the end of all tasks."""
    lines = "".join(f"{100 + n}_{i}|COMPLETED|None\n" for n in range(nodes) for i in range(5))
    folder.mkdir()
    (folder / "lines").write_text(lines)
    for name, command in (
        ("scontrol", "echo ClusterName = here"),
        ("squeue", f"cat '{folder}/lines'"),
        ("sacct", "exit 1"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{command}\n")
        (folder / name).chmod(0o755)


def run_command(words, variables):
    """Run a command; returns its exit code, wall and CPU seconds, and peak of memory."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_megabytes": round(used.ru_maxrss / 1000),
    }


def calls_in(trace, folder):
    """How often each call of the system named something in a folder."""
    names = re.findall(
        rf"^\d+ +(\w+)\(.*{re.escape(str(folder))}", trace.read_text(errors="replace"), re.MULTILINE
    )
    return dict(Counter(names).most_common())


def main(folder, nodes=1000, processes=16):
    """Write the run, run the commands, and print what they took."""
    run = Path(folder).absolute() / "run"
    (run / "jobs").mkdir(parents=True)
    submitted, submission = submit(run, nodes)
    tasks = range(len(submission.places))
    started = time.perf_counter()
    with Pool(processes) as pool:
        parts = [(submitted, submission, tasks[part::processes]) for part in range(processes)]
        seconds = sorted(each for part in pool.starmap(write_tasks, parts) for each in part)
    wall = time.perf_counter() - started
    about = {
        "nodes": nodes,
        "records": len(seconds),
        "processes": processes,
        "seconds_to_write": round(wall, 1),
        "of_a_record_median_99_of_100_longest": [
            round(seconds[int(share * (len(seconds) - 1))], 4) for share in (0.5, 0.99, 1)
        ],
        "megabytes_by_folder": {
            path.name: round(sum(each.stat().st_size for each in path.rglob("*")) / 1e6, 1)
            for path in (run / "jobs", submitted / "started", submitted)
        },
    }
    print(json.dumps(about, indent=1), flush=True)
    make_slurm(run.parent / "bin", nodes)
    variables = os.environ | {
        "PATH": f"{run.parent / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
    }
    for command in COMMANDS:
        words = [sys.executable, "-m", "bench", command, str(run)]
        took = run_command(words, variables)
        if shutil.which("strace"):
            trace = run.parent / "trace"
            strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=file,desc,fsync"]
            run_command([*strace, *words], variables)
            took["calls"] = calls_in(trace, run)
            trace.unlink()
        print(command, json.dumps(took), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
