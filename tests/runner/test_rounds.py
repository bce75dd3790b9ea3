"""The number of rounds that are made, and which of them count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from msgspec.structs import replace

from bench.runner.plan import Options, Training, make_groups
from bench.runner.rounds import Goal, Times, run_rounds
from bench.statistics.turns import NOTHING_KNOWN
from specs.loading import find_workload
from tests.support.records import make_record, run_of
from tests.support.rounds import longer, records

TIMES = Times(taken={}, spread_of=lambda record: NOTHING_KNOWN)


def reason(goal, made):
    return goal.reason_to_stop(made, TIMES)


def test_a_number_of_rounds_is_of_undisturbed_ones_and_patience_ends():
    goal = Goal(rounds=4)
    assert reason(goal, records(range(4), jax=1, pytorch=1)) == "4 rounds"
    assert reason(goal, records(range(4), loud=[1], jax=1, pytorch=1)) == ""
    assert (
        reason(goal, records(range(5), loud=[1], jax=1, pytorch=1))
        == "5 rounds, 1 on a busy machine"
    )
    # Disturbance is usual here, so all rounds count.
    assert reason(goal, records(range(7), loud=[0, 2, 4, 5], jax=1, pytorch=1)) == "7 rounds"
    late = records(range(20), loud=range(10, 20), jax=1, pytorch=1)
    assert reason(Goal(rounds=11), late) == ""
    assert reason(Goal(rounds=10), late) == "20 rounds, 10 on a busy machine"
    worse = records(range(22), loud=range(10, 22), jax=1, pytorch=1)
    assert reason(Goal(rounds=11), worse) == "22 rounds, 12 on a busy machine: the maximum"
    assert reason(Goal(rounds=1), records([0], loud=[0], jax=1, pytorch=1)) == "1 round"


def test_until_precise_ends_when_the_widest_ratio_is_and_not_before():
    goal = Goal(rounds=1, precision=0.02)
    assert reason(goal, records(range(5), jax=1, pytorch=2)) == ""
    many = records(range(30), jax=1, pytorch=2)
    found = TIMES.widest_precision(many)
    assert 0.001 < found < 0.02
    assert reason(goal, many) == f"precise to {100 * found:.2g} % after 30 rounds"
    third = records(range(30), noise=0.2, seed=1, tensorflow=3)
    assert TIMES.widest_precision(many + third) > 0.02
    assert reason(goal, many + third) == ""


def test_precision_is_of_the_epochs_after_the_first():
    random = np.random.default_rng(0)
    slow_first = [
        replace(r, epochs=(longer(r.epochs[0], random.uniform(1, 50)), r.epochs[1]))
        for r in records(range(14), noise=0.0, jax=1, pytorch=2)
    ]
    assert TIMES.widest_precision(slow_first) == 0.0


def test_until_precise_ends_where_nothing_can_be_compared_or_nothing_more_counts():
    goal = Goal(rounds=1, precision=0.0001)
    alone = records(range(2), jax=1) + [
        replace(r, status="failed") for r in records(range(2), pytorch=1)
    ]
    assert (
        reason(goal, alone)
        == "2 rounds: no two backends ended ok and agree, so nothing can be compared"
    )
    assert "after 200 rounds, the maximum" in reason(goal, records(range(200), jax=1, pytorch=1))


TRAININGS = ("softmax", "mlp-relu")


def play(goal, data, outcome, *, seconds=None):
    """Make rounds of two workloads with made-up records.

    Returns which workloads ran in each round, and why each ended.
    """
    options = Options(backends=("jax", "pytorch"), devices=("cpu",), threads=1)
    trainings = [Training(workload=find_workload(name), data=data, epochs=3) for name in TRAININGS]
    groups = make_groups(trainings, options)
    ran, told = [], []

    def make_tasks(groups, number):
        return [(group.training.workload, number) for group in groups]

    def run(tasks):
        ran.append([workload.name for workload, _ in tasks])
        made = [record for workload, turn in tasks for record in outcome(workload.name, turn)]
        workloads = {workload.name: workload for workload, _ in tasks}
        return [
            replace(r, job=replace(r.job, workload=workloads[r.key.split("|")[0]], batch_size=128))
            for r in made
        ]

    observer = SimpleNamespace(planned=told.append)
    found, ends = run_rounds(groups, make_tasks, run, goal, times=TIMES, observer=observer)
    return ran, ends, found, told


def test_each_batch_size_of_a_sweep_has_its_own_rounds(mnist_5k):
    options = Options(backends=("jax", "pytorch"), devices=("cpu",), threads=1)
    workload = find_workload("softmax")
    trainings = [
        Training(workload=workload, data=mnist_5k, epochs=3, batch_size=size) for size in (32, 64)
    ]

    def run(tasks):
        made = [
            (size, r)
            for size, turn in tasks
            for r in records([turn], noise=size / 1000, seed=turn, jax=1, pytorch=2)
        ]
        return [
            replace(r, job=replace(r.job, workload=workload, batch_size=size)) for size, r in made
        ]

    def make_tasks(groups, number):
        return [(group.training.batch_size, number) for group in groups]

    observer = SimpleNamespace(planned=lambda _: None)
    found, ends = run_rounds(
        make_groups(trainings, options),
        make_tasks,
        run,
        Goal(rounds=1, precision=0.05),
        times=TIMES,
        observer=observer,
    )
    rounds = [int(end.split(" after ")[1].split()[0]) for end in ends]
    assert rounds[0] < rounds[1]
    assert [sum(r.job.batch_size == size for r in found) for size in (32, 64)] == [
        2 * number for number in rounds
    ]


def outcome(**noise):
    def of(workload, turn):
        made = records([turn], noise=noise[workload.replace("-", "_")], seed=turn, jax=1, pytorch=2)
        return [replace(r, key=f"{workload}|{r.key}") for r in made]

    return of


def test_a_group_that_is_precise_is_not_run_again_while_others_go_on(mnist_5k):
    ran, ends, found, _ = play(
        Goal(rounds=1, precision=0.05), mnist_5k, outcome(softmax=0.001, mlp_relu=0.2)
    )
    assert ran[0] == [*TRAININGS]
    assert ran[-1] == ["mlp-relu"]
    assert [end.split(" after ")[0].split()[0] for end in ends] == ["precise", "precise"]
    rounds = [int(end.split(" after ")[1].split()[0]) for end in ends]
    assert rounds[0] < rounds[1] == len(ran)
    assert len(found) == 2 * sum(rounds)


def test_time_is_up_between_rounds_and_it_is_said_how_precise_it_is(mnist_5k, monkeypatch):
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr("bench.runner.rounds.monotonic_seconds", lambda: next(clock))
    _, ends, _, _ = play(
        Goal(rounds=1, precision=0.0001, seconds=720),
        mnist_5k,
        outcome(softmax=0.01, mlp_relu=0.01),
    )
    assert all(end.startswith("time is up after 12 rounds, precise to ") for end in ends)
    monkeypatch.setattr("bench.runner.rounds.monotonic_seconds", iter([0, 100]).__next__)
    _, ends, _, _ = play(Goal(rounds=5, seconds=90), mnist_5k, outcome(softmax=0.01, mlp_relu=0.01))
    assert ends == ["time is up after 1 round, precision unknown: too few rounds"] * 2


def test_the_rounds_that_are_certain_are_planned_at_once(mnist_5k):
    ran, ends, _, told = play(Goal(rounds=3), mnist_5k, outcome(softmax=0.01, mlp_relu=0.01))
    assert len(ran) == 3
    assert ends == ["3 rounds", "3 rounds"]
    assert [len(tasks) for tasks in told] == [6]


def test_the_stopping_rule_takes_the_same_times_as_tables():
    """Three slow epochs at the start are more than the one that is always left out."""
    random = np.random.default_rng(3)
    slow_start = [
        make_record(
            f"{backend}{number}",
            times=tuple(
                factor * seconds * random.uniform(0.99, 1.01)
                for seconds in (9.0, 3.0, 2.0, *[1.0] * 21)
            ),
            accuracies=(0.9,) * 24,
            backend=backend,
            round=number,
        )
        for number in range(6)
        for backend, factor in (("jax", 1.0), ("pytorch", 2.0))
    ]
    jobs = run_of(*slow_start).jobs
    assert set(jobs["warm_up_epochs"]) == {3}
    for backend, times in TIMES._by_backend(slow_start).items():
        shown = jobs[jobs["backend"] == backend].sort_values("round")["epoch_seconds"]
        assert [job.epochs for job in times.values()] == shown.tolist()
