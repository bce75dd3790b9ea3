"""How far a sum of energies is off because the counter grows in steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_ERROR = 0.05  # the report shows no sum whose error is larger


def error_of_steps(
    windows: ArrayLike, seconds: ArrayLike, step_seconds: ArrayLike
) -> NDArray[np.float64]:
    """The largest error of the energy of several windows, as a share of it (95 %).

    A counter shows energy in steps. At a power of P watts and steps of s seconds, a window of
    (n + f) s, where n is whole and f is from 0 to 1, has n or n + 1 steps in it: n + 1 in a share f
    of all places where it may begin. So what it counts is right in the mean, and its variance is
    f (1 - f) (P s)**2: 1/6 of (P s)**2 if windows have all lengths, and never more than 1/4.
    Between two windows is other work, so the errors of N windows are independent, and their sum has
    a standard deviation of at most sqrt(N) / 2 steps. Twice that is 95 %: sqrt(N) steps, which for
    one window is the most that it can be off. The energy of all windows is P times their seconds.

    The power need not be the same all the time: P s is the energy of a step at a window's edge.

    Args:
        windows: how many there are.
        seconds: how long all of them took.
        step_seconds: the longest step of the counter; NaN if unknown, and so is the error.
    """
    windows, seconds, step = (np.asarray(x, np.float64) for x in (windows, seconds, step_seconds))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(windows) * step / seconds, np.float64)
