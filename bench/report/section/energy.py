"""Makes the section on energy: joules per epoch and to the target, or why there are none."""

from __future__ import annotations

from typing import Any

from pandas import isna

from bench.report.form import words
from bench.report.form.blocks import Block, Columns, Folded, Items, Text, table_of
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.frame.energy import MOST_ERROR
from bench.report.frame.places import rows_of
from bench.report.run import Run
from bench.report.section.results import to_target

_HOST = "CPU energy per epoch"
_TEXT = (
    "Measured by {by} during training, without start-up and evaluation: the energy of all steady"
    " epochs, divided by their number. It includes idle power and other programs.{cpus} The"
    " counter grows in steps, so the energy of an epoch may be wrong by up to one step. These"
    " errors are random: the error of N epochs together is at most sqrt(N) steps (95 %). A figure"
    " is shown only if the energy of every steady epoch is known, and this error is at most"
    " {most:g} %.{sensor}"
)
_CPUS = " RAPL counts all processors of the machine, also unused ones, and no memory."
# NVML API reference, nvmlDeviceGetPowerUsage; Yang, Adamek and Armour, arXiv:2312.02741.
_SENSOR = (
    " The error of the board's sensor is not included; it is the same for all backends. NVIDIA"
    " states 5 % for old boards and nothing for new ones. The sensors of A100 and H100 measure"
    " only during 25 % of the time (arXiv:2312.02741)."
)


def section(run: Run) -> list[Block]:
    """A table with a row per backend; if no epoch has a figure, a line that says why."""
    epochs = run.epochs[(run.epochs["status"] == "ok") & run.epochs["epoch"].notna()]
    if epochs.empty:
        return []
    counters = [n for n in epochs["energy_by"].unique() if n]
    if not counters:
        reasons = "; ".join(epochs["no_energy"].unique())
        return [Text(f"No counter could be read: {reasons}.")]
    missing = Items((*_missing(run), *_too_short(run)))
    if run.ok["epoch_energy_joules"].isna().all():
        text = f"There is a counter ({'; '.join(counters)}), but no figure:"
        return [Text(text), missing]
    by_rapl = epochs["energy_by"].str.startswith("RAPL").any()
    by_nvml = epochs["energy_by"].str.startswith("NVML").any()
    how = _TEXT.format(
        by="; ".join(counters),
        cpus=_CPUS if by_rapl else "",
        most=100 * MOST_ERROR,
        sensor=_SENSOR if by_nvml else "",
    )
    table = table_of(rows_of(run.ok), _columns(run))
    return [table, missing, Folded("How energy is measured", [Text(how)])]


def _columns(run: Run) -> Columns:
    columns: Columns = {
        "workload": lambda row: row["label"],
        "backend": lambda row: row["backend"],
        "energy per epoch": lambda row: words.joules(row["epoch_energy_joules"]),
        "error of the counter": _error,
        "epochs counted": lambda row: f"{row['energy_epochs']} of {row['steady_epochs']}",
        "mean power": lambda row: words.watts(row["mean_watts"]),
        "images per joule": lambda row: words.three_digits(
            row["train_examples"] / row["epoch_energy_joules"]
        ),
        "energy to target": lambda row: to_target(row, words.joules(row["joules_to_target"])),
    }
    if run.ok["epoch_host_energy_joules"].isna().all():
        return columns
    return {**columns, _HOST: lambda row: words.joules(row["epoch_host_energy_joules"])}


def _error(row: Any) -> str:
    """The error of a figure from the counter's steps; "-" if figure or error is unknown."""
    if isna(row["epoch_energy_joules"]) or isna(row["energy_error"]):
        return "-"
    return f"±{100 * row['energy_error']:.2g} %"


def _too_short(run: Run) -> list[str]:
    """A line per backend with too little total time for the counter's steps."""
    short = run.ok[(run.ok["energy_error"] > MOST_ERROR) & (run.ok["energy_epochs"] > 0)]
    return [
        f"{row['label']} {row['backend']}: {row['energy_epochs']} epochs are too short for this"
        f" counter: its steps cause an error of ±{100 * row['energy_error']:.2g} %. Run more epochs"
        " or rounds."
        for _, row in short.iterrows()
    ]


def _missing(run: Run) -> list[str]:
    """A line per backend with steady epochs that lack a figure: how many, how long, and why."""
    epochs = run.epochs[run.epochs["steady"] & (run.epochs["status"] == "ok")]
    lines = []
    for _, rows in epochs.groupby(GROUP_AND_BACKEND, sort=False):
        missing = rows[rows["train_energy_joules"].isna()]
        if not missing.empty:
            median = words.seconds(missing["train_wall_seconds"].median())
            lines.append(
                f"{rows['label'].iloc[0]} {rows['backend'].iloc[0]}: {len(missing)} of {len(rows)}"
                f" epochs (median {median}) without a figure:"
                f" {'; '.join(missing['no_energy'].unique())}."
            )
    return lines
