"""The gate: did accuracy fall against a baseline by more than chance allows? Cell by cell, over all cells together.

A cell is a workload in a backend on a kind of device. What may differ by chance is the larger of two things: how far
the paired seeds' differences scatter, and the binomial error of an accuracy measured on n images. Simulated,
with a level of 1 %: at most 1 false alarm in 100 checks where seeds scatter by no more than the binomial error (as
MNIST's do); 3 to 5 in 100 with three or two seeds that scatter by three times as much. One seed says nothing of
scatter: where a training has much of it, take several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Literal
from xml.etree import ElementTree as ET

from msgspec import Struct
from msgspec.structs import replace

from bench.record import Record
from specs.errors import UserError
from specs.model import Workload

CellName = tuple[str, str, str]  # workload, backend, kind of device
Status = Literal["ok", "fell", "missing", "failed", "new"]
# One false alarm in a hundred checks in which nothing changed: a gate that cries wolf is switched off.
LEVEL = 0.01


class CheckError(UserError):
    """Two runs that cannot be compared."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of a cell.

    Attributes:
        baseline, found: mean accuracy over the paired seeds (0..1); None where there is none.
        standard_error: of their difference, by chance alone.
        p_value: how probable so large a fall is if nothing changed, before the correction for the number of cells.
    """

    cell: CellName
    status: Status
    reason: str
    seeds: int = 0
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
    found, expected = _cells(run), _cells(baseline)
    shared = [cell for cell in expected if _ok(expected[cell]) and _ok(found.get(cell, []))]
    if not any(cell in found for cell in expected):
        raise CheckError(
            "the run and the baseline have nothing in common",
            expected="the same workloads, backends and kind of device in both",
            hint=f"the baseline holds {', '.join(' '.join(cell) for cell in expected) or 'nothing'}",
        )
    compared = [_compare(cell, _ok(found[cell]), _ok(expected[cell])) for cell in shared]
    verdicts = {verdict.cell: verdict for verdict in _judge(compared, level)}
    for cell, records in expected.items():
        if cell not in verdicts and _ok(records):
            verdicts[cell] = _without(cell, found.get(cell, []))
    new = [Verdict(cell=c, status="new", reason="not in the baseline") for c in found if c not in expected]
    return [*(verdicts[cell] for cell in expected if cell in verdicts), *new]


def junit(verdicts: Sequence[Verdict], name: str) -> bytes:
    """The verdicts as JUnit XML, which CI systems read: a test case per cell."""
    failures = sum(not verdict.passed for verdict in verdicts)
    suite = ET.Element("testsuite", name=name, tests=str(len(verdicts)), failures=str(failures))
    for verdict in verdicts:
        workload, backend, device = verdict.cell
        case = ET.SubElement(suite, "testcase", classname=f"accuracy.{workload}", name=f"{backend} {device}")
        if not verdict.passed:
            ET.SubElement(case, "failure", message=f"{verdict.status}: {verdict.reason}")
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def _cells(records: Iterable[Record]) -> dict[CellName, list[Record]]:
    cells: dict[CellName, list[Record]] = {}
    for record in records:
        job = record.job
        cells.setdefault((job.workload.name, job.backend, job.device.partition(":")[0]), []).append(record)
    return cells


def _ok(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok"]


def _without(cell: CellName, records: Sequence[Record]) -> Verdict:
    """The verdict on a cell that the baseline has, and of which the run has no job that ended ok."""
    if not records:
        return Verdict(cell=cell, status="missing", reason="the run has no such job")
    return Verdict(cell=cell, status="failed", reason=f"{records[0].status}: {records[0].reason}")


def _compare(cell: CellName, found: list[Record], expected: list[Record]) -> Verdict:
    """The cell's figures; `_judge` gives it its status."""
    _refuse_differences(cell, found, expected)
    now, then = _by_seed(found), _by_seed(expected)
    seeds = sorted(now.keys() & then.keys())
    if not seeds:
        raise CheckError(
            f"{' '.join(cell)}: seeds {_listed(now)} in the run, {_listed(then)} in the baseline",
            expected="at least one seed in both",
            hint=f"bench run ... --seeds {_listed(then)}",
        )
    differences = [now[seed] - then[seed] for seed in seeds]
    before, after = mean(then[s] for s in seeds), mean(now[s] for s in seeds)
    images = found[0].data.test_examples
    binomial = sqrt(sum(max(p * (1 - p), 1 / images) for p in (before, after)) / images)
    spread = stdev(differences) if len(seeds) > 1 else 0.0
    error = max(binomial, spread) / sqrt(len(seeds))
    fall = (before - after) / error
    # Where the seeds scatter more than that, their own few differences are all we know: Student's t, and its caution.
    p_value = _student(-fall, len(seeds) - 1) if spread > binomial else _normal(-fall)
    return Verdict(
        cell=cell,
        status="ok",
        reason="",
        seeds=len(seeds),
        baseline=before,
        found=after,
        standard_error=error,
        p_value=p_value,
    )


def _judge(compared: Sequence[Verdict], level: float) -> list[Verdict]:
    """Holm's correction: with many cells a single one must fall further before it is more than chance."""
    judged, alarm = [], True
    for rank, verdict in enumerate(sorted(compared, key=lambda verdict: verdict.p_value or 0.0)):
        corrected = (verdict.p_value or 0.0) * (len(compared) - rank)
        alarm = alarm and corrected <= level  # from the first that is not, none is
        reason = f"p = {min(corrected, 1.0):.2g}, corrected for {len(compared)} cells"
        judged.append(replace(verdict, status="fell" if alarm else "ok", reason=reason))
    return judged


def _refuse_differences(cell: CellName, found: Sequence[Record], expected: Sequence[Record]) -> None:
    asked: Mapping[str, Callable[[Record], object]] = {
        "data set": lambda record: f"{record.data.name} ({record.data.checksum[:8]})",
        "epochs": lambda record: record.job.epochs,
        "batch size": lambda record: record.job.batch_size,
        "precision": lambda record: record.job.precision,
        "spec": lambda record: _meaning(record.job.workload),
    }
    for what, ask in asked.items():
        now, then = ({ask(record) for record in records} for records in (found, expected))
        if len(now | then) == 1:
            continue
        shown = "" if what == "spec" else f": {_listed(now)} in the run, {_listed(then)} in the baseline"
        raise CheckError(
            f"{' '.join(cell)}: the {what} differs{shown}",
            expected="the same training in both; accuracies of different ones are never compared",
            hint="make a new baseline from a run that you trust: copy its jobs/ folder",
        )


def _meaning(workload: Workload) -> Workload:
    """A workload without what changes nothing in its training: its words and its published figures."""
    recipe = replace(workload.recipe, target_accuracy=None)
    return replace(workload, title="", references=(), recipe=recipe)


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
