"""Makes the top of a report: its title, the alarm, and the notes."""

from __future__ import annotations

import re
from collections import defaultdict

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Alarm, Block, Heading, Items
from bench.report.frame.columns import GROUP
from bench.report.frame.disturbed import say_disturbed
from bench.report.frame.doubts import EXCLUDED, headline, lines_of, unconfirmed_lines
from bench.report.frame.places import rows_of
from bench.report.run import Run
from bench.report.section.trust import verification_line

_MEANING = (
    "In matched mode all backends do the same work from the same weights, so a result that differs"
    " from the reference or from the other backends is wrong. It is left out of every figure,"
    " ranking and plot below."
)


def section(run: Run) -> list[Block]:
    """The title, a red box if results are in doubt, and a list of notes."""
    first = believed(run)
    lines = (first[:1].upper() + first[1:], verification_line(run), *notes(run))
    # In Markdown `*` would begin a list; the table of speed lists the epochs.
    marked = (re.sub(r"^\* ", "`*` ", line) for line in lines if line)
    items = Items(tuple(marked))
    return [Heading(_title(run), 1), *alarm(run.jobs), items]


def alarm(jobs: pd.DataFrame) -> list[Block]:
    """A red box with a line per result that is not ranked; nothing if there is none.

    Args:
        jobs: of any runs, see `jobs.jobs_frame`.
    """
    title = headline(jobs)
    return [Alarm(title, _MEANING, tuple(lines_of(jobs)))] if title else []


def notes(run: Run) -> list[str]:
    """The lines that a reader needs to read the tables correctly.

    Among them is one per job that did not end ok.
    """
    lines = _on_few_epochs(run)
    if run.ok["unsure"].isin([True]).any():  # it may be missing
        lines.append("~ not told apart from the fastest.")
    lines += words.first_of(_without_turns(run))
    lines += unconfirmed_lines(run.jobs)
    lines += words.first_of(_not_verified(run))
    lines += say_disturbed(run.jobs, GROUP)
    lines += words.first_of(_ended_badly(run.jobs))
    partly = run.ok[run.ok["ok_jobs"] < run.ok["jobs"]]
    lines += words.first_of(
        [
            f"{row['workload']} {row['backend']} {row['device']}: figures are of the"
            f" {row['ok_jobs']} of {row['jobs']} jobs that ended ok and agree."
            for row in rows_of(partly)
        ]
    )
    return lines


def _without_turns(run: Run) -> list[str]:
    """A line per group whose turns are not used."""
    keys = {record.key: record.job for record in run.records}
    lines: dict[str, None] = {}
    for turns in run.turns:
        job = next((keys[m.job] for m in turns.members if m.job in keys), None)
        if turns.refused and (job is not None or not turns.members):
            name = f"{job.workload.name} {job.device}: " if job else ""
            lines[f"{name}compared by epochs, not by turns: {turns.refused}"] = None
    return [*lines]


def _not_verified(run: Run) -> list[str]:
    """A line per reason why jobs could not verify themselves, with the backends and workloads."""
    jobs: dict[str, dict[str, None]] = defaultdict(dict)
    for record in run.records:
        if record.verification is not None and record.verification.not_verified:
            name = f"{record.job.workload.name} {record.job.backend}"
            jobs[record.verification.not_verified][name] = None
    return [
        f"not verified by their first steps: {', '.join(words.first_of([*names]))}: {reason}"
        for reason, names in jobs.items()
    ]


def believed(run: Run) -> str:
    """How many results are wrong or in doubt; else whether they agree and are verified."""
    jobs = run.jobs
    excluded = {status: (jobs["status"] == status).sum() for status in EXCLUDED}
    if any(excluded.values()):
        parts = (f"{count} {status.upper()}" for status, count in excluded.items() if count)
        return f"results that may not be used, of {len(jobs)}: {', '.join(parts)}"
    compared = len(jobs["agrees"].dropna())
    verified = sum(r.verification is not None and r.verification.passed for r in run.records)
    agree = f"all {compared} results agree" if compared else f"jobs: {len(jobs)}"
    by_steps = f", {verified} of {len(jobs)} are verified by their first steps"
    return agree + by_steps if verified else agree


def _on_few_epochs(run: Run) -> list[str]:
    """The meaning of the mark `*` at a time; nothing if no job has so few epochs."""
    lines = []
    by_epochs = run.ok.loc[run.ok["turns"] == 0, "epochs"]
    if (by_epochs == 1).any():
        lines.append("* one epoch: its time includes the warm-up.")
    if (by_epochs == 2).any():  # noqa: PLR2004 - the first is the warm-up
        lines.append("* two epochs: the time is that of the second, as the first is the warm-up.")
    return lines


def _ended_badly(jobs: pd.DataFrame) -> list[str]:
    """A line per job that did not end ok; the alarm names the others."""
    return [
        f"{row['workload']} {row['backend']} {row['device']}, seed {row['seed']}: {row['status']},"
        f" {row['reason']}"
        for row in rows_of(jobs[~jobs["status"].isin(["ok", *EXCLUDED])])
    ]


def _title(run: Run) -> str:
    """The run's name, and the data sets that were used instead of the workloads' own."""
    name = run.folder.resolve().name
    jobs = {
        (record.data.name, record.job.workload.recipe.dataset, record.job.workload.name)
        for record in run.records
    }
    replaced = {job for job in jobs if job[0] != job[1]}
    if not replaced:
        return name
    used, planned, workloads = (
        " and ".join(sorted({job[part] for job in replaced})) for part in range(3)
    )
    which = "" if replaced == jobs else f"{workloads} "
    return f"{name}, {which}on {used} instead of {planned}"
