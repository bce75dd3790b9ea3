"""The error of energies against a simulated counter that grows in steps."""

from __future__ import annotations

import numpy as np
import pytest

from bench.report.frame.energy import MOST_ERROR, error_of_steps


def sums_of(windows, seconds, step, *, watts=100.0, tries=3_000):
    """How far the energy of some windows is off by a counter that grows in steps: (tries,).

    The windows have the same length, and begin anywhere, as the work between them takes any time.
    """
    starts = np.random.default_rng(0).uniform(0, 1000, (tries, windows))

    def counted(at):
        return watts * step * np.floor(at / step)

    found = (counted(starts + seconds) - counted(starts)).sum(axis=1)
    return found / (watts * windows * seconds) - 1


@pytest.mark.parametrize("windows", [1, 2, 50, 400])
@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.25, 0.5, 0.73, 4.0])
def test_at_least_95_of_100_sums_are_within_the_error(windows, seconds):
    found = sums_of(windows, seconds, 0.1)
    error = float(error_of_steps(windows, windows * seconds, 0.1))
    assert np.mean(np.abs(found) <= error) > 0.945
    assert abs(found.mean()) < error / 20  # in both directions alike
    if seconds == 0.25:  # two steps and a half: no length is worse, and the error not larger
        assert 2 * found.std() == pytest.approx(error, rel=0.05)


def test_fifty_epochs_of_half_a_second_have_a_figure_and_one_has_none():
    """By hand: sqrt(50) steps of 0.1 s are 0.707 s of 25 s."""
    assert error_of_steps(50, 25.0, 0.1) == pytest.approx(0.0283, abs=5e-5)
    assert error_of_steps(1, 0.5, 0.1) > MOST_ERROR > error_of_steps(50, 25.0, 0.1)


def test_the_error_of_an_unknown_counter_is_unknown():
    assert np.isnan(error_of_steps(1, 1.0, np.nan))
