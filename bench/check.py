"""The gate: did accuracy fall against a baseline by more than chance allows? Cell by cell, over all cells together.

A cell is a workload in a backend on a kind of device. Chance is the binomial error of an accuracy measured on n images;
where several paired seeds scatter by more than that, Student's t on their differences takes its place, but never so
that a fall passes which even twice the binomial error could not explain: with two or three seeds the t-test alone lets
pass what any reader would call a fall. False alarms in 100 checks at a level of 1 % (simulated in the tests): at most 1
where seeds scatter by no more than the binomial error, as MNIST's do; some 10 with seeds that scatter by three times as
much, where a single seed would give 20.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Literal
from xml.etree import ElementTree as ET

from msgspec import Struct
from msgspec.structs import replace

from bench.record import Record, contestant, meaning
from specs.errors import UserError

CellName = tuple[str, str, str]  # workload, backend, kind of device
Status = Literal["ok", "fell", "missing", "failed", "new"]
# One false alarm in a hundred checks in which nothing changed: a gate that cries wolf is switched off.
LEVEL = 0.01
# How far seeds may scatter, in binomial errors, before we call it a fall and not scatter.
_MOST_SCATTER = 2.0
# What XML cannot hold; frameworks put escape sequences into their messages.
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f]")


class CheckError(UserError):
    """Two runs that cannot be compared."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of a cell.

    Attributes:
        seeds, baseline_seeds: how many are paired, and how many the baseline has.
        baseline, found: mean accuracy over the paired seeds (0..1); None where there is none.
        standard_error: of their difference, by chance alone.
        p_value: how probable so large a fall is if nothing changed, before the correction for the number of cells.
    """

    cell: CellName
    status: Status
    reason: str
    seeds: int = 0
    baseline_seeds: int = 0
    baseline: float | None = None
    found: float | None = None
    standard_error: float | None = None
    p_value: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate lets this cell through."""
        return self.status in ("ok", "new")


def check(run: Iterable[Record], baseline: Iterable[Record], *, level: float = LEVEL) -> list[Verdict]:
    """A verdict per cell of the baseline, then the run's own new cells, which pass.

    Raises:
        CheckError: the two have no cell in common, or a cell's data set, spec, epochs, batch size or seeds differ.
    """
    found, expected = _cells(run), _cells(record for record in baseline if record.status == "ok")
    if not any(cell in found for cell in expected):
        raise CheckError(
            "the run and the baseline have nothing in common",
            expected="the same workloads, backends and kind of device in both",
            hint=f"the baseline holds {', '.join(' '.join(cell) for cell in expected) or 'no job that ended ok'}",
        )
    compared, without = [], []
    for cell, records in expected.items():
        matching = _matching(cell, found.get(cell, []), records)
        bad = next((record for record in matching if record.status != "ok"), None)
        if not matching:
            without.append(Verdict(cell=cell, status="missing", reason="the run has no such job"))
        elif bad is not None:
            reason = f"seed {bad.job.seed}: {bad.status}: {bad.reason}"
            without.append(Verdict(cell=cell, status="failed", reason=reason))
        else:
            compared.append(_compare(cell, matching, records))
    verdicts = {verdict.cell: verdict for verdict in (*_judge(compared, level), *without)}
    new = [Verdict(cell=c, status="new", reason="not in the baseline") for c in found if c not in expected]
    return [*(verdicts[cell] for cell in expected), *new]


def junit(verdicts: Sequence[Verdict], name: str) -> bytes:
    """The verdicts as JUnit XML, which CI systems read: a test case per cell."""
    failures = sum(not verdict.passed for verdict in verdicts)
    suite = ET.Element("testsuite", name=name, tests=str(len(verdicts)), failures=str(failures))
    for verdict in verdicts:
        workload, backend, device = verdict.cell
        case = ET.SubElement(suite, "testcase", classname=f"accuracy.{workload}", name=f"{backend} {device}")
        if not verdict.passed:
            message = _CONTROL.sub("", f"{verdict.status}: {verdict.reason}")
            ET.SubElement(case, "failure", message=message)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _cells(records: Iterable[Record]) -> dict[CellName, list[Record]]:
    cells: dict[CellName, list[Record]] = {}
    for record in records:
        job = record.job
        cells.setdefault((job.workload.name, contestant(job), job.device.partition(":")[0]), []).append(record)
    return cells


