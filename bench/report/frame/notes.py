"""Makes the notes above the tables: jobs that did not end ok, few rounds, disturbed rounds."""

from __future__ import annotations

import pandas as pd

from bench.report.form import words
from bench.report.frame.agreement import DISAGREES
from bench.report.frame.disturbed import say_disturbed
from bench.report.frame.epochs import GROUP
from bench.report.frame.places import rows_of


def notes(summary: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """The lines that a reader needs to read the tables correctly.

    Among them is one per job of the frame that did not end ok.
    """
    ok = summary[summary["status"] == "ok"]
    found = []
    if (summary["epochs"] == 1).any():
        found.append("* one epoch only: its time includes warming up.")
    if not ok.empty and ok["rounds"].max() == 1:
        found.append(
            "One round: time ratios are what was seen once, not a verdict on who is faster."
        )
    elif ok.get("unsure", pd.Series(dtype=bool)).any():
        found.append(
            "?: that this is not as fast as the fastest is not certain; the report has the"
            " intervals."
        )
    found += say_disturbed(frame, GROUP)
    found += words.first_of(_ended_badly(frame))
    partly = summary[(summary["ok_jobs"] > 0) & (summary["ok_jobs"] < summary["jobs"])]
    found += [
        f"{row['workload']} {row['backend']} {row['device']}: figures are of the {row['ok_jobs']}"
        f" of {row['jobs']} jobs that ended ok and agree."
        for row in rows_of(partly)
    ]
    return found


def _ended_badly(frame: pd.DataFrame) -> list[str]:
    """A line per job that did not end ok.

    Jobs that disagree are not among them: `bench.report.frame.agreement` names those.
    """
    jobs = frame[~frame["status"].isin(["ok", DISAGREES])].drop_duplicates("key")
    return [
        f"{row['workload']} {row['backend']} {row['device']}, seed {row['seed']}: {row['status']},"
        f" {row['reason']}"
        for row in rows_of(jobs)
    ]
