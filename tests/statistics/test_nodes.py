"""Which node of a fleet is slow, which one's weights differ, and how often that is said wrongly.

`python -m tests.support.fleets` runs the same simulations with more trials and more laws.
"""

from __future__ import annotations

from math import isinf, log

import numpy as np
import pytest

from bench.statistics.nodes.fingerprints import Trained, compare_fingerprints
from bench.statistics.nodes.slow import compare_nodes, visible
from tests.support.fleets import Fleet, asked_and_found, false_alarms, found, named

# Processes that are slow by chance, one of five, and one of twelve by much: tests for outliers
# among the nodes' ratios name a node in nearly every such fleet.
HARD = ("two-speed", "rare")


@pytest.mark.parametrize("luck", ["gauss", *HARD])
def test_a_healthy_fleet_of_400_names_no_node(luck):
    random = np.random.default_rng(0)
    assert false_alarms(random, Fleet(400, luck, share=0.05, backends=1), 20, 5) == 0


@pytest.mark.parametrize("luck", ["gauss", "t3", "recorded"])
def test_a_node_that_is_5_percent_slower_is_found_with_the_rounds_asked_for(luck):
    random = np.random.default_rng(1)
    asked, hits, others = asked_and_found(random, Fleet(luck=luck), 60)
    assert 3 <= np.median(asked) <= 20
    assert np.mean(hits) >= 0.9  # 0.95, of 60 runs
    assert not any(others)


def test_with_too_few_rounds_it_is_not_found_and_that_is_said():
    random = np.random.default_rng(2)
    fleet = Fleet(spread=0.06)
    assert found(random, fleet, 30, 3) < 0.5
    seen = visible(fleet.sessions(random, 3), 0.05)
    assert seen.difference > 0.05
    assert seen.needed > seen.sessions == 9


def test_several_slow_nodes_do_not_hide_each_other():
    random = np.random.default_rng(3)
    assert found(random, Fleet(nodes=20), 20, 15, slow=0.08, slow_nodes=3) >= 0.9


def test_a_fast_node_is_not_sick():
    sessions = Fleet().sessions(np.random.default_rng(4), 20, slow=-0.2)
    assert named(sessions) == set()
    assert compare_nodes(sessions)["n0"].ratio == pytest.approx(0.8, abs=0.02)


def test_nodes_that_differ_really_are_not_named_for_the_usual_difference():
    """Two kinds of healthy nodes, three percent apart."""
    random = np.random.default_rng(5)
    sessions = Fleet(nodes=40).sessions(random, 20, slow=0.03, slow_nodes=16)
    assert named(sessions) == set()


def test_a_node_that_is_slow_on_one_workload_alone_is_named_with_it():
    random = np.random.default_rng(6)
    sessions = Fleet().sessions(random, 20)
    sessions["w1"]["n3"] = sessions["w1"]["n3"] + log(1.15)
    standing = compare_nodes(sessions)["n3"]
    assert (standing.outcome, standing.on) == ("slow", ("w1",))
    assert {n for n, s in compare_nodes(sessions).items() if s.outcome == "slow"} == {"n3"}


@pytest.mark.parametrize(("nodes", "rounds", "outcome"), [(3, 20, "unknown"), (12, 1, "unknown")])
def test_too_few_nodes_or_sessions_give_no_verdict(nodes, rounds, outcome):
    sessions = Fleet(nodes=nodes).sessions(np.random.default_rng(7), rounds, slow=1.0)
    assert {s.outcome for s in compare_nodes(sessions).values()} == {outcome}
    assert isinf(visible(sessions, 0.05).difference)


def test_a_node_at_half_speed_is_found_among_four():
    sessions = Fleet(nodes=4).sessions(np.random.default_rng(8), 5, slow=1.0)
    assert named(sessions) == {0}


def test_a_node_with_few_sessions_is_not_judged_by_them():
    sessions = Fleet().sessions(np.random.default_rng(9), 12)
    for workload in sessions.values():
        workload["n0"] = workload["n0"][:1] + log(1.3)
    assert compare_nodes(sessions)["n0"].outcome == "unknown"


def ends(bits, training="t"):
    """`bits`: node -> checksums of its repeats."""
    return [Trained(training, training, node, one) for node, of in bits.items() for one in of]


def test_the_node_whose_weights_differ_is_named():
    bits = {f"n{number}": "aa" for number in range(17)} | {"gpu042": "ab"}
    [found_] = compare_fingerprints(ends(bits))
    assert (found_.equal, found_.others, found_.nodes) == (17, ("gpu042",), 18)


@pytest.mark.parametrize(
    "bits",
    [
        {"a": "1", "b": "2", "c": "3", "d": "4"},  # no two are equal
        {"a": "11", "b": "11", "c": "22", "d": "22"},  # two kinds
        {"a": "11", "b": "11", "c": "12"},  # too few are equal
        {f"n{number}": "12" for number in range(20)},  # none repeats itself
        {f"n{number}": "1" if number < 15 else str(number) for number in range(20)},
    ],
)
def test_where_weights_do_not_repeat_nothing_follows(bits):
    [found_] = compare_fingerprints(ends(bits))
    assert not found_.is_repeatable
    assert found_.others == ()


def test_trainings_are_compared_only_with_the_same():
    other = ends({"a": "1", "b": "1", "c": "1", "d": "1"}) + ends({"e": "2"}, "u")
    [found_] = compare_fingerprints(other)
    assert (found_.nodes, found_.others) == (4, ())
