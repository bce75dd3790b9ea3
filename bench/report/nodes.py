"""Compares the nodes of a run with each other, and names the nodes that should be drained.

A node is sick if it is slow (`bench.statistics.nodes.slow`), if its weights differ from those of
nearly all other nodes (`bench.statistics.nodes.fingerprints`), or if its records contain a fault
that is rare on other nodes (`bench.report.frame.findings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, isfinite, nan
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct
from numpy.typing import NDArray
from rich.console import Console

from bench.records.files import RunError, write_atomically
from bench.records.job import Record, backend_name
from bench.report.chart.nodes import nodes_chart
from bench.report.compare import refuse_run
from bench.report.document.write import write_document
from bench.report.form import words
from bench.report.form.blocks import Alarm, Block, Card, Cards, Folded, Heading, Items, Table, Text
from bench.report.form.csv import comma_separated
from bench.report.frame.findings import findings_of
from bench.report.frame.nodes import nodes_frame, sessions_of
from bench.report.run import Run
from bench.report.terminal.plain import plain_table
from bench.statistics.nodes.fingerprints import Fingerprint, Trained, compare_fingerprints
from bench.statistics.nodes.slow import LEVEL, Standing, Visible, compare_nodes, visible
from bench.statistics.timing import MARGIN

_MOST_ROWS, _MOST_TRAININGS = 20, 2
_TITLES = ("node", "ratio", "95 %", "sessions", "ok", "busy")
_HOW = (
    "Fleet: the nodes of the same kind. Ratio: the time of a node divided by its fleet's, median"
    " over sessions. A session is a workload in one round; its value is the median over backends."
    f" Slow: a rank-sum test shows more than {100 * MARGIN:g} %, and the ratio stands out by three"
    f" standard deviations of all nodes' ratios. On healthy nodes, at most {100 * LEVEL:g} of 100"
    " runs name a slow node (simulated, see `docs/method.md`). Busy: jobs during which the machine"
    " did other work; their times are left out, unless this is usual on the node."
)


class Node(Struct, frozen=True, kw_only=True):
    """A node of a fleet.

    Attributes:
        standing: the comparison of its time with the fleet's; None without a time.
        ratios: workload -> the ratio on this workload.
        jobs, ok, busy: the numbers of all its jobs, of those that ended ok, and of those that ran
            while the machine was busy.
        faults, remarks: see `bench.report.frame.findings.Findings`.
    """

    name: str
    standing: Standing | None
    ratios: dict[str, float]
    jobs: int
    ok: int
    busy: int
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Its time divided by the fleet's; NaN without one."""
        return self.standing.ratio if self.standing else nan


class Fleet(Struct, frozen=True, kw_only=True):
    """The nodes of one kind.

    Attributes:
        name: the kind, in words.
        nodes: nodes with faults, then nodes with remarks, then the others, each slowest first.
        seen: which slowdown the test can find.
        rounds: the number of rounds, and the number that finds the given slowdown; None if no
            number does.
        prints: the fingerprints of its trainings.
    """

    name: str
    nodes: tuple[Node, ...]
    seen: Visible
    rounds: tuple[int, int | None]
    prints: tuple[Fingerprint, ...]

    @property
    def sick(self) -> list[Node]:
        """The nodes that should be drained."""
        return [node for node in self.nodes if node.faults]


