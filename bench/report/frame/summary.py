"""Summarises a run's frame in one row per contestant, from which tables are made."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd

from bench.report.frame.epochs import GROUP, GROUP_AND_BACKEND
from bench.report.frame.warmup import PHASES, warm_up_seconds
from bench.statistics.timing import own_time


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per contestant, over its jobs that ended ok and do not disagree (`ok_jobs` of `jobs`).

    Accuracy and loss are those of the last epoch, not of the best one, as a mean over jobs.
    `epoch_seconds` is the median over all steady epochs (all after the warm-up, see
    `bench.statistics.steady`; the first where there is only one). `epoch_seconds_sure_low` and
    `_high` are the interval of 95 % over processes, where there are enough of them.
    `times_fastest` is `epoch_seconds` divided by that of the fastest matched contestant of the same
    cell. The rows of a workload are next to each other.
    """
    rows = [
        {**dict(zip(GROUP_AND_BACKEND, key, strict=True)), **_summary(group)}
        for key, group in frame.groupby(GROUP_AND_BACKEND, sort=False)
    ]
    summary = pd.DataFrame(rows)
    first = {name: number for number, name in enumerate(dict.fromkeys(summary["workload"]))}
    summary = summary.sort_values(
        "workload", key=lambda names: names.map(first), kind="stable", ignore_index=True
    )
    # The fastest of the matched contestants; of all, where none is matched.
    matched = summary["epoch_seconds"].where(summary["mode"] == "matched")
    fastest, any_fastest = (
        summary.assign(of=of).groupby(GROUP)["of"].transform("min")
        for of in (matched, summary["epoch_seconds"])
    )
    alone = ~summary.assign(of=summary["mode"] == "matched").groupby(GROUP)["of"].transform("any")
    summary["times_fastest"] = summary["epoch_seconds"] / fastest.where(~alone, any_fastest)
    return summary


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    """One contestant's figures, over its jobs that ended ok; missing values if none did."""
    ok = group[group["status"] == "ok"]
    jobs = group[["key", "status", "reason", "agrees", "disagreement"]].drop_duplicates("key")
    worst = jobs.iloc[(jobs["disagreement"] != "").to_numpy().argmax()]
    return {
        **_counts(group, ok, jobs),
        **_to_target(ok, len(jobs)),
        "status": worst["status"] if ok.empty else "ok",
        "reason": worst["reason"] if ok.empty else "",
        **_last_epoch(ok),
        **_speed(ok[ok["steady"]]),
        **_start(ok),
        **_memory(ok),
    }


def _counts(group: pd.DataFrame, ok: pd.DataFrame, jobs: pd.DataFrame) -> dict[str, Any]:
    """The numbers of jobs, seeds and rounds, whether they agree, and what they have in common.

    Args:
        group: the contestant's rows.
        ok: those of its jobs that ended ok.
        jobs: a row per job.
    """
    judged, first = jobs["agrees"].dropna(), group.iloc[0]
    return {
        "jobs": len(jobs),
        "ok_jobs": int((jobs["status"] == "ok").sum()),
        "agrees": bool(judged.all()) if len(judged) else None,
        "disagreement": "; ".join(dict.fromkeys(why for why in jobs["disagreement"] if why)),
        "seeds": ok["seed"].nunique(),
        "rounds": ok["round"].nunique(),
        "device_name": first["device_name"],
        "course_accuracy": first["course_accuracy"],
        "target_accuracy": first["target_accuracy"],
        "test_examples": first["test_examples"],
        "train_examples": first["train_examples"],
        "load_average": group["load_average"].max(),
        "mode": first["mode"],
        "inputs_seconds": group["inputs_wall_seconds"].median(),
        "compiled": None if ok.empty else ok["compiled"].iloc[0],
        "optimizer": None if ok.empty else ok["optimizer"].iloc[0],
    }


