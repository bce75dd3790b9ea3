"""Summarises jobs in a row per backend and group; `columns` lists its columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.report.frame.columns import GROUP_AND_BACKEND, SAME, SUMMARY
from bench.report.frame.doubts import EXCLUDED
from bench.report.frame.energy import energy_per_epoch
from bench.report.frame.pairs import Pair, to_fastest
from bench.report.frame.turns import without_other_rounds
from bench.statistics.timing import epoch_seconds_interval

_TO_TARGET = ["seconds_to_target", "epochs_to_target"]
_COUNTS = ["seeds", "rounds", "steady_epochs", "turns", "energy_epochs", "target_jobs", "ok_jobs"]


def summarise(jobs: pd.DataFrame, pairs: Iterable[Pair]) -> pd.DataFrame:
    """A row per backend of a group, with figures from its jobs that ended ok and agree.

    The rows of a workload are next to each other.

    Args:
        jobs: see `jobs.jobs_frame`.
        pairs: all pairs of these jobs, see `pairs.pairs_of`.
    """
    ok = jobs[jobs["status"] == "ok"]
    parts = [_ends(jobs), _figures(ok), _ratios(jobs, pairs)]
    summary: pd.DataFrame = _groups(jobs)[SAME].first().join(parts).reset_index()
    summary[_COUNTS] = summary[_COUNTS].fillna(0).astype(int)
    summary["status"] = summary["status"].mask(summary["ok_jobs"] > 0, "ok")
    summary["reason"] = summary["reason"].mask(summary["ok_jobs"] > 0, "")
    # A median over only the jobs that reached the target would be too low.
    all_reached = summary["target_jobs"] == summary["jobs"]
    summary[_TO_TARGET] = summary[_TO_TARGET].where(all_reached)
    summary["joules_to_target"] = summary["joules_to_target"].where(all_reached)
    for part, seconds in (("train", "epoch_seconds"), ("predict", "predict_seconds")):
        examples = summary["train_examples" if part == "train" else "test_examples"]
        summary[f"{part}_examples_per_second"] = examples / summary[seconds]
    by_appearance = pd.factorize(summary["workload"])[0]
    summary = summary.iloc[by_appearance.argsort(kind="stable")]
    measured = {column.name: float for column in SUMMARY if column.is_measured}
    summary = summary[[column.name for column in SUMMARY]].astype(measured)
    return summary.reset_index(drop=True)


def _groups(jobs: pd.DataFrame) -> Any:
    return jobs.groupby(GROUP_AND_BACKEND, sort=False)


def _ends(jobs: pd.DataFrame) -> pd.DataFrame:
    """The number of jobs, the worst status, whether all agree, and all doubts."""
    by_backend = _groups(jobs)
    # A wrong result is worse than a failed job.
    worst_first = jobs.iloc[(~jobs["status"].isin(EXCLUDED)).argsort(kind="stable")]
    return pd.DataFrame(
        {
            "jobs": by_backend.size(),
            "ok_jobs": by_backend["status"].agg(lambda ends: (ends == "ok").sum()),
            "status": _groups(worst_first)["status"].first(),
            "reason": _groups(worst_first)["reason"].first(),
            "agrees": by_backend["agrees"].agg(_all_of_known),
            "doubt": by_backend["doubt"].agg(
                lambda reasons: "; ".join(dict.fromkeys(filter(None, reasons)))
            ),
        }
    )


def _all_of_known(values: pd.Series) -> bool | None:
    known = values.dropna()
    return None if known.empty else bool(known.all())


def _figures(ok: pd.DataFrame) -> pd.DataFrame:
    """All figures that follow from the jobs that ended ok."""
    ok = without_other_rounds(ok)
    by_backend = _groups(ok)
    simple = {
        column.name: pd.NamedAgg(column.source or column.name, column.how)
        for column in SUMMARY
        if column.how
    }
    seconds = by_backend["epoch_seconds"]
    timed = _groups(ok[ok["steady_epochs"] > 0])
    special = {
        "target_jobs": by_backend["seconds_to_target"].count(),
        "epoch_seconds_sure_low": seconds.agg(lambda times: _interval(times)[0]),
        "epoch_seconds_sure_high": seconds.agg(lambda times: _interval(times)[1]),
        "allocator_was_reset": by_backend["allocator_was_reset"].agg(
            lambda resets: bool(resets.map(lambda reset: reset is True).all())
        ),
        "device_peak_by": by_backend["device_peak_by"].agg(
            lambda kinds: "device" if (kinds == "device").any() else "process"
        ),
        "joules_to_target": by_backend["joules_to_target"].agg(strict_median),
    }
    figures: pd.DataFrame = by_backend.agg(**simple)
    return figures.join([pd.DataFrame(special), energy_per_epoch(timed)])


def strict_median(values: pd.Series) -> float:
    """The median; NaN if any value is missing."""
    return float(values.median(skipna=False))


def _ratios(jobs: pd.DataFrame, pairs: Iterable[Pair]) -> pd.DataFrame:
    ratios = to_fastest(jobs, pairs)
    index = pd.MultiIndex.from_tuples(ratios, names=GROUP_AND_BACKEND)
    return pd.DataFrame(ratios.values(), index, ["times_fastest", "unsure"])


def _interval(times: pd.Series) -> tuple[float | None, float | None]:
    return epoch_seconds_interval(times.to_numpy()) or (None, None)