class Nodes:
    """The nodes of a run.

    Attributes:
        left_out: the files that cannot be read.
        fleets: the nodes by kind.

    Args:
        folder: the run's folder.
        find: the slowdown, as a share, that the needed rounds must find; more than `MARGIN`.

    Raises:
        RunError: the folder has no run or no record, or the run has only one node.
    """

    def __init__(self, folder: Path, find: float) -> None:
        run = Run.read(folder)
        self._folder, self._find = folder, find
        by_key = {record.key: record for record in run.records}
        jobs = nodes_frame(run.records, run.jobs)
        total = jobs[["fleet", "node"]].drop_duplicates()
        if len(total) == total["fleet"].nunique():
            raise RunError(
                f"{folder}: no two nodes of one kind, so there is nothing to compare",
                expected="a run of several nodes",
                hint="use the same --run on all nodes",
            )
        self.fleets = [
            _fleet(str(name), rows, by_key, find, LEVEL * rows["node"].nunique() / len(total))
            for name, rows in jobs.groupby("fleet", sort=False)
        ]
        self.left_out = run.left_out

    @property
    def sick(self) -> list[Node]:
        """The nodes of all fleets that should be drained."""
        return [node for fleet in self.fleets for node in fleet.sick]

    def print_table(self, console: Console) -> None:
        """Print, per fleet, its sick nodes, a table, and the limits of the test."""
        for fleet in self.fleets:
            console.print(f"\n{_headline(fleet)}", style="bold red" if fleet.sick else "bold")
            left = ("node", "findings")
            table = plain_table((*_TITLES, "findings"), left, no_wrap=False)
            for node in fleet.nodes[:_MOST_ROWS]:
                table.add_row(*_cells(node), _findings(node))
            console.print(table)
            for line in (*_rest(fleet.nodes[_MOST_ROWS:]), *self._notes(fleet)):
                console.print(line, soft_wrap=True)

    def write(self, folder: Path) -> None:
        """Write the page as `report.html` and `report.md`, the chart, and `nodes.csv`.

        Raises:
            RunError: the folder is a run's folder, or cannot be written.
        """
        refuse_run(folder)
        write_document(self.blocks(), folder)
        rows = [row for fleet in self.fleets for row in _csv_rows(fleet)]
        write_atomically(folder / "nodes.csv", comma_separated(pd.DataFrame(rows)))

    def blocks(self) -> list[Block]:
        """The page."""
        blocks: list[Block] = [Heading(f"Nodes of {self._folder.resolve().name}", 1)]
        lines = [f"{node.name}: {_findings(node)}" for node in self.sick]
        if lines:
            title = f"{_nodes(len(lines))} to drain"
            blocks.append(Alarm(title, "", tuple(words.first_of(lines))))
        blocks.append(Cards(tuple(self._cards())))
        chart = nodes_chart(
            {
                fleet.name: {node.name: node.standing for node in fleet.nodes if node.standing}
                for fleet in self.fleets
            }
        )
        blocks += [Heading("Ratios", 2), chart] if chart else []
        for fleet in self.fleets:
            blocks += [
                Heading(fleet.name, 2),
                Text(_headline(fleet)),
                Items(tuple(self._notes(fleet))),
                *_tables(fleet),
            ]
        return [*blocks, Folded("How nodes are compared", [Text(_HOW)])]

    def _cards(self) -> Iterator[Card]:
        total, sick = sum(len(fleet.nodes) for fleet in self.fleets), len(self.sick)
        yield Card("Healthy?", f"{sick} of {_nodes(total)} sick" if sick else "No sick node", "")
        prints = [fingerprint for fleet in self.fleets for fingerprint in fleet.prints]
        repeatable = sum(fingerprint.is_repeatable for fingerprint in prints)
        differ = {node for fingerprint in prints for node in fingerprint.others}
        answer = f"{len(differ)} differ" if differ else "None differs" if repeatable else "Unknown"
        text = f"{repeatable} of {len(prints)} trainings are equal on nearly all nodes"
        yield Card("Equal to the last bit?", answer, text)
        difference = max((fleet.seen.difference for fleet in self.fleets), default=nan)
        answer = f"at least {words.share(difference)}" if isfinite(difference) else "not known"
        yield Card("Which slowdown is detected?", answer, "in 19 of 20 runs, in every fleet")

    def _notes(self, fleet: Fleet) -> Iterator[str]:
        """Which slowdown the test finds, and which nodes have equal weights."""
        yield self._power(fleet)
        if not fleet.prints:
            return
        groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for fingerprint in fleet.prints:
            if fingerprint.is_repeatable:
                groups.setdefault((fingerprint.equal, fingerprint.others), []).append(
                    fingerprint.name
                )
        for (equal, others), names in sorted(groups.items(), key=lambda item: not item[0][1]):
            which = "; ".join(words.first_of(names, _MOST_TRAININGS))
            differ = f"; {', '.join(words.first_of(others))} differs" if others else ""
            trainings = "1 training" if len(names) == 1 else f"{len(names)} trainings"
            yield f"{_nodes(equal)} equal to the last bit in {trainings} ({which}){differ}."
        if others_count := sum(not fingerprint.is_repeatable for fingerprint in fleet.prints):
            yield (
                f"In {others_count} of {len(fleet.prints)} trainings, weights do not repeat to the"
                " last bit on most nodes, so these are not compared."
            )

    def _power(self, fleet: Fleet) -> str:
        """Which slowdown the test finds, and how many rounds find the given one."""
        power, (rounds, needed) = fleet.seen, fleet.rounds
        asked = words.share(self._find)
        if power.difference <= self._find:
            difference = words.share(power.difference)
            return f"A node that is slower by {difference} is detected in 19 of 20 runs."
        now = (
            f"they detect {words.share(power.difference)}"
            if isfinite(power.difference)
            else "they detect none"
        )
        start = (
            f"Too few rounds ({rounds}) to detect a node that is slower by {asked}: {now} in 19 of"
            " 20 runs"
        )
        if needed is None:
            return f"{start}; the nodes themselves differ too much, or are too few."
        return f"{start}. Use `--rounds {max(needed, rounds + 1)}`."


