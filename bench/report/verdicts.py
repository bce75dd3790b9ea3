"""The gate's verdicts, for the terminal and as a Markdown summary for CI."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from bench.check import Verdict
from bench.report import words
from bench.report.document import Heading, Table, Text, to_markdown

_COLUMNS = ("workload", "backend", "device", "seeds", "baseline", "now", "change", "chance", "verdict")
_LEFT = {"workload", "backend", "device", "verdict"}
_MARKS = {"ok": "ok", "new": "new", "fell": "FELL", "missing": "MISSING", "failed": "FAILED"}


def print_verdicts(verdicts: Sequence[Verdict], console: Console) -> None:
    """A row per cell, then a line per cell that did not pass."""
    table = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    left_out = {"device"} if len({verdict.cell[2] for verdict in verdicts}) == 1 else set()
    left_out |= {"seeds"} if all(verdict.baseline_seeds <= 1 for verdict in verdicts) else set()
    shown = [number for number, title in enumerate(_COLUMNS) if title not in left_out]
    for number in shown:
        table.add_column(_COLUMNS[number], justify="left" if _COLUMNS[number] in _LEFT else "right", no_wrap=True)
    for verdict in verdicts:
        row = _row(verdict)
        table.add_row(*(escape(row[number]) for number in shown), style="" if verdict.passed else "bold red")
    console.print(table)
    for line in _failures(verdicts):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_conclusion(verdicts), highlight=False)


def verdicts_markdown(verdicts: Sequence[Verdict], title: str, level: float) -> str:
    """The same as Markdown."""
    return to_markdown(
        [
            Heading(f"Accuracy of {title}: {_conclusion(verdicts)}", 2),
            Table(_COLUMNS, tuple(tuple(_row(verdict)) for verdict in verdicts)),
            *map(Text, _failures(verdicts)),
            Text(
                "Last epoch's test accuracy, mean over the paired seeds. Chance: one standard error of the change."
                " A fall is called one where chance would make one so large, in any of the cells, in at most"
                f" {100 * level:g} of 100 checks."
            ),
        ]
    )


def _row(verdict: Verdict) -> list[str]:
    change = None if verdict.found is None or verdict.baseline is None else verdict.found - verdict.baseline
    return [
        *verdict.cell,
        f"{verdict.seeds} of {verdict.baseline_seeds}" if verdict.seeds else words.ABSENT,
        words.percent(verdict.baseline),
        words.percent(verdict.found),
        words.points(change),
        words.points(verdict.standard_error).replace("+", "±"),
        _MARKS[verdict.status],
    ]


def _failures(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        f"{' '.join(verdict.cell)}: {_MARKS[verdict.status]}, {verdict.reason}"
        for verdict in verdicts
        if not verdict.passed
    ]


def _conclusion(verdicts: Sequence[Verdict]) -> str:
    wrong, compared = sum(not verdict.passed for verdict in verdicts), sum(v.status != "new" for v in verdicts)
    return f"{wrong} of {compared} cells did not pass" if wrong else f"all {compared} cells pass"
