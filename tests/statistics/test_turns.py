"""Verdicts on backends that train by turns: values by hand, and how often they are wrong.

The full simulation is `python -m tests.support.turn_rounds`.
"""

from __future__ import annotations

import json
from math import exp, inf, isnan, log, nan, pi, sqrt

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from bench.statistics.many import holm_level
from bench.statistics.sequential import EVERY_ROUND, POWER, rounds_needed
from bench.statistics.timing import (
    LEVEL,
    TABLE_LEVEL,
    VERDICT_LEVEL,
    compare,
    correct_for_many,
    precision,
)
from bench.statistics.turns import (
    FEWEST_PAIRS,
    FEWEST_TURNS,
    LEAST_SPREAD,
    JobTimes,
    ProcessSpread,
    compare_turns,
    log_ratios_of,
    median_ratio,
    rounds_to_find,
)
from tests.support.turn_rounds import (
    PLANTED_ROUNDS,
    TABLE,
    Law,
    asked_and_found,
    errors,
    found_share,
    table_errors,
    traces,
)

UNKNOWN = ProcessSpread(log_ratios=(), source="nothing")
THREE_PERCENT = ProcessSpread(log_ratios=(0.03, -0.03) * 10, source="by hand")
# The 10 % quantile of chi-squared with 20 degrees is 12.443 (a table).
CAUTIOUS = 0.03 * sqrt(20 / 12.4426)
STEPS = np.arange(-4, 5) / 1000  # nine turns; a quarter of their 36 distances are at most 0.002


def turns(*centres, steps=STEPS):
    """Rounds of nine turns each, with these medians."""
    return [centre + steps for centre in centres]


def half_width(rounds, scale, level):
    total = rounds + 0.5
    return scale * sqrt(total * (log(2 * total) + 2 * log(1 / level))) / rounds


def assert_alike(found, expected):
    """Equal except for rounding."""
    for name, value in asdict(expected).items():
        own = getattr(found, name)
        assert own == (value if isinstance(value, str) else pytest.approx(value)), name


def test_one_round_by_hand():
    found = compare_turns(turns(0.4), THREE_PERCENT)
    assert (found.rounds, found.ratio) == (1, pytest.approx(exp(0.4)))
    usual, sure = (half_width(1, CAUTIOUS, level / 2) for level in (LEVEL, VERDICT_LEVEL))
    assert (found.low, found.high) == pytest.approx((exp(0.4 - usual), exp(0.4 + usual)), rel=1e-5)
    assert (found.sure_low, found.sure_high) == pytest.approx(
        (exp(0.4 - sure), exp(0.4 + sure)), rel=1e-5
    )
    assert found.outcome == "slower"
    assert found.chance == pytest.approx(2 * sqrt(3) * exp(-((0.4 / CAUTIOUS) ** 2) / 3), rel=1e-3)
    mirrored = compare_turns(turns(-0.4), THREE_PERCENT)
    assert (mirrored.outcome, mirrored.low) == ("faster", pytest.approx(1 / found.high))


def test_a_gross_difference_is_a_verdict_after_one_round_in_a_table_of_63_pairs():
    gross = compare_turns(turns(log(1.5)), THREE_PERCENT)
    assert gross.chance < TABLE_LEVEL / TABLE
    others = [compare_turns(turns(0.0), THREE_PERCENT)] * (TABLE - 1)
    assert [pair.outcome for pair in correct_for_many([gross, *others])][:2] == [
        "slower",
        "undecided",
    ]


def test_the_scatter_of_turns_by_hand():
    """The 10th smallest of 36 distances is 0.002, eight are 0.001; so Qn is 2.2219 * 0.002."""
    error = sqrt(pi / 2 / 9) * 2.2219 * 0.002
    times = 50  # now turns scatter more than processes
    found = compare_turns(turns(0.0, steps=times * STEPS), THREE_PERCENT)
    assert times * error > CAUTIOUS
    assert log(found.sure_high) == pytest.approx(half_width(1, times * error, VERDICT_LEVEL / 2))
    quiet = compare_turns(turns(0.0), THREE_PERCENT)
    assert quiet.sure_high == compare_turns(turns(0.0, steps=2 * STEPS), THREE_PERCENT).sure_high


