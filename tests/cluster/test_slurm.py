"""Runs on a real Slurm: whatever ends a task, each of its jobs has exactly one record."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from contextlib import suppress
from itertools import combinations

import pytest

from bench.records.run import read_run
from bench.runner.cluster import slurm
from tests.cluster.conftest import SHORT
from tests.cluster.lab import NODES, until
from tests.cluster.processes import has_ended, workers
from tests.support.disks import mounted

pytestmark = pytest.mark.slow
LONG = ("--epochs", "900", "--seeds", "0,1")


def test_an_array_gives_every_job_its_gpu_and_one_record(cluster):
    what = (*SHORT, "--epochs", "1", "--nodes", "all", "--exclusive", "gpu", "--run", "r")
    what = (*what, "--batch-size", "800,1000", "--sbatch=--comment=a b")
    code, script, _ = cluster.bench("submit", *what, "--dry-run")
    assert code == 0
    assert not (cluster.folder / "results" / "r").exists()
    code, said, _ = cluster.bench("submit", *what)
    assert code == 0
    assert "submitted 3 arrays; see: bench status results/r" in said
    assert cluster.newest("r", "array.sh").read_text() == script
    cluster.wait("r", done=6)
    records = cluster.records("r")
    assert Counter(record.machine.name for record in records) == dict.fromkeys(NODES, 2)
    for record in records:
        assert record.status == "ok"
        assert record.slurm.node == record.machine.name
        assert record.slurm.partition == "main"
        assert record.slurm.attempt == 1
        assert record.slurm.gpus in ("0", "1")
    assert len({record.slurm.job for record in records}) == 6
    assert gpus_at_once(records) == []
    code, said, _ = cluster.bench("submit", *what)
    assert code == 0
    assert len(list((cluster.folder / "results/r/cluster").iterdir())) == 1
    code, said, _ = cluster.bench("report", "results/r")
    assert code == 0
    assert "results/r/report.html" in said


def gpus_at_once(records):
    """The pairs of jobs that had the same GPU of a node at the same time."""

    def seconds(record):
        hours, minutes, rest = map(int, re.findall(r"\d+", record.started.partition("T")[2]))
        return 3600 * hours + 60 * minutes + rest

    return [
        (a.slurm.job, b.slurm.job)
        for a, b in combinations(sorted(records, key=seconds), 2)
        if (a.slurm.node, a.slurm.gpus) == (b.slurm.node, b.slurm.gpus)
        and seconds(b) + 1 < seconds(a) + a.wall_seconds
    ]


def test_a_worker_a_task_and_a_time_limit_that_end_are_a_record_per_job(cluster):
    # Slurm's own notice, 45 s before the end of the least time limit.
    early = ("--time", "1m", "--sbatch=--signal=B:USR1@45")
    cluster.submit("late", *LONG, "--nodes", "n3", *early)
    array = cluster.submit("worker", *LONG, "--nodes", "n1")
    cluster.submit("task", *LONG, "--nodes", "n2")
    until(lambda: workers(cluster, "worker") and workers(cluster, "task"), 60)
    assert cluster.counts("worker") == {"running": 1}
    ((_, worker),) = workers(cluster, "worker").items()
    ((task, its_worker),) = workers(cluster, "task").items()
    worker.send_signal(signal.SIGKILL)
    task.send_signal(signal.SIGKILL)
    cluster.wait("task", lost=1)
    until(lambda: has_ended(its_worker), 10)
    for record in cluster.records("task"):
        assert record.status == "failed"
        assert record.reason == "Slurm: FAILED: the task failed"
    until(lambda: cluster.records("worker"), 10)
    assert cluster.counts("worker") == {"running": 1}  # it goes on with its second job
    until(lambda: workers(cluster, "worker"), 30)
    cluster.lab.call("scancel", "--signal=USR1", "--batch", f"{array}_0")  # the same notice
    until(lambda: len(cluster.records("worker")) == 2, 20)  # though nobody asks Slurm
    first, second = sorted(cluster.records("worker"), key=lambda record: record.job.seed)
    assert (first.status, first.slurm.state) == ("killed", "")
    assert first.reason.startswith("signal SIGKILL")
    assert (second.status, second.slurm.state) == ("timeout", "TIMEOUT")
    cluster.wait("late", lost=1)
    late = cluster.records("late")
    assert [(each.status, each.slurm.state) for each in late] == [("timeout", "TIMEOUT")] * 2


def test_a_node_that_fails_and_a_task_that_is_taken_run_again_and_count_once(cluster):
    cluster.submit("down", *LONG, "--nodes", "n1")
    cluster.submit("taken", "--epochs", "30", "--seeds", "0,1", "--nodes", "n2")
    cluster.submit("fails", *LONG, "--nodes", "n3", "--sbatch=--no-requeue")
    for run in ("down", "taken", "fails"):
        cluster.wait_training(run)
    until(lambda: len(cluster.records("taken")) == 1, 60)
    urgent = ("--partition=urgent", "--nodelist=n2", "--exclusive", "--wrap=sleep 1")
    cluster.lab.call("sbatch", "--output=/dev/null", *urgent)
    for node in ("n1", "n3"):
        cluster.lab.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=t")
    cluster.wait("fails", lost=1)
    assert {record.slurm.state for record in cluster.records("fails")} == {"NODE_FAIL"}
    assert "lost: softmax batch 1000 on cpu on n3" in cluster.said
    cluster.wait("down", pending=1)
    assert cluster.records("down") == []
    for node in ("n1", "n3"):
        cluster.lab.call("scontrol", "update", f"NodeName={node}", "State=RESUME")
    cluster.wait("taken", done=1)
    records = sorted(cluster.records("taken"), key=lambda record: record.job.seed)
    assert [record.status for record in records] == ["ok", "ok"]
    assert [record.slurm.attempt for record in records] == [1, 2]
    cluster.wait("down", running=1)
    until(lambda: workers(cluster, "down"), 30)
    code, said, _ = cluster.bench("cancel", "results/down")
    assert code == 0
    assert "1 tasks were cancelled" in said
    cancelled = cluster.records("down")
    assert [(each.status, each.slurm.state) for each in cancelled] == [("killed", "CANCELLED")] * 2
    assert {record.slurm.attempt for record in cancelled} == {2}


def test_a_task_that_never_started_has_its_records_until_it_is_submitted_again(cluster):
    what = ("--epochs", "1", "--nodes", "n1", "--batch-size", "500,800,1000")
    cluster.lab.call("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=t")
    cluster.submit("r", *what)
    arrays = json.loads(cluster.newest("r", "arrays.json").read_text())
    assert [array["tasks"] for array in arrays] == [[0, 1], [2]]  # by the lab's MaxArraySize
    assert cluster.counts("r") == {"pending": 3}
    code, _, _ = cluster.bench("report", "results/r")
    assert code == 2  # nothing has ended yet, and that is said
    code, said, _ = cluster.bench("cancel", "results/r")
    assert code == 0
    assert "the task was cancelled, before it started" in said
    for _ in range(2):  # as often as anybody looks
        assert cluster.counts("r") == {"lost": 3}
        assert [record.status for record in cluster.records("r")] == ["killed"] * 3
    cluster.lab.call("scontrol", "update", "NodeName=n1", "State=RESUME")
    cluster.submit("r", *what)
    cluster.wait("r", done=3)
    assert [record.status for record in cluster.records("r")] == ["ok"] * 3


def test_a_controller_that_dies_loses_nothing_and_nothing_counts_twice(cluster, monkeypatch):
    cluster.submit("r", "--epochs", "90", "--nodes", "n1,n2")
    cluster.wait_training("r", tasks=2)
    cluster.lab.kill_controller()
    with monkeypatch.context() as patch:
        patch.setattr("bench.runner.cluster.slurm._SECONDS", 1.0)
        assert cluster.counts("r") == {"unknown": 2}
        assert "did not answer within 1 s; the state of some tasks is unknown" in cluster.said
        assert cluster.bench("submit", *SHORT, "--run", "r")[0] == 2
    assert cluster.records("r") == []
    cluster.lab.start_controller()

    # What the controller had not yet written down it starts again, some minutes later: not here.
    cluster.bench("cancel", "results/r")
    for state in ("DOWN", "RESUME"):  # it may take a node for busy with a task that it lost
        cluster.lab.call("scontrol", "update", "NodeName=n1,n2", f"State={state}", "Reason=t")
    until(lambda: not {"pending", "running"} & {*cluster.counts("r")}, 60)
    assert sum(cluster.counts("r").values()) == len(cluster.records("r")) == 2
    assert (
        cluster.bench("submit", *SHORT, "--epochs", "90", "--nodes", "n1,n2", "--run", "r")[0] == 0
    )
    cluster.wait("r", resuming=True, done=2)
    assert [record.status for record in cluster.records("r")] == ["ok"] * 2


@pytest.fixture
def disk(cluster):
    """A disk of 4 MB with the runs; its method `fill` returns a file to remove."""
    place = cluster.folder / "results"
    place.mkdir()
    with mounted(place, 4096) as is_mounted:
        if not is_mounted:
            pytest.skip("no disk can be mounted here: root may, outside of most containers")
        yield place


def fill(disk):
    """Fill a disk; returns what to remove."""
    path = disk / "full"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return path


def test_a_disk_that_fills_loses_nothing_and_nothing_counts_twice(cluster, disk, monkeypatch):
    what = ("--epochs", "10", "--seeds", "0,1", "--batch-size", "800,1000", "--nodes", "n1")
    with monkeypatch.context() as patch:
        sbatch = slurm.submit
        patch.setattr(slurm, "submit", lambda words: (sbatch(words), fill(disk))[0])
        code, _, errors = cluster.bench("submit", *SHORT, *what, "--run", "r")
    assert (code, "No space left on device" in errors) == (2, True)
    assert not cluster.lab.call("squeue", "-h", "--states=PD,R").strip()  # nobody would know of it
    (disk / "full").unlink()
    cluster.submit("r", *what)
    until(lambda: cluster.records("r"), 60)
    (first,) = cluster.records("r")
    full = fill(disk)
    until(lambda: not cluster.lab.call("squeue", "-h").strip(), 60)
    assert cluster.counts("r") == {"lost": 2}
    assert "No space left on device" in cluster.said
    assert cluster.records("r") == [first]
    full.unlink()
    assert cluster.counts("r") == {"lost": 2}
    lost = [record for record in cluster.records("r") if record != first]
    assert [(each.status, each.slurm.state) for each in lost] == [("failed", "FAILED")] * 3
    cluster.submit("r", *what)
    cluster.wait("r", done=2)
    records = cluster.records("r")
    assert first in records
    assert [record.status for record in records] == ["ok"] * 4
    assert not [*disk.rglob("*.tmp")]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--nodes", "4"), ["--nodes 4: the partition main has 3 nodes", "sinfo --Node"]),
        (("--nodes", "n[3-4]"), ["--nodes n[3-4]: the partition has no node n4"]),
        (("--partition", "mian"), ["no partition is named 'mian'", "one of main, urgent"]),
        (("--device", "4xcuda"), ["--device 4xcuda: Slurm lists 2 GPUs on n1"]),
        (("--device", "2x4xcuda"), ["--device 2x4xcuda: Slurm lists 2 GPUs on n1"]),
        (("--sbatch=--constraint=none", "--nodes", "n2"), ["sbatch failed:", "0 of 1 arrays"]),
    ],
)
def test_what_cannot_be_submitted_is_told_with_exit_code_2(arguments, parts, cluster):
    code, _, errors = cluster.bench("submit", *SHORT, *arguments)
    assert code == 2
    for part in parts:
        assert part in errors


def test_a_task_that_slurm_has_forgotten_has_its_records(cluster):
    cluster.submit("r", *LONG, "--nodes", "n1")
    cluster.wait_training("r")
    cluster.lab.kill_controller()
    cluster.lab.start_controller("-c")  # with nothing of what it knew
    cluster.wait("r", lost=1)
    records = cluster.records("r")
    assert [(each.status, each.slurm.state) for each in records] == [("killed", "GONE")] * 2
    assert "Slurm no longer knows" in records[0].reason


def test_a_task_that_cannot_start_says_why(cluster):
    cluster.submit("r", "--device", "cuda", "--nodes", "n1")  # its two GPUs are fake
    cluster.wait("r", lost=2)
    why = "before it started: CUDA_VISIBLE_DEVICES=0,1 names no GPU of this machine"
    assert why in cluster.said
    assert "Traceback" not in "".join(cluster.bench("report", "results/r")[1:])
    found = [(each.job.device, each.status) for each in read_run(cluster.folder / "results/r")[0]]
    assert found == [("cuda:0", "failed"), ("cuda:1", "failed")]


def test_a_run_of_another_cluster_is_not_looked_up_and_not_cancelled(cluster):
    array = cluster.submit("r", *LONG, "--nodes", "n1")
    other = cluster.newest("r", "submission.json")
    other.write_text(other.read_text().replace('"cluster": "lab"', '"cluster": "elsewhere"'))
    assert cluster.counts("r") == {"unknown": 1}
    assert "the run was submitted on elsewhere, but this is the cluster lab" in cluster.said
    code, said, _ = cluster.bench("cancel", "results/r")
    assert (code, said) == (0, "results/r: no task is pending or running\n")
    assert cluster.lab.call("squeue", "-h", "-o%F").split() == [array]
    assert cluster.records("r") == []


def test_what_squeue_has_forgotten_is_looked_up_in_the_accounting(cluster, monkeypatch):
    array = cluster.submit("r", "--epochs", "1", "--nodes", "n1")
    sacct = cluster.folder / "sacct"  # the lab has no database; this is what sacct prints
    sacct.write_text(f"#!/bin/sh\necho '{array}_0|CANCELLED by 1000'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", str(cluster.folder), prepend=os.pathsep)
    known = slurm.states([array])
    assert known[f"{array}_0"].state != "CANCELLED"  # squeue knows better
    cluster.wait("r", done=1)
    monkeypatch.setattr(slurm, "_COLUMNS", ("none", "%T", "%r"))  # as if squeue had forgotten it
    assert slurm.states([array])[f"{array}_0"].state == "CANCELLED"
