"""A run's folder to its report: `report.html`, `report.md`, CSV and plots, a pure function of the records."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench import proof
from bench.files import RunError, write_atomically
from bench.limits import read_limits
from bench.machine import Machine
from bench.record import Record, contestant
from bench.report import overview, tables, words
from bench.report.agreement import alarm_blocks, disagreeing
from bench.report.beside import keep_proofs, noise_of_places
from bench.report.comma_separated import comma_separated
from bench.report.document import Block, Heading, Items, Plot, Table, Text, markdown_table, to_html, to_markdown
from bench.report.energy import energy_blocks
from bench.report.equality import equality_blocks
from bench.report.fairness import fairness_blocks, proof_line
from bench.report.frame import epochs_frame, newest
from bench.report.limits import limit_blocks
from bench.report.memory import memory_notes
from bench.report.native import native_blocks
from bench.report.plots import write_plots
from bench.report.ratios import Pair, pairs_of, ratio_blocks, unsure
from bench.report.scaling import write_scaling
from bench.report.summary import summarise
from bench.report.tuned import tuned_blocks
from bench.runs import read_run

CAPTIONS = {
    "curves": "Accuracy and loss after every epoch. Training figures are of the first 10,000 training examples"
    " (all, with `--evaluate full`), dropout off.",
    "epoch-time": "Training only: evaluation, start-up and warm-up are not in it.",
    "throughput": "Training images per second of the same epochs.",
    "memory": "The kernel's high-water mark of the process, data set included.",
}
_OVERVIEW = (
    "Test accuracy after the last epoch, mean over seeds (lowest to highest). The published figure stands only where"
    " data set, epochs and batch size are the workload's own."
)
MACHINE_COLUMNS = ("machine", "system", "processor", "CPUs allowed", "memory", "GPUs")
_BEGIN, _END = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"


class Report(NamedTuple):
    """What a report was made of: its summary, its frame, damaged record files, which are left out, proofs and noise."""

    summary: pd.DataFrame
    frame: pd.DataFrame
    damaged: list[Path]
    proven: str
    noise: dict[tables.Place, str]


class _Known(NamedTuple):
    """What is known beside the summary: of proofs, each table's epochs and pairs, each place's noise, the limits."""

    proven: str
    epochs: Mapping[str, pd.DataFrame]
    pairs: Mapping[str, Sequence[Pair]]
    noise: Mapping[tables.Place, str]
    limits: Callable[[pd.DataFrame, pd.DataFrame], list[Block]]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Of the millions of objects that are made few are left in a cycle: looking for such takes 3 % of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_without_collector()
def write_report(folder: Path) -> Report:
    """Write the report of the run in a folder, and beside its records the proofs that speak of them.

    Raises:
        RunError: there is no run or no record in it, or the folder cannot be written.
    """
    records, damaged = records_of(folder)
    frame = epochs_frame(records)
    epochs = dict(tables.groups(frame))
    pairs = {heading: pairs_of(group) for heading, group in epochs.items()}
    summary = tables.mark_unsure(summarise(frame), {heading: unsure(found) for heading, found in pairs.items()})
    plots = write_plots(frame, folder / "plots")
    write_atomically(folder / "epochs.csv", comma_separated(frame))
    write_atomically(folder / "summary.csv", comma_separated(summary))
    kinds = proof.one_of_each(records)
    proofs, noise = keep_proofs(kinds, folder), noise_of_places(records, folder)
    wrong = disagreeing(frame)
    proven = proof_line(kinds, proofs, wrong)
    limits = partial(limit_blocks, records=records, limits=read_limits(folder), plots=folder / "plots")
    blocks = [
        *_blocks(
            _title(folder.resolve().name, records), summary, frame, plots, _Known(proven, epochs, pairs, noise, limits)
        ),
        *write_scaling(frame, folder / "plots"),
        *fairness_blocks(records, proofs, wrong),
        *_provenance(kinds, damaged),
    ]
    write_document(blocks, folder)
    return Report(summary, frame, damaged, proven, noise)


def records_of(folder: Path) -> tuple[list[Record], list[Path]]:
    """The newest record of every job of a run, and damaged files.

    Raises:
        RunError: there is no run or no record in it.
    """
    records, damaged = read_run(folder)
    if not records:
        raise RunError(f"{folder}: no job has ended yet", expected="at least one record in jobs/")
    return newest(records), damaged


def write_document(blocks: Sequence[Block], folder: Path) -> None:
    """Write `report.md` and `report.html`; the plots they show lie in `folder/plots`."""
    write_atomically(folder / "report.md", to_markdown(blocks).encode())
    write_atomically(folder / "report.html", to_html(blocks, folder).encode())


def fill_table(path: Path, folder: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Replace what stands between two marks in a Markdown file by the run's accuracy table; the frame it is made of.

    Args:
        path: the file; the marks are two comments, `_BEGIN` and `_END`.
        folder: the run's.
        wanted: workloads to list even where there is no record of them.

    Raises:
        RunError: no such run, or one of several data sets or machines; the file cannot be read or written, or has not
            the two marks.
    """
    records, _ = records_of(folder)
    frame = epochs_frame(records)
    summary = summarise(frame)
    places = summary[["dataset", "machine", "device"]].drop_duplicates()
    if len(places) > 1:
        found = "; ".join(" on ".join(map(str, row)) for row in places.itertuples(index=False))
        raise RunError(f"{folder}: holds several data sets, machines or devices: {found}", expected="one of each")
    table = markdown_table(overview.accuracy_overview(summary, wanted))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}", expected="a Markdown file in UTF-8") from error
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RunError(f"{path}: has no place for the table", expected=f"two lines, {_BEGIN} and {_END}")
    write_atomically(path, f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}".encode())
    return frame


