"""Makes a frame with a row per job; all other figures are computed from it.

The time of a job is the median of its steady epochs (see `bench.statistics.steady`); all other
figures of speed are medians over the same epochs. If a framework trains several epochs in one call,
the time of the call is divided among them.
"""

from __future__ import annotations

import pandas as pd

from bench.report.frame.columns import JOB
from bench.report.frame.energy import MOST_ERROR, error_of_steps

PHASES = ["import_wall_seconds", "build_wall_seconds", "load_wall_seconds"]
_MEASURES = {
    "epoch_seconds": "train_wall_seconds",
    "epoch_cpu_seconds": "train_cpu_seconds",
    "predict_seconds": "predict_wall_seconds",
}
# Sums over the steady epochs, and the seconds in which they were measured.
_ENERGY = {
    "steady_energy_joules": "train_energy_joules",
    "steady_host_energy_joules": "train_host_energy_joules",
    "steady_seconds": "train_wall_seconds",
}


def jobs_frame(epochs: pd.DataFrame) -> pd.DataFrame:
    """A row per job: its columns, see `columns.JOB`, and the figures of its epochs.

    Args:
        epochs: see `epochs.epochs_frame`.
    """
    of_job = [column.name for column in JOB]
    jobs = epochs[of_job].drop_duplicates("key").set_index("key", drop=False)
    last = epochs[epochs["epoch"] == epochs["epochs"]].set_index("key")
    peaks = epochs.groupby("key", sort=False)[
        ["train_peak_rss_bytes", "predict_peak_rss_bytes"]
    ].max()
    jobs = jobs.join(
        [
            last[["test_accuracy", "test_loss", "train_accuracy"]],
            peaks,
            _speed(epochs),
            _start(epochs),
            _to_target(epochs),
        ]
    )
    return jobs.assign(fixed_seconds=_fixed_seconds(jobs))


def _fixed_seconds(jobs: pd.DataFrame) -> pd.Series:
    """The seconds of an epoch without steps, from the line through a short and a whole epoch."""
    short, examples = jobs["short_epoch_seconds"], jobs["short_epoch_examples"].astype(float)
    per_example = (jobs["epoch_seconds"] - short) / (jobs["train_examples"] - examples)
    # With few examples, a short epoch may be as long as a whole one.
    return (short - examples * per_example).where(jobs["train_examples"] > examples).clip(lower=0)


def _speed(epochs: pd.DataFrame) -> pd.DataFrame:
    """Per job the medians over its steady epochs, and the sums of energy; missing without any.

    An energy is missing if it is missing for one of these epochs.
    """
    steady = epochs[epochs["steady"]]
    energy = steady.groupby("key", sort=False)
    trained = ["train_wall_seconds", "train_cpu_seconds"]
    steady = steady.assign(**steady[trained].div(steady["trained_epochs"], axis=0))
    by_job = steady.groupby("key", sort=False)
    seconds = by_job["train_wall_seconds"]
    figures = {name: by_job[column].median() for name, column in _MEASURES.items()}
    # As in `timing.process_seconds`, only a positive time is valid.
    figures["epoch_seconds"] = figures["epoch_seconds"].where(seconds.min() > 0)
    for name, column in _ENERGY.items():
        figures[name] = energy[column].sum().where(energy[column].count() == energy.size())
    return pd.DataFrame(
        {
            **figures,
            "epoch_seconds_low": seconds.min(),
            "epoch_seconds_high": seconds.max(),
            "steady_epochs": by_job.size(),
            "steady_trained_epochs": energy["trained_epochs"].sum(),
            "energy_epochs": by_job["train_energy_joules"].count(),
        }
    )


def _start(epochs: pd.DataFrame) -> pd.DataFrame:
    """Per job the seconds of its start-up, of its first epoch, and of its warm-up.

    The warm-up time is the time of the warm-up epochs minus the time of the same number of steady
    epochs. Values are missing if a part is unknown.
    """
    early = epochs["epoch"] <= epochs["warm_up_epochs"]
    warm_up = epochs[early].groupby("key", sort=False)["train_wall_seconds"].agg(["sum", "size"])
    later = epochs[~early].groupby("key", sort=False)["train_wall_seconds"].median()
    first = epochs[epochs["epoch"] == epochs["trained_epochs"]].set_index("key")
    return pd.DataFrame(
        {
            "startup_seconds": first[PHASES].sum(axis=1, skipna=False),
            "first_epoch_seconds": first["train_wall_seconds"].where(first["epoch"] == 1),
            "warm_up_seconds": warm_up["sum"] - warm_up["size"] * later,
        }
    )


def _to_target(epochs: pd.DataFrame) -> pd.DataFrame:
    """Per job that reached its target accuracy: epochs, seconds and joules of training until then.

    Joules are missing if they are missing for one of these epochs, or if their error is too large.
    """
    by_job = epochs.groupby("key", sort=False)
    sums = epochs[["key"]].assign(
        epochs_to_target=epochs["epoch"],
        seconds_to_target=by_job["train_wall_seconds"].cumsum(skipna=False),
        joules_to_target=by_job["train_energy_joules"].cumsum(skipna=False),
    )
    step = epochs["energy_step_seconds"]
    error = error_of_steps(by_job.cumcount() + 1, sums["seconds_to_target"], step)
    sums["joules_to_target"] = sums["joules_to_target"].mask(error > MOST_ERROR)
    reached = sums[epochs["test_accuracy"] >= epochs["target_accuracy"]]
    return reached.drop_duplicates("key").set_index("key")