def _fleet(
    name: str, rows: pd.DataFrame, by_key: dict[str, Record], find: float, level: float
) -> Fleet:
    sessions = sessions_of(rows)
    standings = compare_nodes(sessions, level) if sessions else {}
    power = visible(sessions, find, level)
    prints = compare_fingerprints(_ends(rows, by_key))
    findings = findings_of(rows, by_key)
    nodes = []
    for node, of_node in rows.groupby("node", sort=False):
        findings_of_node, standing = findings[str(node)], standings.get(str(node))
        ratios = {
            w: _ratio(by_node[str(node)]) for w, by_node in sessions.items() if node in by_node
        }
        faults = [*_slowness(standing, ratios), *_bits(str(node), prints), *findings_of_node.faults]
        nodes.append(
            Node(
                name=str(node),
                standing=standing,
                ratios=ratios,
                jobs=len(of_node),
                ok=int((of_node["status"] == "ok").sum()),
                busy=int((of_node["disturbed"] != "").sum()),
                faults=tuple(faults),
                remarks=tuple(findings_of_node.remarks),
            )
        )
    rounds = int(rows.groupby("node")["round"].nunique().median())
    needed = power.needed and ceil(power.needed * rounds / max(power.sessions, 1))
    nodes.sort(key=lambda node: (not node.faults, not node.remarks, -_known(node.ratio)))
    return Fleet(
        name=name,
        nodes=tuple(nodes),
        seen=power,
        rounds=(rounds, needed),
        prints=tuple(prints),
    )


def _ends(rows: pd.DataFrame, by_key: dict[str, Record]) -> Iterator[Trained]:
    """The weights of jobs that ended ok, with everything that decides the weights."""
    ok = rows[rows["status"] == "ok"]
    columns = ok[["key", "node", "training", "training_name"]].itertuples(index=False, name=None)
    for key, node, training, name in columns:
        record = by_key[str(key)]
        if record.weights_checksum is None or record.startup is None:
            continue
        job = record.job
        same = (
            *(training, job.seed, job.mode, record.adapter_checksum),
            *(record.startup.weights_checksum, tuple(sorted(record.made_with.items()))),
        )
        text = f"{backend_name(job)} on {name}, seed {job.seed}"
        yield Trained(same, text, str(node), record.weights_checksum)


def _slowness(standing: Standing | None, ratios: Mapping[str, float]) -> Iterator[str]:
    """If a node is slow: by how much, and on which workloads, if not over all."""
    if standing is None or standing.outcome != "slow":
        return
    if not standing.on:
        yield f"slow by {words.share(standing.ratio - 1)}"
    for name in standing.on:
        yield f"slow on {name} alone, by {words.share(ratios[name] - 1)}"