def _provenance(records: Sequence[Record], damaged: Sequence[Path]) -> list[Block]:
    """Where and with what the records were made."""
    blocks: list[Block] = [
        Heading("Where and with what", 2),
        Table(MACHINE_COLUMNS, tuple(dict.fromkeys(machine_cells(record.machine) for record in records))),
        _versions(records),
    ]
    if damaged:
        names = words.first_of([path.name for path in damaged])
        blocks.append(Text(f"Damaged record files, left out: {', '.join(names)}"))
    return blocks


def _title(name: str, records: Sequence[Record]) -> str:
    """The run's name, and which data sets it took instead of those that the workloads name."""
    pairs = {(record.data.name, record.job.workload.recipe.dataset) for record in records}
    used, named = ({pair[part] for pair in pairs if pair[0] != pair[1]} for part in (0, 1))
    return f"{name}, on {', '.join(sorted(used))} instead of {', '.join(sorted(named))}" if used else name


def _blocks(title: str, summary: pd.DataFrame, frame: pd.DataFrame, plots: Sequence[str], known: _Known) -> list[Block]:
    blocks: list[Block] = [
        Heading(title, 1),
        *alarm_blocks(frame),
        Items(tuple(line.removeprefix("* ") for line in (known.proven, *tables.notes(summary, frame)) if line)),
    ]
    epochs = known.epochs
    for heading, group in tables.groups(summary):
        matched = group[group["mode"] == "matched"]
        shown = group if matched.empty else matched  # what is native stands beside it, below
        blocks += [Heading(heading, 2), Heading("At a glance", 3), Text(_OVERVIEW), overview.accuracy_overview(shown)]
        if shown["backend"].nunique() > 1:
            blocks += [
                Text("Median training epoch, and how many times the fastest backend's it is."),
                overview.speed_overview(shown),
            ]
        blocks.append(Text(known.noise[tables.place_of(group)]))
        blocks += ratio_blocks(known.pairs[heading])
        blocks += tuned_blocks(epochs[heading])
        blocks += native_blocks(group)
        blocks += equality_blocks(epochs[heading])
        for name, columns in tables.SECTIONS:
            blocks += [Heading(name, 3), tables.section(group, columns)]
            if name == "Speed":
                blocks += known.limits(group, epochs[heading])
        blocks += [memory_notes(group), *energy_blocks(epochs[heading])]
    blocks.append(Heading("Plots", 2))
    return [*blocks, *(Plot(plot, CAPTIONS[plot]) for plot in plots)]


def machine_cells(machine: Machine) -> tuple[str, ...]:
    """A machine under `MACHINE_COLUMNS`."""
    return (
        machine.name,
        machine.system,
        machine.cpu,
        f"{machine.allowed_cpus} of {machine.logical_cpus}",
        f"{machine.memory_bytes / 1e9:.0f} GB",
        ", ".join(f"{gpu.index}: {gpu.name} (driver {gpu.driver})" for gpu in machine.gpus) or "none",
    )


def _versions(records: Sequence[Record]) -> Table:
    seen = {}
    for record in records:
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        settings = ", ".join(f"{k} {v}" for k, v in record.startup.settings.items()) if record.startup else "-"
        who = contestant(record.job)
        seen[who, record.job.device, versions] = (who, versions, settings)
    return Table(("backend", "versions", "settings, read back"), tuple(seen.values()))