def _matching(cell: CellName, found: Sequence[Record], expected: Sequence[Record]) -> list[Record]:
    """The run's records of the baseline's training; a folder may also hold others, of fewer epochs, say.

    Raises:
        CheckError: the baseline holds several trainings, or the run has none like its.
    """
    trainings = {_training(record) for record in expected}
    if len(trainings) > 1:
        problem = f"{' '.join(cell)}: the baseline holds {len(trainings)} different trainings"
        raise CheckError(problem, expected="one", hint="make a baseline with one bench run into an empty folder")
    [training] = trainings
    matching = [record for record in found if _training(record) == training]
    if found and not matching:
        names = ("data set", "epochs", "batch size", "precision", "spec")
        pairs = zip(names, _training(found[0]), training, strict=True)
        what, now, then = next(pair for pair in pairs if pair[1] != pair[2])
        shown = "" if what == "spec" else f": {now} in the run, {then} in the baseline"
        raise CheckError(
            f"{' '.join(cell)}: the {what} differs{shown}",
            expected="the same training in both; accuracies of different ones are never compared",
            hint="make a new baseline from a run that you trust: copy its jobs/ folder",
        )
    return matching


def _training(record: Record) -> tuple[object, ...]:
    """What must be equal for two accuracies to be compared."""
    data, job = record.data, record.job
    name = f"{data.name} ({data.checksum[:8]})"
    return name, job.epochs, job.batch_size, job.precision, meaning(job.workload)


def _compare(cell: CellName, found: list[Record], expected: list[Record]) -> Verdict:
    """The cell's figures; `_judge` gives it its status."""
    now, then = _by_seed(found), _by_seed(expected)
    seeds = sorted(now.keys() & then.keys())
    if not seeds:
        raise CheckError(
            f"{' '.join(cell)}: seeds {_listed(now)} in the run, {_listed(then)} in the baseline",
            expected="at least one seed in both",
            hint=f"bench run ... --seeds {_listed(then)}",
        )
    before, after = mean(then[s] for s in seeds), mean(now[s] for s in seeds)
    images = found[0].data.test_examples
    binomial = sqrt(sum(max(p * (1 - p), 1 / images) for p in (before, after)) / images)
    spread = stdev(now[seed] - then[seed] for seed in seeds) if len(seeds) > 1 else 0.0
    error, p_value = _chance(after - before, binomial, spread, len(seeds))
    return Verdict(
        cell=cell,
        status="ok",
        reason="",
        seeds=len(seeds),
        baseline_seeds=len(then),
        baseline=before,
        found=after,
        standard_error=error,
        p_value=p_value,
    )


def _chance(change: float, binomial: float, spread: float, seeds: int) -> tuple[float, float]:
    """The standard error of a mean change over seeds, and how probable one as low is by chance."""
    if spread <= binomial:
        error = binomial / sqrt(seeds)
        return error, _normal(change / error)
    error, most = spread / sqrt(seeds), _MOST_SCATTER * binomial / sqrt(seeds)
    return min(error, most), min(_student(change / error, seeds - 1), _normal(change / most))


def _judge(compared: Sequence[Verdict], level: float) -> list[Verdict]:
    """Holm's correction: with many cells a single one must fall further before it is more than chance."""
    judged, alarm = [], True
    for rank, verdict in enumerate(sorted(compared, key=lambda verdict: verdict.p_value or 0.0)):
        corrected = (verdict.p_value or 0.0) * (len(compared) - rank)
        alarm = alarm and corrected <= level  # from the first that is not, none is
        reason = f"p = {min(corrected, 1.0):.2g}, corrected for {len(compared)} cells"
        judged.append(replace(verdict, status="fell" if alarm else "ok", reason=reason))
    return judged


def _by_seed(records: Iterable[Record]) -> dict[int, float]:
    """Accuracy of the last epoch, mean over rounds."""
    seeds: dict[int, list[float]] = {}
    for record in records:
        seeds.setdefault(record.job.seed, []).append(record.epochs[-1].test_accuracy)
    return {seed: mean(values) for seed, values in seeds.items()}


def _listed(values: Iterable[object]) -> str:
    return ",".join(sorted(map(str, values)))


def _normal(x: float) -> float:
    from scipy.special import ndtr  # takes 0.1 s

    return float(ndtr(x))


def _student(t: float, degrees: int) -> float:
    from scipy.special import stdtr  # see _normal

    return float(stdtr(degrees, t))
