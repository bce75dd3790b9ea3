"""Adds the energies of epochs, and says how far a sum is off, as a counter grows in steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MOST_ERROR = 0.05  # the report shows no sum whose error is larger
# Of each counter: a job's joules, and the columns of the energy per epoch, of the counter's step,
# and of the error.
_COUNTERS = (
    ("steady_energy_joules", "epoch_energy_joules", "energy_step_seconds", "energy_error"),
    (
        *("steady_host_energy_joules", "epoch_host_energy_joules"),
        *("host_energy_step_seconds", "host_energy_error"),
    ),
)


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


def energy_per_epoch(by_backend: Any) -> pd.DataFrame:
    """The energy per epoch over all steady epochs of all jobs, its error, and the power.

    The error of the sum is a smaller share than that of each window. A sum whose error is too large
    is missing.

    Args:
        by_backend: jobs with steady epochs, grouped; see `jobs.jobs_frame`.
    """
    seconds, windows = by_backend["steady_seconds"].sum(), by_backend["steady_epochs"].sum()
    columns = {}
    for joules, per_epoch, step, error in _COUNTERS:
        total = by_backend[joules].agg(_strict_sum)
        columns[error] = error_of_steps(windows, seconds, by_backend[step].max())
        joules_in_steps = total.mask(columns[error] > MOST_ERROR)
        columns[per_epoch] = joules_in_steps / by_backend["steady_trained_epochs"].sum()
        if joules == "steady_energy_joules":
            columns["mean_watts"] = joules_in_steps / seconds
    return pd.DataFrame(columns)


def _strict_sum(values: pd.Series) -> float:
    return float(values.sum(skipna=False))
