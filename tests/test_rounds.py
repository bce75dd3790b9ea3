"""How many rounds are made and in which order, what disturbs them, and which of them count."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace
from test_report import make_record

from bench import disturbance
from bench.disturbance import Disturbance, Watch, say, which_count
from bench.machine import allowed_cpus
from bench.plan import Contest, Options, make_cells, make_jobs, make_round
from bench.report.frame import epochs_frame
from bench.report.ratios import pairs_of
from bench.report.summary import summarise
from bench.report.tables import notes
from bench.rounds import Goal, widest
from bench.runner import run_rounds
from specs.loading import find_suite, find_workload

QUIET = Disturbance(other_cpu=0.01, steal=0.0, frequency=0.98, gpu_processes=None, gpu_throttled=None)
LOUD = replace(QUIET, other_cpu=0.5)


def records(turns, *, loud=(), noise=0.01, seed=0, **factors):
    """Rounds of some backends, each epoch so many times as long as the noise says; some rounds are disturbed."""
    random = np.random.default_rng(seed)
    made = []
    for turn in turns:
        for backend, factor in factors.items():
            times = factor * np.exp(noise * random.normal(size=3))
            one = make_record(
                f"{backend}{turn}", times=tuple(times), accuracies=(0.9,) * 3, backend=backend, round=turn
            )
            made.append(replace(one, disturbance=LOUD if turn in loud and backend == "jax" else QUIET))
    return made


# What disturbs.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"other_cpu": 0.105}, "other processes used 10 % of its CPUs"),
        ({"other_cpu": 0.09}, ""),
        ({"steal": 0.04}, "the host took 4 % of its CPUs"),
        ({"frequency": 0.5}, "its CPUs' clock fell to 50 %"),
        ({"gpu_processes": 2}, "2 other on its GPU"),
        ({"gpu_processes": 0}, ""),
        ({"gpu_throttled": True}, "its GPU was throttled"),
        ({"steal": None, "other_cpu": None, "frequency": None}, ""),
        ({"steal": 0.5, "gpu_throttled": True}, "the host took 50 % of its CPUs, its GPU was throttled"),
    ],
)
def test_a_disturbance_is_said_in_words_where_it_is_one(change, words):
    assert say(replace(QUIET, **change)) == words


BURN = "import time; end = time.process_time() + 1.0\nwhile time.process_time() < end: pass"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counted per CPU on Linux alone")
def test_others_work_on_the_jobs_cpus_is_seen():
    cpu = allowed_cpus()[0]
    watch = Watch([cpu], None)
    code = f"taskset -c {cpu} {sys.executable} -c '{BURN}'; echo; exec sleep 60"
    with subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE) as shell:
        shell.stdout.readline()  # the work is done, and its process was the shell's, which has not ended
        found = watch.end()
        shell.kill()
    assert found.other_cpu > 0.2
    assert found.steal is None or 0 <= found.steal <= 1
    assert found.gpu_processes is found.gpu_throttled is None


def test_the_jobs_own_time_is_not_taken_for_others(monkeypatch):
    """Two CPUs, 5 s: of 6 s of work 4.5 were ours, so that others had 1.5 of 10; the host took 0.2."""
    monkeypatch.setattr(disturbance, "monotonic_seconds", iter([100.0, 105.0]).__next__)
    monkeypatch.setattr(disturbance, "_own_seconds", iter([1.0, 5.5]).__next__)
    counters = iter([(10.0, 1.0), (16.0, 1.2)])
    monkeypatch.setattr(disturbance, "_busy_seconds", lambda _: next(counters))
    clocks = iter([3000.0, 800.0, 2400.0])  # one sample of an idle moment decides nothing
    monkeypatch.setattr(disturbance, "_clock", lambda _: next(clocks))
    watch = Watch([0, 1], None)
    for _ in range(3):
        watch.look()
    found = watch.end()
    assert (found.other_cpu, found.steal, found.frequency) == pytest.approx((0.15, 0.02, 0.8))


def test_a_childs_time_is_ours_once_it_has_ended():
    before = disturbance._own_seconds()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert disturbance._own_seconds() - before > 0.9


def test_others_on_the_gpu_and_its_throttling_are_seen_by_nvml(monkeypatch):
    class Nvml(SimpleNamespace):
        class NVMLError(Exception):
            pass

    processes, reasons = iter([[1], [1, 2, 3], [1]]), iter([0, 0x4, 0x40])
    fake = Nvml(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetComputeRunningProcesses=lambda _: next(processes),
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: next(reasons),
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    watch = Watch([0], "GPU-1")
    for expected in (False, False, True):  # 0x4, a power limit as usual, is no disturbance
        watch.look()
        assert watch.end().gpu_throttled is expected
    assert watch.end().gpu_processes == 2

    def refuse(_):
        raise Nvml.NVMLError

    fake.nvmlDeviceGetComputeRunningProcesses = fake.nvmlDeviceGetCurrentClocksThrottleReasons = refuse
    watch = Watch([0], "GPU-1")
    watch.look()
    assert (watch.end().gpu_processes, watch.end().gpu_throttled) == (None, None)


@pytest.mark.parametrize(
    ("flags", "counted"),
    [
        ("", ""),
        (".....", "yyyyy"),
        (".#...", "yn..."),
        ("##", "yy"),  # most are: that is how the machine is
        ("##########..........", "y" * 20),
        ("..........##########", "y" * 10 + "n" * 10),  # settled by the first ten
        ("#.#.#.#.#.#.#", "nynynynynynyn"),
    ],
)
def test_disturbed_repetitions_do_not_count_unless_most_of_the_first_ten_are(flags, counted):
    assert which_count([flag == "#" for flag in flags]) == [c in "y." for c in counted]


def test_what_counts_is_settled_before_there_can_be_a_verdict():
    random = np.random.default_rng(0)
    for _ in range(200):
        flags = (random.random(40) < random.random()).tolist()
        looks = [which_count(flags[:count]) for count in range(10, 41)]
        assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(looks))


# How many rounds.


def test_a_number_of_rounds_is_of_undisturbed_ones_and_patience_ends():
    goal = Goal(rounds=4)
    assert goal.enough(records(range(4), jax=1, pytorch=1)) == "4 rounds"
    assert goal.enough(records(range(4), loud=[1], jax=1, pytorch=1)) == ""
    assert goal.enough(records(range(5), loud=[1], jax=1, pytorch=1)) == "5 rounds, of which 1 disturbed"
    assert goal.enough(records(range(7), loud=[0, 2, 4, 5], jax=1, pytorch=1)) == "7 rounds"  # as it is, then
    late = records(range(20), loud=range(10, 20), jax=1, pytorch=1)
    assert Goal(rounds=11).enough(late) == ""
    assert Goal(rounds=10).enough(late) == "20 rounds, of which 10 disturbed"
    worse = records(range(22), loud=range(10, 22), jax=1, pytorch=1)
    assert Goal(rounds=11).enough(worse) == "22 rounds, of which 12 disturbed: no more were tried"
    assert Goal(rounds=1).enough(records([0], loud=[0], jax=1, pytorch=1)) == "1 round"


def test_until_precise_ends_when_the_widest_ratio_is_and_not_before():
    goal = Goal(rounds=1, precision=0.02)
    assert goal.enough(records(range(5), jax=1, pytorch=2)) == ""
    many = records(range(30), jax=1, pytorch=2)
    found = widest(many)
    assert 0.001 < found < 0.02
    assert goal.enough(many) == f"precise to {100 * found:.2g} % after 30 rounds"
    third = records(range(30), noise=0.2, seed=1, tensorflow=3)
    assert widest(many + third) > 0.02
    assert goal.enough(many + third) == ""


def test_precision_is_of_the_epochs_after_the_first():
    random = np.random.default_rng(0)
    slow_first = [
        replace(r, epochs=(_times(r.epochs[0], random.uniform(1, 50)), r.epochs[1]))
        for r in records(range(14), noise=0.0, jax=1, pytorch=2)
    ]
    assert widest(slow_first) == 0.0


def test_until_precise_ends_where_nothing_can_be_compared_or_nothing_more_counts():
    goal = Goal(rounds=1, precision=0.0001)
    alone = records(range(2), jax=1) + [replace(r, status="failed") for r in records(range(2), pytorch=1)]
    assert goal.enough(alone) == "2 rounds: no two contestants ended ok and agree, so there is nothing to compare"
    assert "after 200 rounds, the most that count" in goal.enough(records(range(200), jax=1, pytorch=1))


CONTESTS = ("softmax", "mlp-relu")


def play(goal, data, outcome, *, seconds=None):
    """Rounds of two workloads whose records are made up; which cells ran in each round, and why each ended."""
    options = Options(backends=("jax", "pytorch"), devices=("cpu",), threads=1)
    contests = [Contest(workload=find_workload(name), data=data, epochs=3) for name in CONTESTS]
    cells = make_cells(contests, options)
    ran, told = [], []

    def tasks_of(some, turn):
        return [(contest.workload, turn) for contest, _ in some]

    def run(tasks):
        ran.append([workload.name for workload, _ in tasks])
        made = [record for workload, turn in tasks for record in outcome(workload.name, turn)]
        workloads = {workload.name: workload for workload, _ in tasks}
        return [replace(r, job=replace(r.job, workload=workloads[r.key.split("|")[0]], batch_size=128)) for r in made]

    observer = SimpleNamespace(planned=told.append)
    found, ends = run_rounds(cells, tasks_of, run, goal, observer)
    return ran, ends, found, told


def test_each_batch_size_of_a_sweep_has_its_own_rounds(mnist_5k):
    options = Options(backends=("jax", "pytorch"), devices=("cpu",), threads=1)
    workload = find_workload("softmax")
    contests = [Contest(workload=workload, data=mnist_5k, epochs=3, batch_size=size) for size in (32, 64)]

    def run(tasks):
        made = [
            (size, r) for size, turn in tasks for r in records([turn], noise=size / 1000, seed=turn, jax=1, pytorch=2)
        ]
        return [replace(r, job=replace(r.job, workload=workload, batch_size=size)) for size, r in made]

    def tasks_of(some, turn):
        return [(contest.batch_size, turn) for contest, _ in some]

    observer = SimpleNamespace(planned=lambda _: None)
    found, ends = run_rounds(make_cells(contests, options), tasks_of, run, Goal(rounds=1, precision=0.05), observer)
    rounds = [int(end.split(" after ")[1].split()[0]) for end in ends]
    assert rounds[0] < rounds[1]
    assert [sum(r.job.batch_size == size for r in found) for size in (32, 64)] == [2 * number for number in rounds]


def outcome(**noise):
    def of(workload, turn):
        made = records([turn], noise=noise[workload.replace("-", "_")], seed=turn, jax=1, pytorch=2)
        return [replace(r, key=f"{workload}|{r.key}") for r in made]

    return of


def test_a_cell_that_is_precise_is_not_run_again_while_others_go_on(mnist_5k):
    ran, ends, found, _ = play(Goal(rounds=1, precision=0.05), mnist_5k, outcome(softmax=0.001, mlp_relu=0.2))
    assert ran[0] == [*CONTESTS]
    assert ran[-1] == ["mlp-relu"]
    assert [end.split(" after ")[0].split()[0] for end in ends] == ["precise", "precise"]
    rounds = [int(end.split(" after ")[1].split()[0]) for end in ends]
    assert rounds[0] < rounds[1] == len(ran)
    assert len(found) == 2 * sum(rounds)


def test_time_is_up_between_rounds_and_it_is_said_how_precise_it_is(mnist_5k, monkeypatch):
    clock = iter(range(0, 10_000, 60))
    monkeypatch.setattr("bench.runner.monotonic_seconds", lambda: next(clock))
    _, ends, _, _ = play(Goal(rounds=1, precision=0.0001, seconds=720), mnist_5k, outcome(softmax=0.01, mlp_relu=0.01))
    assert all(end.startswith("time is up after 12 rounds, precise to ") for end in ends)
    monkeypatch.setattr("bench.runner.monotonic_seconds", iter([0, 100]).__next__)
    _, ends, _, _ = play(Goal(rounds=5, seconds=90), mnist_5k, outcome(softmax=0.01, mlp_relu=0.01))
    assert ends == ["time is up after 1 round, too few rounds to say"] * 2


def test_the_rounds_that_are_certain_are_planned_at_once(mnist_5k):
    ran, ends, _, told = play(Goal(rounds=3), mnist_5k, outcome(softmax=0.01, mlp_relu=0.01))
    assert len(ran) == 3
    assert ends == ["3 rounds", "3 rounds"]
    assert [len(tasks) for tasks in told] == [6]


# In which order.


def test_of_every_two_repetitions_the_second_is_the_first_reversed_and_lots_are_fair(mnist_5k):
    backends = ("pytorch", "jax", "tensorflow")
    options = Options(backends=backends, devices=("cpu",), threads=1, rounds=400, seeds=(0,))
    contests = [Contest(workload=find_workload("softmax"), data=mnist_5k, epochs=1)]
    jobs = [job for job, _ in make_jobs(contests, options, find_suite("smoke"))]
    orders = [tuple(job.backend for job in jobs[start : start + 3]) for start in range(0, len(jobs), 3)]
    assert orders[0] == backends
    assert all(second == first[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True))
    assert all(abs(orders.count(order) - 400 / 6) < 30 for order in set(orders))
    assert len(set(orders)) == 6
    cells = make_cells(contests, options)
    assert [job for job, _ in make_round(cells, options, find_suite("smoke"), 7)] == jobs[21:24]


# In the report.


def test_disturbed_rounds_are_left_out_of_times_and_of_ratios_and_that_is_said():
    made = records(range(14), loud=[12, 13], noise=0.0, jax=1, pytorch=2)
    made = [replace(r, epochs=tuple(_times(e, 10) for e in r.epochs)) if r.job.round > 11 else r for r in made]
    frame = epochs_frame(made)
    rows = summarise(frame).set_index("backend")
    assert rows.loc["jax", "epoch_seconds"] == rows.loc["jax", "epoch_seconds_high"] == 1.0
    line = "softmax cpu: 2 of 14 rounds were disturbed (as: other processes used 50 % of its CPUs)"
    assert f"{line}; they are left out of times." in notes(rows.reset_index(), frame)
    [pair] = pairs_of(frame)
    assert (pair.found.rounds, pair.found.outcome) == (12, "faster")
    all_loud = epochs_frame(records(range(14), loud=range(14), jax=1, pytorch=2))
    assert any(
        "14 of 14 rounds" in line and "count all the same" in line for line in notes(summarise(all_loud), all_loud)
    )


def _times(epoch, factor):
    return replace(epoch, training=replace(epoch.training, wall_seconds=factor * epoch.training.wall_seconds))
