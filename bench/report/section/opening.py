"""Makes the top of a report: title, alarm, four answers; and the notes on figures."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

from backends.registry import BACKENDS
from bench.machine.host import Machine
from bench.records.job import backend_name, in_precision
from bench.report.form import words
from bench.report.form.blocks import Alarm, Block, Card, Cards, Heading, Text
from bench.report.frame.disturbed import say_disturbed, say_unlike
from bench.report.frame.doubts import EXCLUDED, headline, lines_of, unconfirmed_lines
from bench.report.frame.pairs import Order, orders_of
from bench.report.frame.places import rows_of
from bench.report.run import Run
from bench.report.section.ratios import more_rounds
from bench.report.section.trust import verification_line
from bench.statistics.timing import TABLE_LEVEL

_MEANING = (
    "In matched mode all backends do the same work from the same weights, so a result that differs"
    " from the reference or from the other backends is wrong. It is left out of every figure,"
    " ranking and chart below."
)
_AGREEMENT = "the loss in every epoch, and the last accuracy"
_ALONE = "fewer than two backends ended ok"
_MOST_MACHINES, _MOST_FASTEST, _MOST_TIED, _MOST_NAMED = 3, 4, 3, 3
_MOST_WORKLOADS = 12  # in one line


def section(run: Run) -> list[Block]:
    """The title, where and when the run was made, what is wrong or uncertain, and four answers."""
    care = care_lines(run)
    warning = Alarm("Read these figures with care", "", tuple(care), warns=True)
    return [
        Heading(_title(run), 1),
        Text(_where_and_when(run)),
        *alarm(run.jobs),
        *([warning] if care else []),
        Cards((_agreement(run), _fastest(run), _certainty(run), _verified(run))),
    ]


def _where_and_when(run: Run) -> str:
    """The machines, data sets and times of a run, and the command that made it."""
    machines = {record.machine.name: record.machine for record in run.records}
    names = [_machine(machine) for machine in machines.values()]
    data = dict.fromkeys(record.data.name for record in run.records)
    started = sorted(record.started for record in run.records)
    seconds = sum(record.wall_seconds for record in run.records)
    seconds += sum(turns.wall_seconds for turns in run.turns)
    parts = [
        "; ".join(words.first_of(names, _MOST_MACHINES)),
        ", ".join(data),
        f"{_jobs(len(run.records))} in {max(seconds / 60, 1):.0f} min, begun {_moment(started[0])}",
    ]
    if run.command:
        parts.append(f"`{run.command}`")
    return " · ".join(parts)


def _machine(machine: Machine) -> str:
    gpus = ", ".join(dict.fromkeys(gpu.name for gpu in machine.gpus)) or "no GPU"
    return f"{machine.name}, {machine.cpu}, {machine.cpus}, {gpus}"


def _moment(started: str) -> str:
    """A time of a record, "2026-11-29T08:18:59Z", for people."""
    return started[:16].replace("T", " ") + " UTC"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _agreement(run: Run) -> Card:
    """Whether the backends agree."""
    title, total = "Do they agree?", len(run.jobs)
    compared = len(run.jobs["agrees"].dropna())
    if excluded := int(run.jobs["status"].isin(EXCLUDED).sum()):
        return Card(title, f"No: {excluded} of {_jobs(total)} not ranked", "see above")
    if not compared:
        return Card(title, "Not compared", _ALONE)
    not_compared = f"; {_jobs(total - compared)} not compared" if total > compared else ""
    return Card(title, f"All {compared} agree", f"{_AGREEMENT}{not_compared}")


def _fastest(run: Run) -> Card:
    """Which backend is fastest, on which workload."""
    won: dict[str, list[str]] = defaultdict(list)
    for order in orders_of(run.pairs):
        won[_first_of(order)].append(order.workload)
    if not won:
        return Card("Fastest", "Not compared", _ALONE)
    total = sum(map(len, won.values()))
    lines = [
        f"{names} ({', '.join(labels)})"
        if len(labels) <= _MOST_NAMED
        else f"{names} ({len(labels)} of {total} workloads)"
        for names, labels in won.items()
    ]
    return Card("Fastest", "; ".join(words.first_of(lines, _MOST_FASTEST)), "by epoch time")


def _first_of(order: Order) -> str:
    """The fastest backend of a workload, and the backends tied with it."""
    first = order.first
    if not order.decided:
        return f"so far {first[0]}"
    names = [
        *first[:_MOST_TIED],
        *([f"{len(first) - _MOST_TIED} more"] * (len(first) > _MOST_TIED)),
    ]
    return " = ".join(names)


def _certainty(run: Run) -> Card:
    """How many pairs have a verdict, and the cost of more verdicts."""
    title, pairs = "Is it certain?", run.pairs
    if not pairs:
        return Card(title, "No comparison", _ALONE)
    decided = sum(pair.comparison.outcome != "undecided" for pair in pairs)
    text = f"at most {100 * TABLE_LEVEL:g} of 100 tables have a false verdict"
    if more := more_rounds(run):
        text = (
            f"`--rounds {more.option}` (about {more.minutes:.0f} min more) detects"
            f" {100 * more.difference:g} %"
        )
    return Card(title, f"{decided} of {len(pairs)} pairs decided", text)


def _verified(run: Run) -> Card:
    """How many jobs passed their own verification, and which were not checked."""
    verified, trained = _verified_jobs(run)
    return Card("Is it verified?", f"{verified} of {_jobs(trained)}", verification_line(run))


def _verified_jobs(run: Run) -> tuple[int, int]:
    """The number of jobs that passed their own verification, and of those that ended ok."""
    ok = [record for record in run.records if record.status == "ok"]
    return sum(r.verification is not None and r.verification.passed for r in ok), len(ok)


def alarm(jobs: pd.DataFrame) -> list[Block]:
    """A red box with a line per result that is not ranked; nothing if there is none.

    Args:
        jobs: the jobs of any runs, see `jobs.jobs_frame`.
    """
    title = headline(jobs)
    return [Alarm(title, _MEANING, tuple(lines_of(jobs)))] if title else []


def notes(run: Run) -> list[str]:
    """All lines that explain the tables."""
    return [*meanings(run), *care_lines(run)]


def meanings(run: Run) -> list[str]:
    """The meanings of the marks in the tables."""
    lines = _on_few_epochs(run)
    if run.ok["unsure"].isin([True]).any():  # values may be missing
        native = (run.ok["mode"] == "native").any()
        or_not = ", or was not compared with it (native mode)" if native else ""
        lines.append(f"~ may be as fast as the fastest{or_not}.")
    if run.ok["precision"].nunique() > 1:
        lines.append(
            "Backends are compared within one precision; ratios are to the fastest backend of it."
        )
    retired = {
        backend_name(record.job): entry.retired
        for record in run.records
        if (entry := BACKENDS.get(record.job.backend)) and entry.retired
    }
    if retired:
        name, year = next(iter(retired.items()))
        lines.append(f"{name}: a retired framework; its last release is of {year}.")
    return lines


def care_lines(run: Run) -> list[str]:
    """Lines on everything that makes figures less certain, including jobs that did not end ok."""
    lines = [*_machines_left_out(run), *words.first_of(_without_turns(run))]
    lines += unconfirmed_lines(run.jobs)
    lines += words.first_of(_not_verified(run))
    lines += [*say_disturbed(run.jobs), *words.first_of(say_unlike(run.jobs))]
    lines += words.first_of(_ended_badly(run.jobs))
    partly = run.ok[run.ok["ok_jobs"] < run.ok["jobs"]]
    lines += words.first_of(
        [
            f"{row['workload']} {row['backend']} {row['device']}: figures include only the"
            f" {row['ok_jobs']} of {row['jobs']} jobs that ended ok and agree."
            for row in rows_of(partly)
        ]
    )
    return lines


def _machines_left_out(run: Run) -> list[str]:
    """A line if the page does not show all machines."""
    shown, all_of_them = (part.summary["machine"].nunique() for part in (run.shown, run))
    if shown == all_of_them:
        return []
    which = f"{shown} of {all_of_them} machines"
    more = f"`summary.csv` has all, and `bench nodes {run.folder.name}` compares them"
    return [f"tables and charts show {which}; {more}."]


def _without_turns(run: Run) -> list[str]:
    """A line per group whose turns are not used."""
    keys = {record.key: record.job for record in run.records}
    lines: dict[str, None] = {}
    for turns in run.turns:
        job = next((keys[m.job] for m in turns.members if m.job in keys), None)
        if turns.refused and (job is not None or not turns.members):
            place = in_precision(job.device, job.precision) if job else ""
            name = f"{job.workload.name} {place}: " if job else ""
            lines[f"{name}compared by epochs, not by turns: {turns.refused}"] = None
    return [*lines]


def _not_verified(run: Run) -> list[str]:
    """A line per reason why jobs could not be verified, with the backends and workloads."""
    jobs: dict[str, dict[str, None]] = defaultdict(dict)
    for record in run.records:
        if record.verification is not None and record.verification.not_verified:
            name = f"{record.job.workload.name} {backend_name(record.job)}"
            jobs[record.verification.not_verified][name] = None
    return [
        f"not verified by their first steps: {', '.join(words.first_of([*names]))}: {reason}"
        for reason, names in jobs.items()
    ]


def believed(run: Run) -> str:
    """How many results are wrong or doubtful; if none, whether they agree and are verified."""
    jobs = run.jobs
    excluded = {status: (jobs["status"] == status).sum() for status in EXCLUDED}
    if any(excluded.values()):
        parts = (f"{count} {status.upper()}" for status, count in excluded.items() if count)
        return f"results that must not be used, of {len(jobs)}: {', '.join(parts)}"
    compared = len(jobs["agrees"].dropna())
    verified, trained = _verified_jobs(run)
    agree = f"all {compared} results agree" if compared else f"jobs: {len(jobs)}"
    by_steps = f", {verified} of {trained} are verified by their first steps"
    return agree + by_steps if verified else agree


def _on_few_epochs(run: Run) -> list[str]:
    """The meaning of the mark `*` at a time; nothing if no time has it."""
    lines = []
    by_epochs = run.ok.loc[run.ok["turns"] == 0, "epochs"]
    if (by_epochs == 1).any():
        lines.append("* one epoch: its time includes the warm-up.")
    if (by_epochs == 2).any():  # noqa: PLR2004 - the first is the warm-up
        lines.append("* two epochs: the time of the second one; the first is the warm-up.")
    return lines


def _ended_badly(jobs: pd.DataFrame) -> list[str]:
    """A line per backend and reason why jobs did not end ok, except those in the alarm."""
    workloads: dict[str, dict[str, None]] = defaultdict(dict)
    seeds = jobs["seed"].nunique() > 1
    for row in rows_of(jobs[~jobs["status"].isin(["ok", *EXCLUDED])]):
        line = f"{row['backend']} {row['device']}: {row['status']}, {row['reason']}"
        seed = f", seed {row['seed']}" if seeds else ""
        workloads[line][f"{row['workload']}{seed}"] = None
    return [
        f"{line} ({'; '.join(words.first_of([*names], _MOST_WORKLOADS))})"
        for line, names in workloads.items()
    ]


def _title(run: Run) -> str:
    """The run's name, and the data sets that replaced the workloads' own."""
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
