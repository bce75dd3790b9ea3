"""Submitting to a cluster, as far as it needs no Slurm."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.command.cluster import task as cluster_task
from bench.command.cluster.submit import _teams
from bench.command.run import Running
from bench.data.dataset import DataSet
from bench.records.job import SlurmTask
from bench.records.run import read_run
from bench.records.stored import read_file, write, write_first
from bench.runner import plan
from bench.runner.cluster import slurm
from bench.runner.cluster.reconcile import reconcile
from bench.runner.cluster.script import Wishes, script_of
from bench.runner.cluster.submission import (
    Array,
    Place,
    Started,
    Submission,
    chunks,
    next_folder,
    write_arrays,
    write_started,
    write_submission,
)
from specs.errors import UserError
from tests.support.command import QUICK
from tests.support.jobs import named
from tests.support.records import make_record

TASK = SlurmTask(job="7_0", attempt=1, node="n1", partition="a", gpus="0")
WISHES = Wishes(held="node", minutes=60, cpus=None, others=())


@pytest.mark.parametrize("command", [("submit", *QUICK), ("submit", *QUICK, "--dry-run")])
def test_without_slurm_one_sentence_says_what_to_do(command, bench, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, errors = bench(*command)
    assert code == 2
    assert "Slurm is not on this machine" in errors
    assert "use a login node of the cluster" in errors
    assert not (tmp_path / "results").exists()


def test_a_run_that_was_not_submitted_has_no_status(bench, tmp_path):
    for command in ("status", "cancel"):
        code, _, errors = bench(command, "results/none")
        assert code == 2
        assert "was not submitted to Slurm" in errors


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(null)", 0),
        ("gpu:2", 2),
        ("gpu:a100:4", 4),
        ("gpu:a100:4(S:0-1),gpu:h100:2(S:1)", 6),
        ("lustre:1,gpu:8(S:0-7),nvme:3", 8),
        ("mps:gpu:100", 0),
    ],
)
def test_gpus_are_counted_in_slurms_words(text, count):
    assert slurm._gpus(text) == count


@pytest.mark.parametrize(
    ("numbers", "most", "expected"),
    [
        ([4, 5, 6], 1000, [(4, [4, 5, 6])]),
        ([4, 5, 6], 2, [(4, [4, 5]), (6, [6])]),
        ([6], 2, [(6, [6])]),
        ([4, 6], 5, [(4, [4, 6])]),
    ],
)
def test_an_array_has_no_index_above_the_sites_limit(numbers, most, expected):
    assert list(chunks(numbers, 4, most)) == expected


def test_a_record_that_exists_is_never_replaced_by_one_that_was_made_up(tmp_path):
    mine, other = make_record(), make_record(status="killed")
    assert write_first(tmp_path, other)
    assert not write_first(tmp_path, mine)
    assert read_file(tmp_path / "k.json", type(mine)).status == "killed"
    write(tmp_path, mine)  # the worker's own replaces it
    assert read_file(tmp_path / "k.json", type(mine)).status == "ok"
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]


def test_a_record_that_a_cache_does_not_show_yet_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path, make_record())
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert not write_first(tmp_path, make_record(status="killed"))
    assert read_file(tmp_path / "k.json", type(make_record())).status == "ok"


def test_the_script_quotes_what_a_path_may_have():
    folder = Path('/a "b"/50%/results/r/cluster/1')
    text = script_of("r", folder, WISHES, python="/p y", current=Path("/x y"), variables={})
    assert '#SBATCH --output="/a \\"b\\"/50%%/results/r/cluster/1/log/%A_%a.out"' in text
    assert '#SBATCH --chdir="/x y"' in text
    assert "exec '/p y' -m bench task '/a \"b\"/50%/results/r/cluster/1'" in text


def test_a_path_with_a_line_break_makes_no_script():
    folder = Path("/a\n#SBATCH --uid=0")
    with pytest.raises(UserError, match="cannot contain these characters"):
        script_of("r", folder, WISHES, python="p", current=Path("/"), variables={})


def test_a_job_knows_the_task_that_it_ran_in():
    variables = {
        "SLURM_JOB_ID": "9",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURMD_NODENAME": "n1",
        "SLURM_JOB_PARTITION": "a",
        "SLURM_JOB_GPUS": "0",
    }
    assert slurm.own_task(variables) == TASK
    assert slurm.own_task({**variables, "SLURM_RESTART_COUNT": "2"}).attempt == 3
    del variables["SLURM_ARRAY_JOB_ID"]
    assert slurm.own_task(variables).job == "9"
    assert slurm.own_task({}) is None


def test_a_record_of_an_earlier_version_has_no_task(tmp_path):
    record = make_record()
    write(tmp_path, record)
    path = tmp_path / "k.json"
    path.write_text(path.read_text().replace(',\n "slurm": null', ""))
    assert "slurm" not in path.read_text()
    assert read_file(path, type(record)) == record
    ended = replace(record, slurm=replace(TASK, state="NODE_FAIL"))
    assert ended.ended_by_slurm
    assert not replace(record, slurm=TASK).ended_by_slurm


def submitted(run, *, nodes=1):
    """A run whose tasks, one per node, were submitted as one array each: 100, 101, ..."""
    data = DataSet(
        name="mnist-5k",
        folder="/d",
        checksum="d",
        train_examples=1000,
        test_examples=100,
        shape=(28, 28, 1),
        classes=10,
    )
    node = slurm.Node(name="n0", partition="a", cpus=4, memory_bytes=10**9, gpus=0, state="idle")
    submission = Submission(
        arguments=("submit", "softmax"),
        suite=plan.find_suite_or_workload("softmax"),
        choices=plan.Options(backends=("reference", "pytorch"), devices=("cpu",), threads=1),
        cluster="here",
        nodes=tuple(replace(node, name=f"n{number}") for number in range(nodes)),
        trainings=(plan.Training(workload=named("softmax"), data=data, epochs=1),),
        places=tuple(
            Place(node=number, training=0, device="cpu", precision="float32")
            for number in range(nodes)
        ),
        made="2026-01-01T00:00:00Z",
    )
    folder = next_folder(run)
    write_submission(folder, submission)
    numbers = range(nodes)
    write_arrays(folder, [Array(job=str(100 + n), first=n, tasks=(n,)) for n in numbers])
    return folder, submission


def say(monkeypatch, **states):
    """Let Slurm say these states of the arrays."""
    found = {f"{k[1:]}_0": slurm.TaskState(state=v, reason="") for k, v in states.items()}
    monkeypatch.setattr(slurm, "site", lambda: slurm.Site("here", 1000))
    monkeypatch.setattr(slurm, "states", lambda arrays: found)


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("OUT_OF_MEMORY", "out of memory", "the task exceeded its memory"),
        ("TIMEOUT", "timeout", "the task reached its time limit"),
        ("PREEMPTED", "killed", "another job took the node"),
        ("NODE_FAIL", "killed", "the node failed"),
        ("CANCELLED", "killed", "the task was cancelled"),
        ("FAILED", "failed", "the task failed"),
        ("COMPLETED", "failed", "the task ended without a result"),
        ("GONE", "killed", "Slurm no longer knows the task"),
    ],
)
@pytest.mark.parametrize("has_started", [True, False])
def test_every_end_of_a_task_is_a_record_of_each_job(
    state, status, reason, has_started, tmp_path, monkeypatch
):
    folder, _ = submitted(tmp_path)
    ok, open_job = (
        make_record(key, backend=backend) for key, backend in (("a", "reference"), ("b", "pytorch"))
    )
    if has_started:
        records = tuple(replace(each, status="killed", epochs=()) for each in (ok, open_job))
        write_started(folder, 0, Started(slurm=TASK, started="now", records=records))
        write(tmp_path / "jobs", ok)
    say(monkeypatch, _100=state)
    for _ in range(2):  # the second time nothing is left to do
        (found,) = reconcile(tmp_path)[0].values()
        assert found.where == "lost"
        records, left_out = read_run(tmp_path)
        assert left_out == []
        assert len(records) == 2
        lost = [record for record in records if record.ended_by_slurm]
        assert len(lost) == (1 if has_started else 2)
        assert {record.status for record in lost} == {status}
        end = "" if has_started else ", before it started"
        assert {record.reason for record in lost} == {f"Slurm: {state}: {reason}{end}"}
    assert not has_started or ok in records


def test_the_records_of_a_task_that_starts_after_all_are_not_kept_twice(tmp_path, monkeypatch):
    folder, _ = submitted(tmp_path)
    say(monkeypatch, _100="CANCELLED")
    reconcile(tmp_path)
    own = make_record("a"), make_record("b", backend="pytorch")
    for record in own:
        write(tmp_path / "jobs", record)
    # as on a network file system that showed the start late
    write_started(folder, 0, Started(slurm=TASK, started="now", records=own))
    (found,) = reconcile(tmp_path)[0].values()
    assert (found.where, found.is_good) == ("done", True)
    assert [record.key for record in read_run(tmp_path)[0]] == ["a", "b"]


def test_a_task_is_the_same_one_in_a_submission_to_other_nodes(tmp_path):
    _, first = submitted(tmp_path, nodes=2)
    choices = replace(first.choices, devices=("cpu", "cuda:0"), precisions=("float32", "bfloat16"))
    other = replace(first, choices=choices, nodes=first.nodes[:1])
    assert first.identity(first.task(0)) == other.identity(other.task(0))
    assert first.identity(first.task(0)) != first.identity(first.task(1))
    more = replace(first, choices=replace(first.choices, rounds=3))
    assert first.identity(first.task(0)) != more.identity(more.task(0))


def test_nothing_is_written_while_slurm_does_not_answer(tmp_path, monkeypatch):
    submitted(tmp_path, nodes=3)
    say(monkeypatch, _100="PENDING", _101="REQUEUE_HOLD", _102="COMPLETING")
    stands = [task.where for task in reconcile(tmp_path)[0].values()]
    assert stands == ["pending", "pending", "running"]

    def refuse(arrays):
        raise slurm.SlurmError("squeue did not answer")

    monkeypatch.setattr(slurm, "states", refuse)
    tasks, problem = reconcile(tmp_path)
    assert {task.where for task in tasks.values()} == {"unknown"}
    assert problem == "squeue did not answer"
    assert not (tmp_path / "jobs").exists()


def test_starts_at_the_same_time_share_no_files_and_the_logs_of_what_failed_are_kept(
    tmp_path, monkeypatch, capsys
):
    folders = []

    class Started:
        """A task's run, whose workers write a log each, as a failed job's does."""

        folder, options, suite, setup = tmp_path, None, None, Namespace(choices=None)

        def measure_limits(self, groups, files=None):
            self._fail(files, "limits")

        def run_jobs(self, groups, goal, turns, files=None):
            self._fail(files, "jobs")
            return [make_record("a", status="failed")], []

        def _fail(self, files, kind):
            folders.append(files)
            assert files is not None
            assert tmp_path not in files.parents
            files.mkdir()
            (files / f"{kind}.log").write_text("why")
            (files / "nothing.log").touch()

    for name in ("_group", "goal_of", "_turns"):
        monkeypatch.setattr(cluster_task, name, lambda *_: [])
    for _ in range(2):
        assert cluster_task._run(Started(), Namespace(limits=True)) == 1
    assert len({*folders}) == 4
    logs = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.log"))]
    assert logs == ["jobs/jobs.log", "limits/limits.log"]
    shutil.rmtree(tmp_path / "limits")
    (tmp_path / "limits").write_text("in the way, as a full disk is")
    assert cluster_task._run(Started(), Namespace(limits=True)) == 1
    assert "bench: cannot copy limits.log: File exists" in capsys.readouterr().err


def test_how_tasks_stand_is_told_where_no_record_can_be_written(tmp_path, monkeypatch):
    submitted(tmp_path)
    (tmp_path / "jobs").write_text("in the way, as a full disk is")
    say(monkeypatch, _100="NODE_FAIL")
    (found,) = reconcile(tmp_path)[0].values()
    assert found.where == "lost"
    assert "jobs: cannot be written" in found.why


def test_a_lost_job_is_run_again_without_being_asked_for():
    ended, failed = make_record("a"), make_record("b", status="failed")
    lost = replace(make_record("c", status="killed"), slurm=replace(TASK, state="NODE_FAIL"))
    options = Namespace(retry=False, keep_weights=False)
    running = Running(options, None, None, Path("r"), [ended, failed, lost])
    assert {*running.reused()} == {"a", "b"}


def test_nodes_of_one_partition_train_together():
    nodes = [
        slurm.Node(name=name, partition=name[0], cpus=4, memory_bytes=1, gpus=0, state="idle")
        for name in ("a1", "a2", "a3", "b1", "b2")
    ]
    both = {node.name: ("cpu", "2x1xcpu") for node in nodes}
    teams = [*_teams(nodes, both)]
    assert [team for team, device in teams if device == "cpu"] == [(n,) for n in range(5)]
    assert [team for team, device in teams if device == "2x1xcpu"] == [(0, 1), (3, 4)]
    with pytest.raises(UserError, match="--device 2x1xcpu: a job needs 2 nodes of one partition"):
        [*_teams(nodes[2:4], both)]


def test_a_task_of_other_nodes_is_another_task(tmp_path):
    _, first = submitted(tmp_path, nodes=3)
    two, three = (replace(first, places=(replace(first.places[0], others=(n,)),)) for n in (1, 2))
    assert len({one.identity(one.task(0)) for one in (first, two, three)}) == 3
