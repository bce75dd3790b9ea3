"""Adds the energies of epochs, and computes the error of a sum from the steps of the counter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MOST_ERROR = 0.05  # the report shows no sum with a larger error
# For each counter: the columns of a job's joules, of the energy per epoch, of the counter's step,
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
    (n + f) s (n is whole, f from 0 to 1) contains n + 1 steps with the probability f, else n. So
    the counted energy has no bias, and its variance is f (1 - f) (P s)**2: on average 1/6 of
    (P s)**2, and at most 1/4. Other work lies between two windows, so the errors of N windows are
    independent, and their sum has a standard deviation of at most sqrt(N) / 2 steps. Twice that
    covers 95 %: sqrt(N) steps, which for one window is the largest possible error. The energy of
    all windows is P times their seconds.

    The power may vary: P s is the energy of a step at the edge of a window.

    Args:
        windows: the number of windows.
        seconds: the total time of all windows.
        step_seconds: the longest step of the counter; if it is unknown (NaN), the error is NaN.
    """
    windows, seconds, step = (np.asarray(x, np.float64) for x in (windows, seconds, step_seconds))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(windows) * step / seconds, np.float64)


def energy_per_epoch(by_backend: Any) -> pd.DataFrame:
    """The energy per epoch over all steady epochs of all jobs, its error, and the power.

    The relative error of the sum is smaller than the error of each window. A sum with an error
    above `MOST_ERROR` is missing.

    Args:
        by_backend: jobs with steady epochs, grouped; see `jobs.jobs_frame`.
    """
    seconds, windows = by_backend["steady_seconds"].sum(), by_backend["steady_epochs"].sum()
    columns = {}
    for joules, per_epoch, step, error in _COUNTERS:
        total = by_backend[joules].agg(_strict_sum)
        columns[error] = error_of_steps(windows, seconds, by_backend[step].max())
        usable_joules = total.mask(columns[error] > MOST_ERROR)
        columns[per_epoch] = usable_joules / by_backend["steady_trained_epochs"].sum()
        if joules == "steady_energy_joules":
            columns["mean_watts"] = usable_joules / seconds
    return pd.DataFrame(columns)


def _strict_sum(values: pd.Series) -> float:
    return float(values.sum(skipna=False))
