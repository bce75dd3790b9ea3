"""A run's folder to its report: `report.md`, CSV and plots, a pure function of the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.files import RunError, write_atomically
from bench.record import Record, read_run
from bench.report.frame import epochs_frame, newest, summarise
from bench.report.plots import write_plots
from bench.report.tables import SECTIONS, groups, markdown, notes

_CAPTIONS = {
    "curves": "Accuracy and loss after every epoch. Training figures are of the first 10,000 training examples"
    " (all, with `--evaluate full`), dropout off.",
    "epoch-time": "Training only: evaluation, start-up and each job's first epoch are not in it.",
    "throughput": "Training images per second of the same epochs.",
    "memory": "The kernel's high-water mark of the process, data set included.",
}
_FAIRNESS = """\
Every backend started from the same initial weights (drawn once in NumPy), saw the same batches in the same order and
used the same update formulas with the same constants; accuracy and loss were computed by the bench from the logits.
Dropout masks are each framework's own. Accuracy is that of the last epoch, never of the best."""


def write_report(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """Write the report of the run in a folder; its summary, its frame, and damaged record files, which are left out.

    Raises:
        RunError: there is no run or no record in it, or the folder cannot be written.
    """
    records, damaged = read_run(folder)
    if not records:
        raise RunError(f"{folder}: no job has ended yet", expected="at least one record in jobs/")
    records = newest(records)
    frame = epochs_frame(records)
    summary = summarise(frame)
    plots = write_plots(frame, folder / "plots")
    write_atomically(folder / "epochs.csv", frame.to_csv(index=False).encode())
    write_atomically(folder / "summary.csv", summary.to_csv(index=False).encode())
    write_atomically(folder / "report.md", _page(folder.name, records, (summary, frame), plots, damaged).encode())
    return summary, frame, damaged


def _page(
    name: str,
    records: Sequence[Record],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    plots: Sequence[str],
    damaged: Sequence[Path],
) -> str:
    summary, frame = tables
    parts = [f"# {name}", _FAIRNESS]
    for heading, group in groups(summary):
        parts.append(f"## {heading}")
        for title, columns in SECTIONS:
            parts += [f"### {title}", markdown(group, columns)]
    parts.append("\n".join(f"- {line}" for line in notes(summary, frame)))
    for plot in plots:
        parts += [f"![{plot}](plots/{plot}.png)", f"*{_CAPTIONS[plot]}*"]
    parts += ["## Where and with what", _machines(records), _versions(records)]
    if damaged:
        parts.append("Damaged record files, left out: " + ", ".join(path.name for path in damaged))
    return "\n\n".join(filter(None, parts)) + "\n"


def _machines(records: Sequence[Record]) -> str:
    machines = {record.machine.name: record.machine for record in records}.values()
    lines = ["| machine | system | processor | CPUs allowed | memory | GPUs |", "| --- | --- | --- | --- | --- | --- |"]
    for machine in machines:
        gpus = ", ".join(f"{gpu.index}: {gpu.name} (driver {gpu.driver})" for gpu in machine.gpus) or "none"
        lines.append(
            f"| {machine.name} | {machine.system} | {machine.cpu} | {machine.allowed_cpus} of {machine.logical_cpus}"
            f" | {machine.memory_bytes / 1e9:.0f} GB | {gpus} |"
        )
    return "\n".join(lines)


def _versions(records: Sequence[Record]) -> str:
    lines = ["| backend | versions | settings, read back |", "| --- | --- | --- |"]
    seen = {}
    for record in records:
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        settings = ", ".join(f"{k} {v}" for k, v in record.startup.settings.items()) if record.startup else "-"
        seen[record.job.backend, record.job.device, versions] = f"| {record.job.backend} | {versions} | {settings} |"
    return "\n".join([*lines, *seen.values()])
