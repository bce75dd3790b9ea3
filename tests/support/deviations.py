"""How near the kept jobs came to their tolerances when they were verified by their first steps.

`python -m tests.support.deviations` writes `results/verification/`: `jobs.csv`, a row per kept job,
and `README.md`, their distribution.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from bench.records.files import PROJECT
from bench.records.run import read_run

FOLDER = PROJECT / "results" / "verification"
_RUNS = ("reference", "baselines/quick", "tuned", "native")
_TEXT = """\
# How near are honest jobs to their tolerances?

Every timed job of the runs that are kept in `results/`, in matched mode, trained its first steps
again and was compared with the float64 reference. A deviation is the largest of its loss, of the
change of each weight tensor and of its predictions, in units of its tolerance: above 1 the job
would be *wrong*. `jobs.csv` has a row per job. Made with `python -m tests.support.deviations`.

{table}

Largest: {largest}.
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


def files():
    """The name of each file of the folder -> its content."""
    jobs = list(rows())
    text = io.StringIO()
    writer = csv.DictWriter(text, [*jobs[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(jobs)
    worst = max(jobs, key=lambda job: float(job["deviation"]))
    largest = (
        f"{worst['deviation']} of {worst['of']}, {worst['workload']} in {worst['backend']},"
        f" seed {worst['seed']}"
    )
    readme = _TEXT.format(table=table(jobs), largest=largest)
    return {"jobs.csv": text.getvalue(), "README.md": readme}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content)