def _bits(node: str, prints: Sequence[Fingerprint]) -> Iterator[str]:
    """The trainings in which the weights of a node differ from the other nodes'."""
    names = [fingerprint.name for fingerprint in prints if node in fingerprint.others]
    equal = max(
        (fingerprint.equal for fingerprint in prints if node in fingerprint.others), default=0
    )
    if names:
        which = "; ".join(words.first_of(names, _MOST_TRAININGS))
        yield f"weights differ from {_nodes(equal)} ({which})"


def _ratio(logs: NDArray[np.float64]) -> float:
    return float(np.exp(np.median(logs)))


def _known(value: float) -> float:
    return value if isfinite(value) else 0.0


def _nodes(number: int) -> str:
    return "1 node" if number == 1 else f"{number} nodes"


def _headline(fleet: Fleet) -> str:
    sick = [node.name for node in fleet.sick]
    end = f"{len(sick)} to drain: {', '.join(words.first_of(sick))}" if sick else "none is sick"
    return f"{_nodes(len(fleet.nodes))} of {fleet.name}: {end}"


def _findings(node: Node) -> str:
    few = node.standing is not None and node.standing.outcome == "unknown"
    return "; ".join([*node.faults, *node.remarks, *(["too few rounds"] if few else [])])


def _cells(node: Node) -> tuple[str, ...]:
    standing = node.standing
    interval = words.ABSENT
    if standing is not None and standing.low is not None and standing.high is not None:
        interval = f"{standing.low:.2f}-{standing.high:.2f}"
    return (
        node.name,
        f"{node.ratio:.3f}x" if standing else words.ABSENT,
        interval,
        str(standing.sessions if standing else 0),
        f"{node.ok}/{node.jobs}",
        str(node.busy or words.ABSENT),
    )


def _rest(nodes: Sequence[Node]) -> Iterator[str]:
    """A line about the nodes that the table leaves out."""
    ratios = [node.ratio for node in nodes if isfinite(node.ratio)]
    if ratios:
        yield f"and {_nodes(len(nodes))} more, {min(ratios):.3f}x to {max(ratios):.3f}x"


def _tables(fleet: Fleet) -> list[Block]:
    """A table of the first nodes of a fleet, and a folded table of all nodes."""
    if len(fleet.nodes) <= _MOST_ROWS:
        return [_table(fleet, fleet.nodes)]
    every = Folded(f"All {_nodes(len(fleet.nodes))}", [_table(fleet, fleet.nodes)])
    first, others = fleet.nodes[:_MOST_ROWS], fleet.nodes[_MOST_ROWS:]
    return [_table(fleet, first), *map(Text, _rest(others)), every]


def _table(fleet: Fleet, nodes: Sequence[Node]) -> Table:
    """Nodes of a fleet, with the ratio on each workload if there are several."""
    names = list(dict.fromkeys(name for node in fleet.nodes for name in node.ratios))
    workloads = names if len(names) > 1 else []
    rows, keys = [], []
    for node in nodes:
        on = [node.ratios.get(name) for name in workloads]
        cells = _cells(node)
        rows.append((*cells, *map(_times, on), _findings(node)))
        standing = node.standing
        sessions = float(standing.sessions) if standing else 0.0
        figures = (None, _known(node.ratio), None, sessions, float(node.ok), float(node.busy))
        keys.append((*figures, *on, None))
    return Table((*_TITLES, *workloads, "findings"), tuple(rows), keys=tuple(keys))


def _times(ratio: float | None) -> str:
    return words.ABSENT if ratio is None else f"{ratio:.3f}x"


def _csv_rows(fleet: Fleet) -> Iterator[dict[str, object]]:
    for node in fleet.nodes:
        standing = node.standing
        yield {
            "fleet": fleet.name,
            "node": node.name,
            "sick": bool(node.faults),
            "ratio": node.ratio,
            "low": standing and standing.low,
            "high": standing and standing.high,
            "sessions": standing.sessions if standing else 0,
            "jobs": node.jobs,
            "ok_jobs": node.ok,
            "busy_jobs": node.busy,
            "faults": "; ".join(node.faults),
            "remarks": "; ".join(node.remarks),
        }