def test_the_scatter_of_turns_is_that_of_a_median_and_disturbed_turns_hardly_change_it():
    random = np.random.default_rng(0)
    tiny = ProcessSpread(log_ratios=(0.0,) * 20, source="none")
    for share in (0.0, 0.1):
        widths = []
        for _ in range(200):
            steps = random.normal(0, 0.3, 101) + (random.random(101) < share) * 5.0
            found = compare_turns([steps], tiny)
            widths.append(log(found.sure_high / found.sure_low) / 2)
        error = np.median(widths) / half_width(1, 1.0, VERDICT_LEVEL / 2)
        assert error == pytest.approx(sqrt(pi / 2 / 101) * 0.3, rel=0.05 if share == 0 else 0.25)


def test_without_a_calibration_it_is_the_test_of_signs_over_rounds():
    medians = np.random.default_rng(0).normal(0.05, 0.02, 20)
    few = replace(THREE_PERCENT, log_ratios=(0.03,) * (FEWEST_PAIRS - 1))
    for spread in (UNKNOWN, few, replace(few, log_ratios=(*few.log_ratios, nan))):
        assert_alike(compare_turns(turns(*medians), spread), compare(np.exp(medians), np.ones(20)))
    assert compare_turns(turns(0.4), UNKNOWN).sure_low is None
    enough = replace(THREE_PERCENT, log_ratios=(0.03,) * FEWEST_PAIRS)
    assert compare_turns(turns(0.4), enough).outcome == "slower"


def test_rounds_with_ordinary_epochs_only_count_for_signs():
    ordinary = [np.array([0.3])] * 12
    found = compare_turns(ordinary, THREE_PERCENT)
    assert_alike(found, compare(np.exp([0.3] * 12), np.ones(12)))
    short = [np.full(FEWEST_TURNS - 1, 0.3)]
    assert compare_turns(short, THREE_PERCENT).sure_low is None
    mixed = compare_turns([*turns(0.3), *ordinary], THREE_PERCENT)
    # 13 rounds of one sign are sure at half of the level, so the interval ends at a ratio.
    assert (mixed.rounds, mixed.sure_low) == (13, pytest.approx(exp(0.3)))
    assert mixed.chance <= 2 * EVERY_ROUND.chance(13, 0)
    alone = compare_turns([*turns(0.3), *ordinary[:5]], THREE_PERCENT)
    assert alone.sure_low == compare_turns(turns(0.3), THREE_PERCENT).sure_low


def test_either_test_gives_the_verdict_with_half_of_the_level():
    """The spread is 50 %, so the mean says nothing; signs need twelve rounds instead of eleven."""
    wide = replace(THREE_PERCENT, log_ratios=(0.5,) * 20)
    outcomes = [compare_turns(turns(*[0.1] * n), wide).outcome for n in (11, 12)]
    assert outcomes == ["undecided", "slower"]
    assert compare_turns(turns(*[0.1] * 12), wide).chance == pytest.approx(
        2 * EVERY_ROUND.chance(12, 0)
    )


def test_the_interval_shrinks_with_rounds_and_widens_with_what_is_uncertain():
    def width(rounds, spread=THREE_PERCENT):
        found = compare_turns(rounds, spread)
        return precision(found.sure_low, found.sure_high)

    few, more = turns(*[0.0] * 3), turns(*[0.0] * 9)
    assert width(few) > width(more) > width(turns(*[0.0] * 11))
    assert width(few, replace(THREE_PERCENT, log_ratios=(0.06,) * 20)) > width(few)
    assert width(few, replace(THREE_PERCENT, log_ratios=(0.03,) * 10)) > width(few)
    assert width(turns(*[0.0] * 3, steps=40 * STEPS)) > width(few)
    # one loud round of three, and rounds that differ more than processes at the calibration
    assert width([*few[:2], 80 * STEPS]) > width(few)
    assert width(turns(-0.2, 0.0, 0.2)) > width(few)
    least = replace(THREE_PERCENT, log_ratios=(LEAST_SPREAD,) * 20)
    assert width(few, replace(THREE_PERCENT, log_ratios=(0.0,) * 20)) == width(few, least)


