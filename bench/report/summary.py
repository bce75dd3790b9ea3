"""A run's frame to one row per contestant, from which tables are made."""

from __future__ import annotations

from math import nan
from typing import Any

import pandas as pd

from bench.report.frame import CELL, CONTESTANT, steady
from bench.report.startup import PHASES, warm_up_seconds
from bench.timing import own_time


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per contestant, over its jobs that ended ok and do not disagree (`ok_jobs` of `jobs`).

    accuracy and loss are those of the last epoch, as a mean over jobs, never of the best; epoch_seconds is the median
    over all steady epochs (all after the warm-up, see `bench.steady`; the first where there is only one);
    epoch_seconds_sure_low and _high are the interval of 95 % over processes, where there are enough of them;
    times_fastest divides it by the fastest matched contestant's of the same cell. A workload's rows stand together.
    """
    rows = [
        {**dict(zip(CONTESTANT, key, strict=True)), **_summary(group)}
        for key, group in frame.groupby(CONTESTANT, sort=False)
    ]
    summary = pd.DataFrame(rows)
    first = {name: number for number, name in enumerate(dict.fromkeys(summary["workload"]))}
    summary = summary.sort_values("workload", key=lambda names: names.map(first), kind="stable", ignore_index=True)
    # Of the matched contestants, where there are any: what is native stands beside them.
    matched = summary["epoch_seconds"].where(summary["mode"] == "matched")
    fastest, any_fastest = (
        summary.assign(of=of).groupby(CELL)["of"].transform("min") for of in (matched, summary["epoch_seconds"])
    )
    alone = ~summary.assign(of=summary["mode"] == "matched").groupby(CELL)["of"].transform("any")
    summary["times_fastest"] = summary["epoch_seconds"] / fastest.where(~alone, any_fastest)
    return summary


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    """One contestant's figures; only jobs that ended ok count, and what has none is missing."""
    ok = group[group["status"] == "ok"]
    jobs = group[["key", "status", "reason", "agrees", "disagreement"]].drop_duplicates("key")
    judged, worst = jobs["agrees"].dropna(), jobs.iloc[(jobs["disagreement"] != "").to_numpy().argmax()]
    counts = {
        "jobs": len(jobs),
        "ok_jobs": int((jobs["status"] == "ok").sum()),
        "agrees": bool(judged.all()) if len(judged) else None,
        "disagreement": "; ".join(dict.fromkeys(why for why in jobs["disagreement"] if why)),
        "seeds": ok["seed"].nunique(),
        "rounds": ok["round"].nunique(),
        "device_name": group["device_name"].iloc[0],
        "course_accuracy": group["course_accuracy"].iloc[0],
        "target_accuracy": group["target_accuracy"].iloc[0],
        "test_examples": group["test_examples"].iloc[0],
        "train_examples": group["train_examples"].iloc[0],
        "load_average": group["load_average"].max(),
        "mode": group["mode"].iloc[0],
        "inputs_seconds": group["inputs_wall_seconds"].median(),
        "compiled": None if ok.empty else ok["compiled"].iloc[0],
        "optimizer": None if ok.empty else ok["optimizer"].iloc[0],
    }
    last = ok.loc[ok["epoch"] == ok["epochs"], ["test_accuracy", "test_loss", "train_accuracy"]]
    epochs = steady(ok)
    seconds = epochs["train_wall_seconds"].median()
    predict_seconds = epochs["predict_wall_seconds"].median()
    own = own_time(epochs.groupby("key")["train_wall_seconds"].median().to_numpy())
    first = ok.loc[ok["epoch"] == 1, [*PHASES, "train_wall_seconds"]]
    return {
        **counts,
        **_to_target(ok, len(jobs)),
        "status": worst["status"] if ok.empty else "ok",
        "reason": worst["reason"] if ok.empty else "",
        "test_accuracy": last["test_accuracy"].mean(),
        "test_accuracy_low": last["test_accuracy"].min(),
        "test_accuracy_high": last["test_accuracy"].max(),
        "test_loss": last["test_loss"].mean(),
        "train_accuracy": last["train_accuracy"].mean(),
        "epoch_seconds": seconds,
        "epoch_seconds_sure_low": nan if own.low is None else own.low,
        "epoch_seconds_sure_high": nan if own.high is None else own.high,
        "epoch_seconds_low": epochs["train_wall_seconds"].min(),
        "epoch_seconds_high": epochs["train_wall_seconds"].max(),
        "epoch_cpu_seconds": epochs["train_cpu_seconds"].median(),
        "steady_epochs": len(epochs),
        "train_examples_per_second": counts["train_examples"] / seconds,
        "predict_examples_per_second": counts["test_examples"] / predict_seconds,
        "startup_seconds": first[PHASES].sum(axis=1).median(),
        "import_seconds": first["import_wall_seconds"].median(),
        "build_seconds": first["build_wall_seconds"].median(),
        "load_seconds": first["load_wall_seconds"].median(),
        "first_epoch_seconds": first["train_wall_seconds"].median(),
        "warm_up_epochs": ok["warm_up_epochs"].max(),
        "warm_up_seconds": warm_up_seconds(ok).median(),
        "train_peak_rss_bytes": ok["train_peak_rss_bytes"].max(),
        "predict_peak_rss_bytes": ok["predict_peak_rss_bytes"].max(),
        "load_peak_rss_bytes": ok["load_peak_rss_bytes"].max(),
        "allocator_peak_bytes": ok["allocator_peak_bytes"].max(),
        "allocator_began_anew": bool((ok["allocator_began_anew"] == True).all()),  # noqa: E712 - None is not True
        "device_peak_bytes": ok["device_peak_bytes"].max(),
        "device_peak_by": "device" if (ok["device_peak_by"] == "device").any() else "process",
    }


def _to_target(ok: pd.DataFrame, jobs: int) -> dict[str, Any]:
    """Training seconds and epochs until the spec's target was first reached: medians, where every job reached it.

    With a job that never did, or did not end ok, a median of the others would flatter; `target_jobs` says how many did.
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
