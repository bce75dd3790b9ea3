"""The workers of a group stay alive after their jobs, and take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from msgspec.structs import replace

from bench.machine import room
from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.job import Record
from bench.records.learned import read_learned
from bench.records.stored import read_file
from bench.records.turns import read_turns
from bench.records.weights import read_weights
from bench.runner.group import GroupRunner, key_of, tasks_with_turns
from bench.runner.turns import Session, Wanted, _slice_of
from bench.worker import start
from bench.worker.lines import Turn
from tests.support.jobs import make_job
from tests.support.records import make_record
from tests.support.tasks import Watcher, make_task

RIGHT = "backends.reference.oracle:Reference"


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr("bench.runner.turns._SECONDS", 0.1)
    monkeypatch.setattr("bench.runner.turns._SWEEP_SECONDS", 0.2)


def tasks_of(data, *adapters):
    """A task per adapter, each of another backend."""
    tasks = [
        make_task(adapter, data, epochs=1, batch_size=100, backend=f"{number}")
        for number, adapter in enumerate(adapters)
    ]
    return [
        replace(
            task,
            key=f"job{number}",
            job=replace(task.job, backend="reference"),
            assignment=replace(task.assignment, job=replace(task.job, backend="reference")),
        )
        for number, task in enumerate(tasks)
    ]


def run_group(
    tasks, folder, *, sweeps=3, precision=None, most=0, known=(), taken=None, observer=None
):
    """The records of a group's jobs and of its turns.

    A loaded machine gets no more sweeps than wanted, if `most` is 0.
    """
    runner = GroupRunner(
        folder=folder,
        machine=this_machine(),
        timeout=60.0,
        observer=observer or Watcher(),
        reused={record.key: record for record in known},
        wanted=Wanted(sweeps=sweeps, precision=precision, most=most),
        taken={} if taken is None else taken,
    )
    records = runner.run(tasks)
    return records, read_turns(folder)[0]


def test_jobs_of_the_first_seed_and_round_keep_what_they_have_learned(mnist_5k, tmp_path):
    def run(first_seed, *, keep_weights=False, **job):
        task = make_task(RIGHT, mnist_5k, epochs=1, **job)
        runner = GroupRunner(
            folder=tmp_path / f"{first_seed} {keep_weights} {job}",
            machine=this_machine(),
            timeout=60.0,
            observer=Watcher(),
            reused={},
            wanted=Wanted(sweeps=0),
            taken={},
            first_seed=first_seed,
            keep_weights=keep_weights,
        )
        [record] = runner.run([task])
        assert record.status == "ok"
        assert (read_weights(runner.folder, record) is not None) == (
            keep_weights and first_seed == 3 and not record.job.round
        )
        return record, read_learned(runner.folder, record.key)

    record, learned = run(3, seed=3, keep_weights=True)
    run(3, seed=3)
    run(3, seed=3, round=1, keep_weights=True)
    run(0, seed=3, keep_weights=True)
    right = learned.classes == np.load(f"{mnist_5k.folder}/test_labels.npy")
    assert right.mean() == pytest.approx(record.epochs[-1].test_accuracy)
    assert learned.filters.shape == (784, 10)
    assert run(0, seed=3)[1] is None
    assert run(3, seed=3, round=1)[1] is None
    assert run(None)[1] is None


def our_children():
    return [child for child in psutil.Process().children() if "start.py" in str(child.cmdline())]


def test_each_takes_a_turn_in_every_sweep_and_every_second_order_is_the_opposite(
    mnist_5k, tmp_path
):
    watcher = Watcher()
    records, [turns] = run_group(
        tasks_of(mnist_5k, RIGHT, RIGHT, RIGHT), tmp_path, sweeps=4, observer=watcher
    )
    assert [record.status for record in records] == ["ok"] * 3
    assert all(record.verification.passed for record in records)
    assert turns.refused == ""
    assert [member.job for member in turns.members] == ["job0", "job1", "job2"]
    assert not any(member.is_new for member in turns.members)
    assert [len(member.turns) for member in turns.members] == [4] * 3
    assert all(sorted(order) == [0, 1, 2] for order in turns.orders)
    assert turns.orders[1] == turns.orders[0][::-1]
    assert turns.orders[3] == turns.orders[2][::-1]
    assert watcher.sweeps == [1, 2, 3, 4]
    assert not our_children()
    assert [path.name for path in (tmp_path / "jobs").iterdir() if path.suffix != ".json"] == []


def test_the_time_of_an_epoch_by_turns_is_that_of_its_epochs(mnist_5k, tmp_path):
    records, [turns] = run_group(tasks_of(mnist_5k, RIGHT, RIGHT), tmp_path)
    by_epochs = [record.epochs[-1].training.wall_seconds for record in records]
    by_turns = [np.median(member.epoch_seconds) for member in turns.members]
    assert all(0.1 < one / other < 10 for one, other in zip(by_turns, by_epochs, strict=True))
    assert all(member.share >= 1 for member in turns.members)


@pytest.mark.parametrize(
    ("seconds", "epochs", "examples"),
    [(0.1, 5, 4000), (0.9, 1, 4000), (2.0, 1, 1024), (40.0, 1, 64), (1000.0, 1, 32)],
)
def test_a_turn_trains_several_short_epochs_or_whole_steps_of_a_long_one(seconds, epochs, examples):
    record = make_record("a", times=(seconds + 5.0, seconds), accuracies=(0.1, 0.2))
    job = make_job("cnn", batch_size=32)
    data = replace(record.data, train_examples=4000)
    part = _slice_of(replace(record, job=job, data=data), 0.5)
    assert (part.epochs, part.examples) == (epochs, examples)
    assert part.share == epochs * examples / 4000


def test_a_backend_that_waits_with_a_busy_thread_has_no_turns(mnist_5k, tmp_path):
    _, [turns] = run_group(tasks_of(mnist_5k, RIGHT, "tests.support.faulty:WaitsBusily"), tmp_path)
    assert "% of a core while it waited" in turns.refused
    assert turns.refused.startswith("reference used ")
    first, second = turns.members
    assert first.waiting < 0.01
    assert second.waiting > 0.05


def test_a_worker_that_dies_in_its_turn_takes_no_more_part(mnist_5k, tmp_path):
    records, [turns] = run_group(
        tasks_of(mnist_5k, RIGHT, "tests.support.faulty:DiesInTurns", RIGHT), tmp_path
    )
    assert [record.status for record in records] == ["ok"] * 3
    assert [member.job for member in turns.members] == ["job0", "job2"]
    assert [len(member.turns) for member in turns.members] == [3, 3]
    assert all(sorted(order) == [0, 1] for order in turns.orders)


def test_a_job_that_failed_or_is_wrong_takes_none(mnist_5k, tmp_path):
    wrong = "tests.support.faulty:TrainsTooSlowly"
    _, [turns] = run_group(
        tasks_of(mnist_5k, RIGHT, "tests.support.faulty:Raises", wrong, RIGHT), tmp_path
    )
    assert [member.job for member in turns.members] == ["job0", "job3"]
    _, none = run_group(tasks_of(mnist_5k, RIGHT, wrong), tmp_path / "two")
    assert none == []


def test_a_run_with_records_but_no_turns_starts_workers_for_the_turns_alone(mnist_5k, tmp_path):
    tasks = tasks_of(mnist_5k, RIGHT, RIGHT)
    known, none = run_group(tasks, tmp_path, sweeps=0)
    assert none == []
    records, [turns] = run_group(tasks, tmp_path, known=known)
    assert records == known
    assert all(member.is_new for member in turns.members)
    assert turns.sweeps == 3


def test_turns_that_are_enough_are_not_taken_again_and_more_are(mnist_5k, tmp_path):
    tasks, taken = tasks_of(mnist_5k, RIGHT, RIGHT), {}
    known, [turns] = run_group(tasks, tmp_path, sweeps=2, taken=taken)
    assert taken == {key_of(tasks): turns}
    # A parent that was killed after it had written them has left its workers' files.
    left = [
        tmp_path / folder / f"{tasks[0].key}.{kind}"
        for folder in ("jobs", "turns")
        for kind in ("assignment", "progress.jsonl", "log")
    ]
    for path in left:
        path.touch()
    assert run_group(tasks, tmp_path, sweeps=2, known=known, taken=taken)[1] == [turns]
    assert tasks_with_turns(tasks, Wanted(sweeps=2), taken) == []
    assert tasks_with_turns(tasks, Wanted(sweeps=3), taken) == tasks
    assert tasks_with_turns(tasks[:1], Wanted(sweeps=3), {}) == []
    assert not any(path.exists() for path in left)
    _, [more] = run_group(tasks, tmp_path, sweeps=3, known=known, taken=taken)
    assert more.sweeps == 3


@pytest.mark.parametrize(("precision", "sweeps"), [(None, 4), (1e9, 2), (1e-9, 5)])
def test_turns_that_are_not_precise_enough_are_followed_by_more(
    precision, sweeps, mnist_5k, tmp_path, monkeypatch
):
    monkeypatch.setattr("bench.runner.turns._ERROR", 1e-9)
    monkeypatch.setattr("bench.runner.turns._MOST_SWEEPS", 4)
    monkeypatch.setattr("bench.runner.turns._MOST_PRECISE", 5)
    tasks = tasks_of(mnist_5k, RIGHT, RIGHT)
    _, [turns] = run_group(tasks, tmp_path, sweeps=2, precision=precision, most=None)
    assert turns.sweeps == sweeps


class Steady:
    """A worker whose turns take the same time."""

    scatter = 0.01

    def __init__(self, seed):
        self._random = np.random.default_rng(seed)

    def turn(self, command, timeout):
        seconds = 0.5 * np.exp(self.scatter * self._random.standard_normal())
        return Turn(wall_seconds=seconds, cpu_seconds=0.5, waited_seconds=1, waited_cpu_seconds=0)


class Disturbed(Steady):
    """A worker whose turns scatter widely."""

    scatter = 0.5


@pytest.mark.parametrize(
    ("disturbed", "precision", "sweeps"), [(0, None, 9), (1, None, 9), (3, None, 15), (1, 0.1, 40)]
)
def test_sweeps_go_on_until_half_of_the_pairs_are_precise_or_all_if_it_is_wanted(
    disturbed, precision, sweeps
):
    kinds = [Disturbed] * disturbed + [Steady] * (4 - disturbed)
    records = {key: make_record(key, times=(0.5, 0.5), accuracies=(0.1, 0.2)) for key in "abcd"}
    workers = {key: kind(ord(key)) for key, kind in zip(records, kinds, strict=True)}
    session = Session(workers, records, set(), lambda count: None)
    session.run(Wanted(precision=precision))
    assert len(session.orders) == sweeps


def test_without_room_for_another_process_there_are_no_turns_and_it_is_said(
    mnist_5k, tmp_path, monkeypatch
):
    monkeypatch.setattr(room, "_free_host_bytes", lambda: 20_000_000)  # enough for one
    records, [turns] = run_group(tasks_of(mnist_5k, RIGHT, RIGHT), tmp_path)
    assert [record.status for record in records] == ["ok"] * 2
    assert turns.refused.startswith("no turns: ")
    assert turns.refused.endswith(" are needed for another process, and 0.0 GiB are free")
    assert turns.members == turns.orders == ()


def test_a_job_that_runs_out_of_memory_beside_others_runs_again_alone(mnist_5k, tmp_path):
    records, [turns] = run_group(
        tasks_of(mnist_5k, RIGHT, "tests.support.faulty:NeedsToBeAlone"), tmp_path
    )
    assert [record.status for record in records] == ["ok"] * 2
    assert turns.refused == "no turns: reference ended while other workers waited: out of memory"


def test_the_workers_end_with_their_parent(mnist_5k, tmp_path):
    code = (
        "from pathlib import Path; from tests.runner.test_turns import *;"
        "from bench.data.cache import materialise; from bench.data.dataset import Places;"
        "from specs.loading import find_workload;"
        f"data = materialise('mnist-5k', find_workload('softmax').input,"
        f" Places(directory=None, cache=Path({str(tmp_path / 'cache')!r})));"
        f"run_group(tasks_of(data, RIGHT, RIGHT), Path({str(tmp_path)!r}), sweeps=999)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        for _ in range(600):
            children = psutil.Process(parent.pid).children()
            workers = [p for p in children if start.__file__ in p.cmdline()]
            if len(workers) == 2:  # the first one waits
                break
            time.sleep(0.1)
        os.kill(parent.pid, signal.SIGKILL)
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_an_interrupted_group_leaves_no_worker_and_keeps_the_records(mnist_5k, tmp_path):
    class Interrupts(Watcher):
        def turned(self, tasks, sweeps):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_group(tasks_of(mnist_5k, RIGHT, RIGHT), tmp_path, observer=Interrupts())
    assert not our_children()
    assert all(isinstance(read_file(p, Record), Record) for p in (tmp_path / "jobs").iterdir())
    assert read_turns(tmp_path) == ([], [])


GPU = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")


@pytest.mark.parametrize(
    ("earlier", "kept"),
    [
        ("aa", "aa"),  # this GPU
        ("a-", "a-"),
        ("bb", "bb"),  # another GPU of the kind, and all jobs of the round
        ("b-", "--"),  # not all: the times of two GPUs would be divided
        ("ab", "a-"),
        ("--", "--"),
    ],
)
def test_the_jobs_of_a_round_are_of_one_gpu(earlier, kept, mnist_5k, tmp_path):
    here = replace(this_machine(), gpus=(GPU,))
    names = [f"job{number}" for number in range(len(earlier))]
    tasks = [
        replace(make_task(RIGHT, mnist_5k, device="cuda:0", backend="reference"), key=name)
        for name in names
    ]
    reused = {}
    for name, board in zip(names, earlier, strict=True):
        if board != "-":
            machine = replace(here, gpus=(replace(GPU, uuid=f"GPU-{board}"),))
            reused[name] = replace(make_record(name, device="cuda:0"), machine=machine)
    runner = GroupRunner(
        folder=tmp_path,
        machine=here,
        timeout=60.0,
        observer=Watcher(),
        reused=reused,
        wanted=Wanted(sweeps=0),
        taken={},
    )
    found = runner._kept(tasks)
    assert "".join(e if n in found else "-" for n, e in zip(names, earlier, strict=True)) == kept