def test_same_needs_the_whole_interval_within_the_margin():
    quiet = replace(THREE_PERCENT, log_ratios=(0.01,) * 20)
    outcomes = [compare_turns(turns(*[0.0] * n), quiet).outcome for n in (3, 11)]
    assert outcomes == ["undecided", "same"]
    assert compare_turns(turns(*[0.015] * 11), quiet, margin=0.005).outcome == "slower"


def test_a_chance_below_the_level_is_an_interval_beside_1():
    random = np.random.default_rng(1)
    for _ in range(200):
        rounds = turns(*random.normal(0.06, 0.03, random.integers(1, 30)))
        found = compare_turns(rounds, THREE_PERCENT)
        assert (found.chance <= VERDICT_LEVEL) == (not found.sure_low <= 1 <= found.sure_high)
        assert found.sure_low <= found.low <= found.ratio <= found.high <= found.sure_high


def test_if_the_tests_contradict_each_other_the_interval_contains_both():
    """120 rounds with ordinary epochs have 0.02, and 60 rounds with turns have 0.2."""
    quiet = replace(THREE_PERCENT, log_ratios=(0.01,) * 20)
    rounds = [*[np.array([0.02])] * 120, *turns(*[0.2] * 60)]
    found = compare_turns(rounds, quiet)
    assert found.sure_low == pytest.approx(exp(0.02))
    assert found.sure_high > exp(0.2)


def test_what_is_no_ratio_and_no_round():
    none = compare_turns([], THREE_PERCENT)
    assert (none.rounds, none.outcome, none.chance, none.sure_low) == (0, "undecided", 1.0, None)
    assert isnan(none.ratio)
    empty = np.array([])
    assert compare_turns([empty, *turns(0.4)], THREE_PERCENT) == compare_turns(
        turns(0.4), THREE_PERCENT
    )
    for wrong in (nan, inf):
        with pytest.raises(ValueError, match="not finite"):
            compare_turns([np.array([0.1, wrong])], THREE_PERCENT)
    with pytest.raises(ValueError, match="margin 0"):
        compare_turns(turns(0.4), THREE_PERCENT, margin=0.0)
    last = EVERY_ROUND.last
    assert compare_turns(turns(*[0.1] * (last + 5)), THREE_PERCENT).rounds == last


def test_the_ratios_of_a_pair_are_of_the_rounds_that_both_have():
    turns = np.array([1.0, 2.0, 3.0])
    first = {(0, 0): JobTimes("x", turns, 1.0), (1, 0): JobTimes("y", turns, 2.0)}
    second = {
        (0, 0): JobTimes("x", 2 * turns, 9.0),
        (1, 0): JobTimes("z", turns, 4.0),
        (2, 0): JobTimes("x", turns, 1.0),
    }
    [together] = log_ratios_of(first, second)  # in round 1 they were not in the same turns
    assert np.exp(together) == pytest.approx([0.5] * 3)
    del first[0, 0]
    [apart] = log_ratios_of(first, second)  # so there is no round by turns
    assert np.exp(apart) == pytest.approx([0.5])
    first[0, 0] = JobTimes("x", turns, 1.0)
    assert log_ratios_of(first, {(0, 0): JobTimes("", np.zeros(0), np.nan)}) == []
    assert median_ratio([together, apart]) == pytest.approx(0.5)
    assert np.isnan(median_ratio([]))


