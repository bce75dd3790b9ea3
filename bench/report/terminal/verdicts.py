"""Prints the verdicts of `bench check`, and writes them as Markdown for CI."""

from __future__ import annotations

from rich.console import Console

from bench.report.form import words
from bench.report.form.blocks import Heading, Items, Table, Text
from bench.report.form.markdown import to_markdown
from bench.report.terminal.plain import plain_table
from bench.statistics.doubts import Doubts
from bench.statistics.gate import CheckResult, Verdict

_COLUMNS = (
    "workload",
    "backend",
    "device",
    "seeds",
    "baseline",
    "now",
    "change",
    "fails below",
    "verdict",
)
_LEFT = {"workload", "backend", "device", "verdict"}
_MARKS = {
    "ok": "ok",
    "not checked": "NOT CHECKED",
    "regressed": "REGRESSED",
    "missing": "MISSING",
    "failed": "FAILED",
}


def print_verdicts(checked: CheckResult, console: Console) -> None:
    """Print a row per result, and the doubtful results.

    Below the table are a line per workload and device with its doubts, a line per remark, a line
    per result that did not pass, and the conclusion.
    """
    verdicts = checked.results
    left_out = {"device"} if len({verdict.result[2] for verdict in verdicts}) == 1 else set()
    left_out |= {"seeds"} if all(verdict.baseline_seeds <= 1 for verdict in verdicts) else set()
    shown = [number for number, title in enumerate(_COLUMNS) if title not in left_out]
    table = plain_table((_COLUMNS[number] for number in shown), _LEFT)
    for verdict in verdicts:
        row = _row(verdict, checked)
        passed = checked.lets_pass(verdict) and not checked.is_doubtful(verdict)
        table.add_row(*(row[number] for number in shown), style="" if passed else "bold red")
    console.print(table)
    for doubts in checked.doubts:
        style = None if doubts.passed else "bold red"
        console.print(_doubts(doubts), style=style, soft_wrap=True)
        for line in _remarks(doubts):
            console.print(line, style="yellow", soft_wrap=True)
    for line in _failures(checked):
        console.print(line, soft_wrap=True)
    console.print(_conclusion(checked), style=None if checked.passed else "bold red")


def verdicts_markdown(checked: CheckResult, title: str, level: float) -> str:
    """The verdicts as Markdown, under the heading `title`; `level` is the gate's level (0..1)."""
    return to_markdown(
        [
            Heading(f"Accuracy of {title}: {_conclusion(checked)}", 2),
            Table(_COLUMNS, tuple(tuple(_row(verdict, checked)) for verdict in checked.results)),
            Items(
                tuple(
                    line
                    for doubts in checked.doubts
                    for line in (_doubts(doubts), *_remarks(doubts))
                )
            ),
            *map(Text, _failures(checked)),
            Text(
                "Last epoch's test accuracy, mean over the paired seeds. `fails below`: a lower"
                f" accuracy fails. If nothing changed, at most {100 * level:g} of 100 checks fail"
                " by chance."
            ),
        ]
    )


def _row(verdict: Verdict, checked: CheckResult) -> list[str]:
    now, baseline = verdict.accuracy, verdict.baseline
    change = None if now is None or baseline is None else now - baseline
    return [
        *verdict.result,
        f"{verdict.seeds} of {verdict.baseline_seeds}" if verdict.seeds else words.ABSENT,
        words.percent(verdict.baseline),
        words.percent(verdict.accuracy),
        words.points(change),
        words.percent(verdict.fails_below),
        _MARKS[verdict.status] + (", IN DOUBT" if checked.is_doubtful(verdict) else ""),
    ]


def _doubts(doubts: Doubts) -> str:
    """A line that names the doubtful results of a workload."""
    where = f"doubts on {doubts.workload} {doubts.device}"
    if doubts.passed:
        return f"{where}: none ({', '.join(doubts.backends)})"
    return f"{where}: {'; '.join(doubts.reasons)}"


def _remarks(doubts: Doubts) -> list[str]:
    """A line per remark on the results of a workload; remarks do not fail the check."""
    where = f"{doubts.workload} {doubts.device}"
    return words.first_of([f"remark on {where}: {remark}" for remark in doubts.remarks])


def _failures(checked: CheckResult) -> list[str]:
    return [
        f"{' '.join(verdict.result)}: {_MARKS[verdict.status]}, {verdict.reason}"
        for verdict in checked.results
        if not checked.lets_pass(verdict)
    ]


def _conclusion(checked: CheckResult) -> str:
    """A sentence that says how many results and workloads passed."""
    bad = sum(not checked.lets_pass(verdict) for verdict in checked.results)
    doubtful = sum(not doubts.passed for doubts in checked.doubts)
    compared = sum(verdict.status != "not checked" for verdict in checked.results)
    if checked.passed:
        new = len(checked.results) - compared
        passed = "the result passes" if compared == 1 else f"all {compared} results pass"
        remarks = sum(len(doubts.remarks) for doubts in checked.doubts)
        remarked = f"; {remarks} remark{'s' if remarks > 1 else ''}" if remarks else ""
        return f"{passed}{f', {new} not checked' if new else ''}{remarked}"
    failures = [f"{bad} of {len(checked.results)} results did not pass"] if bad else []
    if doubtful:
        failures.append(f"results of {doubtful} of {len(checked.doubts)} workloads are in doubt")
    return "; ".join(failures)
