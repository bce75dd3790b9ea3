"""Disturbances of a job are seen and named; its times are left out if disturbance is unusual."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from msgspec.structs import replace

from bench.machine import watch as machine_watch
from bench.machine.disturbance import reasons, which_count
from bench.machine.host import allowed_cpus
from bench.machine.watch import Watch
from tests.support.rounds import QUIET


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"other_cpu": 0.105}, "other processes used 10 % of its CPUs"),
        ({"other_cpu": 0.09}, ""),
        ({"steal": 0.04}, "the host took 4 % of its CPUs"),
        ({"frequency": 0.5}, "its CPUs' clock fell to 50 %"),
        ({"gpu_processes": 2}, "2 other processes on its GPU"),
        ({"gpu_processes": 0}, ""),
        ({"gpu_throttled": True}, "its GPU was throttled"),
        ({"gpu_clock": 0.74}, "its GPU's clock fell to 74 %"),
        ({"gpu_clock": 0.76}, ""),
        ({"steal": None, "other_cpu": None, "frequency": None}, ""),
        (
            {"steal": 0.5, "gpu_throttled": True},
            "the host took 50 % of its CPUs, its GPU was throttled",
        ),
    ],
)
def test_a_disturbance_is_said_in_words_where_it_is_one(change, words):
    assert reasons(replace(QUIET, **change)) == words


BURN = "import time; end = time.process_time() + 1.0\nwhile time.process_time() < end: pass"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counted per CPU on Linux alone")
def test_others_work_on_the_jobs_cpus_is_seen():
    cpu = allowed_cpus()[0]
    watch = Watch([cpu], None)
    code = f"taskset -c {cpu} {sys.executable} -c '{BURN}'; echo; exec sleep 60"
    with subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE) as shell:
        # The work is done; its process was a child of the shell, which has not ended.
        shell.stdout.readline()
        found = watch.end()
        shell.kill()
    assert found.other_cpu > 0.2
    assert found.steal is None or 0 <= found.steal <= 1
    assert found.gpu_processes is found.gpu_throttled is None


def test_the_jobs_own_time_is_not_taken_for_others(monkeypatch):
    """Two CPUs for 5 s are 10 s of CPU time.

    Of 6 s of work 4.5 were the job's own, so others had 1.5 of 10; the host took 0.2.
    """
    monkeypatch.setattr(machine_watch, "monotonic_seconds", iter([100.0, 105.0]).__next__)
    own = iter([1.0, 5.5])
    monkeypatch.setattr(machine_watch, "_own_seconds", lambda _: next(own))
    counters = iter([(10.0, 1.0), (16.0, 1.2)])
    monkeypatch.setattr(machine_watch, "_busy_seconds", lambda _: next(counters))
    clocks = iter([3000.0, 800.0, 2400.0])  # one sample of an idle moment decides nothing
    monkeypatch.setattr(machine_watch, "_clock", lambda _: next(clocks))
    watch = Watch([0, 1], None)
    for _ in range(3):
        watch.sample()
    found = watch.end()
    assert (found.other_cpu, found.steal, found.frequency) == pytest.approx((0.15, 0.02, 0.8))


def test_a_childs_time_is_ours_once_it_has_ended():
    before = machine_watch._own_seconds([])
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert machine_watch._own_seconds([]) - before > 0.9


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