def test_recorded_turns_are_read_by_backend_and_workload(tmp_path):
    path = tmp_path / "turns.json"
    assert traces(path) == []
    trace = {"backend": "a", "workload": "w", "first": [2.0, 2.0, 9.0], "second": [1.0, 1.0]}
    path.write_text(json.dumps([trace] * 20 + [{**trace, "backend": "b"}]))
    of_a, both = traces(path)
    assert (of_a.name, len(of_a.pairs), both.name, len(both.pairs)) == ("a on w", 20, "all", 21)
    drawn = both.rounds(np.random.default_rng(0), (4, 2), 9)
    assert drawn.shape == (4, 2, 9)
    assert np.abs(drawn) == pytest.approx(log(2))


# How many rounds more would take.


def test_the_rounds_that_a_difference_needs():
    by_difference = [rounds_to_find(size, THREE_PERCENT) for size in (0.5, 0.2, 0.1, 0.05, 0.04)]
    assert by_difference == sorted(by_difference)
    assert by_difference[0] == 1
    assert rounds_to_find(0.001, THREE_PERCENT) is None
    table = holm_level([1.0] * (TABLE - 1), TABLE_LEVEL)
    assert rounds_to_find(0.05, THREE_PERCENT, level=table) > by_difference[3]
    loud = turns(0.0, 0.0, steps=50 * STEPS)
    assert rounds_to_find(0.1, THREE_PERCENT, loud) > by_difference[2]
    with pytest.raises(ValueError, match="difference 0"):
        rounds_to_find(0.0, THREE_PERCENT)


def test_without_a_calibration_the_rounds_own_scatter_tells_how_many_are_needed():
    medians = np.random.default_rng(2).normal(0.05, 0.02, 41)
    own = list(medians - np.median(medians))
    assert rounds_to_find(0.05, UNKNOWN, turns(*medians)) == rounds_needed(own, 0.05, VERDICT_LEVEL)
    assert rounds_to_find(0.05, UNKNOWN) is None


# How often it is wrong, and how often it finds what is there; the full simulation has more trials.

IDENTICAL = (
    Law("gauss", 0.02, "disturbed", 0.007, 0.05),
    Law("laplace", 0.06, "bursts", 0.02, 0.2),
    Law("t3", 0.03, "drift"),
    Law("t3", 0.06),
    Law("two-speed", 0.028),
    Law("two-speed", 0.04, "phases"),
    Law("gauss", 0.02, "bursts", 0.02, 0.2, backends=8),
    Law("gauss", 0.005, "disturbed", 0.04, 0.1, load=4.0),
)


@pytest.mark.slow
def test_at_most_1_percent_of_comparisons_of_a_backend_with_itself_name_a_faster_one():
    """Looked at after each of 40 rounds, with a calibration of 20 pairs before each."""
    random = np.random.default_rng(0)
    found = np.array([errors(random, law, 60) for law in IDENTICAL])
    print(found)
    first, ever, missed, sure_missed = found.mean(axis=0)  # of 480
    assert max(first, ever, sure_missed) <= VERDICT_LEVEL
    assert missed <= LEVEL


@pytest.mark.slow
def test_at_most_one_of_20_tables_of_identical_backends_names_a_faster_one():
    random = np.random.default_rng(1)
    assert table_errors(random, Law("t3", 0.04), 40) <= TABLE_LEVEL


def test_five_percent_are_found_in_15_minutes():
    random = np.random.default_rng(2)
    for law in (Law("gauss", 0.03), Law("t3", 0.035), Law("two-speed", 0.035)):
        assert found_share(random, law, 200, 1.05, PLANTED_ROUNDS) >= POWER, law


def test_half_as_much_again_is_found_in_one_round_although_turns_are_disturbed():
    random = np.random.default_rng(3)
    for law, sweeps in ((Law("gauss", 0.03), 9), (Law("gauss", 0.04), 15)):
        assert found_share(random, law, 400, 1.5, 1, sweeps, TABLE) >= POWER, law


def test_the_rounds_that_are_asked_for_find_the_difference():
    random = np.random.default_rng(4)
    for difference in (0.1, 0.5):
        asked, found = asked_and_found(random, Law(spread=0.03), difference, 20, 20)
        print(difference, min(asked), max(asked), found)
        assert len(asked) == 20
        assert found >= POWER