def _last_epoch(ok: pd.DataFrame) -> dict[str, Any]:
    """Accuracies (0..1) and loss after the last epoch, over jobs."""
    last = ok.loc[ok["epoch"] == ok["epochs"], ["test_accuracy", "test_loss", "train_accuracy"]]
    return {
        "test_accuracy": last["test_accuracy"].mean(),
        "test_accuracy_low": last["test_accuracy"].min(),
        "test_accuracy_high": last["test_accuracy"].max(),
        "test_loss": last["test_loss"].mean(),
        "train_accuracy": last["train_accuracy"].mean(),
    }


def _speed(epochs: pd.DataFrame) -> dict[str, Any]:
    """Seconds per epoch and images per second, over the epochs that count."""
    seconds = epochs["train_wall_seconds"]
    own = own_time(epochs.groupby("key")["train_wall_seconds"].median().to_numpy())
    return {
        "epoch_seconds": seconds.median(),
        "epoch_seconds_sure_low": nan if own.low is None else own.low,
        "epoch_seconds_sure_high": nan if own.high is None else own.high,
        "epoch_seconds_low": seconds.min(),
        "epoch_seconds_high": seconds.max(),
        "epoch_cpu_seconds": epochs["train_cpu_seconds"].median(),
        "steady_epochs": len(epochs),
        "train_examples_per_second": epochs["train_examples"].median() / seconds.median(),
        "predict_examples_per_second": epochs["test_examples"].median()
        / epochs["predict_wall_seconds"].median(),
    }


def _start(ok: pd.DataFrame) -> dict[str, Any]:
    """Seconds before the first epoch, of the first epoch, and of the warm-up; medians over jobs."""
    first = ok.loc[ok["epoch"] == 1, [*PHASES, "train_wall_seconds"]]
    return {
        "startup_seconds": first[PHASES].sum(axis=1).median(),
        "import_seconds": first["import_wall_seconds"].median(),
        "build_seconds": first["build_wall_seconds"].median(),
        "load_seconds": first["load_wall_seconds"].median(),
        "first_epoch_seconds": first["train_wall_seconds"].median(),
        "warm_up_epochs": ok["warm_up_epochs"].max(),
        "warm_up_seconds": warm_up_seconds(ok).median(),
    }


def _memory(ok: pd.DataFrame) -> dict[str, Any]:
    """The highest peaks of all jobs, in bytes, and what the figures of the device include."""
    return {
        "train_peak_rss_bytes": ok["train_peak_rss_bytes"].max(),
        "predict_peak_rss_bytes": ok["predict_peak_rss_bytes"].max(),
        "load_peak_rss_bytes": ok["load_peak_rss_bytes"].max(),
        "allocator_peak_bytes": ok["allocator_peak_bytes"].max(),
        # None is not True.
        "allocator_began_anew": bool((ok["allocator_began_anew"] == True).all()),  # noqa: E712
        "device_peak_bytes": ok["device_peak_bytes"].max(),
        "device_peak_by": "device" if (ok["device_peak_by"] == "device").any() else "process",
    }


def _to_target(ok: pd.DataFrame, jobs: int) -> dict[str, Any]:
    """Training seconds and epochs until a job first reached the target accuracy: medians over jobs.

    They are missing if a job did not reach it or did not end ok, as a median of the others would
    look too good. `target_jobs` is the number of jobs that reached it.
    """
    columns = ["key", "epoch", "train_wall_seconds", "test_accuracy", "target_accuracy"]
    epochs = ok[columns].sort_values(["key", "epoch"])
    seconds = epochs.groupby("key")["train_wall_seconds"].cumsum()
    reached = epochs.assign(seconds=seconds)[epochs["test_accuracy"] >= epochs["target_accuracy"]]
    first = reached.drop_duplicates("key")
    all_did = not first.empty and len(first) == jobs
    return {
        "target_jobs": len(first),
        "seconds_to_target": first["seconds"].median() if all_did else float("nan"),
        "epochs_to_target": first["epoch"].median() if all_did else float("nan"),
    }
