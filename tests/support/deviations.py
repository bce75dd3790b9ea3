"""How near honest backends came to their tolerances.

`python -m tests.support.deviations` writes into `results/verification/`: `jobs.csv`, a row per kept
job; `grid.csv`, a row per kept verification of a workload at a batch size, from the records in
`grid/`; and `README.md`, tables of both.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict

import numpy as np

from bench.records.files import PROJECT
from bench.records.job import in_precision
from bench.records.run import read_run
from bench.records.verification import read_verifications

FOLDER = PROJECT / "results" / "verification"
GRID = FOLDER / "grid"
_RUNS = ("reference", "baselines/quick", "tuned", "native", "breadth")
_TEXT = """\
# How near are honest jobs to their tolerances?

Every timed job of the runs that are kept in `results/`, in matched mode, trained its first steps
again and was compared with the float64 reference. A deviation is the largest of its loss, of the
change of each weight tensor and of its predictions, in units of its tolerance: above 1 the job
would be *wrong*. `jobs.csv` has a row per job. Made with `python -m tests.support.deviations`.
With dropout each backend draws its own masks, so these deviations are partly chance.

{table}

Largest: {largest}.

## At other batch sizes

`bench verify --workload A,B --batch-size 1,2,3,... --backend A,B` compares the first steps of a
workload, in its full size, with the float64 reference. `grid.csv` has a row per workload, backend,
batch size and number of threads. A cell has the largest deviation over all batch sizes, in
tolerances, and their number; `-`: not run, or the backend cannot train it.

{grid}

{failures}
"""


def rows():
    """A row per verified job: run, workload, backend, and so on."""
    for run in _RUNS:
        records, _ = read_run(PROJECT / "results" / run)
        for record in sorted(records, key=lambda record: record.key):
            job, verification = record.job, record.verification
            if verification is None or verification.not_verified:
                continue
            tensor, deviation = verification.worst
            yield {
                "run": run,
                "workload": job.workload.name,
                "backend": job.backend,
                "seed": job.seed,
                "threads": job.threads,
                "processor": record.machine.cpu,
                "method": verification.method,
                "steps": verification.steps,
                "tries": verification.tries,
                "deviation": f"{deviation:.4f}",
                "of": tensor,
                "seconds": f"{verification.seconds:.2f}",
            }


def table(jobs):
    """The distribution by workload, as Markdown."""
    lines = [
        "| workload | jobs | median | 9 of 10 below | largest | seconds, median |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in [*dict.fromkeys(job["workload"] for job in jobs), "all"]:
        of_name = [job for job in jobs if name in (job["workload"], "all")]
        deviations = [float(job["deviation"]) for job in of_name]
        below = np.quantile(deviations, 0.9)
        seconds = np.median([float(job["seconds"]) for job in of_name])
        lines.append(
            f"| {name} | {len(of_name)} | {np.median(deviations):.3f} | {below:.3f}"
            f" | {max(deviations):.3f} | {seconds:.2f} |"
        )
    return "\n".join(lines)


def grid_rows():
    """A row per verified workload, backend, batch size and number of threads."""
    verifications, _ = read_verifications([GRID])
    for verification in sorted(verifications, key=lambda verification: verification.key):
        for piece in verification.pieces:
            workload, _, size = piece.model.rpartition(", batch ")
            worst = max(piece.findings, key=lambda finding: finding.deviation, default=None)
            if not piece.unsupported:
                yield {
                    "workload": workload,
                    "backend": verification.backend,
                    "precision": verification.precision,
                    "threads": verification.threads,
                    "batch size": int(size),
                    "deviation": f"{worst.deviation:.4f}" if worst else "",
                    "of": worst.where if worst else "",
                    "failed": piece.failed,
                }


def grid_table(grid):
    """The largest deviation and the number of batch sizes by backend and workload, as Markdown."""
    by_place = defaultdict(list)
    for row in grid:
        threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
        name = f"{in_precision(row['backend'], row['precision'])}, {threads}"
        by_place[name, row["workload"]].append(float(row["deviation"] or "inf"))
    workloads = list(dict.fromkeys(workload for _, workload in by_place))
    lines = [
        f"| backend | {' | '.join(workloads)} |",
        f"| --- |{' --- |' * len(workloads)}",
    ]
    for name in dict.fromkeys(name for name, _ in by_place):
        found = [by_place.get((name, workload)) for workload in workloads]
        cells = (f"{max(every):.2f} ({len(every)})" if every else "-" for every in found)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failures_of(grid):
    """A sentence on the verifications of the grid that failed."""
    failed = [row for row in grid if row["failed"] or float(row["deviation"]) > 1]
    names = sorted(
        {f"{row['workload']} in {in_precision(row['backend'], row['precision'])}" for row in failed}
    )
    return f"{len(failed)} of {len(grid)} failed{': ' if failed else ''}{', '.join(names)}."


def as_csv(table_rows):
    """Rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*table_rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table_rows)
    return text.getvalue()


def files():
    """The name of each file of the folder -> its content."""
    jobs, grid = list(rows()), list(grid_rows())
    worst = max(jobs, key=lambda job: float(job["deviation"]))
    largest = (
        f"{worst['deviation']} of {worst['of']}, {worst['workload']} in {worst['backend']},"
        f" seed {worst['seed']}"
    )
    readme = _TEXT.format(
        table=table(jobs), largest=largest, grid=grid_table(grid), failures=failures_of(grid)
    )
    return {"jobs.csv": as_csv(jobs), "grid.csv": as_csv(grid), "README.md": readme}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content)
