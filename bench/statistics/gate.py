"""The accuracy gate: tests whether accuracy fell against a baseline by more than chance allows.

Every cell is tested, and the level holds for all cells together. A cell is a workload in a backend
on a kind of device. Chance is the binomial error of an accuracy measured on n images. Where several
paired seeds scatter by more than that, Student's t on their differences is used instead; but a fall
that even twice the binomial error could not explain never passes: with two or three seeds the
t-test alone lets pass what any reader would call a fall. False alarms in 100 checks at a level of
1 % (simulated in the tests): at most 1 where seeds scatter by no more than the binomial error, as
MNIST's do; some 10 where seeds scatter by three times as much, where a single seed would give 20.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from math import hypot, sqrt
from statistics import mean, stdev
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Job
from bench.records.job import Record, backend_name, meaning
from bench.statistics.accuracy import binomial_error
from bench.statistics.agreement import agreement
from bench.statistics.distributions import normal_below, student_below
from bench.statistics.many import holm_level
from specs.errors import UserError

ResultName = tuple[str, str, str]  # workload, backend, kind of device
Status = Literal["ok", "fell", "missing", "failed", "not checked"]
# One false alarm in a hundred checks in which nothing changed: people switch off a gate that has
# many.
LEVEL = 0.01
# How far seeds may scatter, in binomial errors, before we call it a fall and not scatter.
_MOST_SCATTER = 2.0


class CheckError(UserError):
    """Two runs that cannot be compared."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of a cell.

    Attributes:
        seeds, baseline_seeds: how many are paired, and how many the baseline has.
        baseline, found: mean accuracy over the paired seeds (0..1); None where there is none.
        fails_below: the accuracy (0..1) below which the cell would fail, beside the others as they
            are; None where there is none.
    """

    result: ResultName
    status: Status
    reason: str
    seeds: int = 0
    baseline_seeds: int = 0
    baseline: float | None = None
    found: float | None = None
    fails_below: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate lets this cell through."""
        return self.status == "ok"


class Agreement(Struct, frozen=True, kw_only=True):
    """Whether the backends of a run agree on a workload on a kind of device.

    Attributes:
        backends: those that were compared with others.
        wrong: those of them that disagree.
        reasons: why, one for each job that disagrees.
    """

    workload: str
    device: str
    backends: tuple[str, ...]
    wrong: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the gate lets the workload through."""
        return not self.reasons


class Checked(Struct, frozen=True, kw_only=True):
    """All that a check found.

    Attributes:
        allow_new: whether a run passes with cells that the baseline has no job for.
    """

    results: tuple[Verdict, ...]
    agreements: tuple[Agreement, ...] = ()
    allow_new: bool = False

    def disagrees(self, verdict: Verdict) -> bool:
        """Whether the backend of a cell disagrees with the others of the run."""
        workload, backend, device = verdict.result
        return any(
            backend in one.wrong
            for one in self.agreements
            if (one.workload, one.device) == (workload, device)
        )

    def lets_pass(self, verdict: Verdict) -> bool:
        """Whether the run may pass as far as this cell is concerned."""
        return verdict.passed or (self.allow_new and verdict.status == "not checked")

    @property
    def passed(self) -> bool:
        """Whether the run passes."""
        return all(map(self.lets_pass, self.results)) and all(one.passed for one in self.agreements)


def check(
    run: Iterable[Record],
    baseline: Sequence[Record],
    *,
    level: float = LEVEL,
    backends: Container[str] | None = None,
) -> list[Verdict]:
    """A verdict per cell of the baseline, then one per new cell of the run, which is not checked.

    Args:
        run: its records.
        baseline: its records; those that did not end ok, or disagree with the others there, are no
            baseline.
        level: false alarms per check, all cells together.
        backends: only these; all, if None.

    Raises:
        CheckError: the two have no cell in common, or a cell's data set, spec, epochs, batch size
            or seeds differ.
    """
    wrong = agreement(baseline)
    right = [record for record in baseline if record.status == "ok" and not wrong.get(record.key)]
    found, expected = (
        _cells(record for record in records if backends is None or record.job.backend in backends)
        for records in (run, right)
    )
    if not any(cell in found for cell in expected):
        raise CheckError(
            "the run and the baseline have nothing in common",
            expected="the same workloads, backends and kind of device in both",
            hint="the baseline holds"
            f" {', '.join(map(' '.join, expected)) or 'no job that ended ok and agrees'}",
        )
    compared, without = [], []
    for cell, records in expected.items():
        matching = _matching(cell, found.get(cell, []), records)
        bad = [record for record in matching if record.status != "ok"]
        if not matching:
            without.append(Verdict(result=cell, status="missing", reason="the run has no such job"))
        elif bad:
            without.append(_failed(cell, bad[0]))
        else:
            compared.append(_compare(cell, matching, records))
    verdicts = {verdict.result: verdict for verdict in (*_judge(compared, level), *without)}
    new = [
        _new(cell, records)
        for cell, records in found.items()
        if cell not in expected and any(record.status != "unsupported" for record in records)
    ]
    return [*(verdicts[cell] for cell in expected), *new]


def check_agreement(
    run: Sequence[Record], backends: Container[str] | None = None
) -> list[Agreement]:
    """Whether the backends of a run agree with each other, see `bench.statistics.agreement`.

    It needs no baseline.

    Args:
        run: all its records.
        backends: only these may fail; all, if None. They are compared with the others all the same.

    Returns:
        one per workload and kind of device that has jobs to compare.
    """
    known = agreement(run)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in run:
        if record.key in known and (backends is None or record.job.backend in backends):
            groups.setdefault((record.job.workload.name, _kind(record.job)), []).append(record)
    return [
        Agreement(
            workload=workload,
            device=device,
            backends=tuple(dict.fromkeys(record.job.backend for record in records)),
            wrong=tuple(
                dict.fromkeys(record.job.backend for record in records if known[record.key])
            ),
            reasons=tuple(
                f"{_which(record.job)}: {known[record.key]}"
                for record in records
                if known[record.key]
            ),
        )
        for (workload, device), records in groups.items()
    ]


def _which(job: Job) -> str:
    """What tells a job from the others of its workload and kind of device, in words."""
    usual = job.batch_size == job.workload.recipe.batch_size
    batch = "" if usual else f", batch size {job.batch_size}"
    return f"{job.backend}{batch}, seed {job.seed}{f', round {job.round}' if job.round else ''}"


def _kind(job: Job) -> str:
    """The kind of a job's device: "cuda" for "cuda:1"."""
    return job.device.partition(":")[0]


def _cells(records: Iterable[Record]) -> dict[ResultName, list[Record]]:
    cells: dict[ResultName, list[Record]] = {}
    for record in records:
        job = record.job
        cells.setdefault((job.workload.name, backend_name(job), _kind(job)), []).append(record)
    return cells


def _new(cell: ResultName, records: Sequence[Record]) -> Verdict:
    """The verdict on a cell that the baseline has no job for: "failed" if a job failed."""
    for record in records:
        if record.status not in ("ok", "unsupported"):
            return _failed(cell, record)
    ok = all(record.status == "ok" for record in records)
    found = mean(_by_seed(records).values()) if ok else None
    reason = "the baseline has no such job (--allow-new lets it pass)"
    return Verdict(result=cell, status="not checked", reason=reason, found=found)


def _failed(cell: ResultName, bad: Record) -> Verdict:
    return Verdict(
        result=cell, status="failed", reason=f"seed {bad.job.seed}: {bad.status}: {bad.reason}"
    )


def _matching(
    cell: ResultName, found: Sequence[Record], expected: Sequence[Record]
) -> list[Record]:
    """The run's records of the same training as the baseline's.

    The run's folder may also hold others, for example with fewer epochs.

    Raises:
        CheckError: the baseline holds several trainings, or the run only has others.
    """
    trainings = {_training(record) for record in expected}
    if len(trainings) > 1:
        problem = f"{' '.join(cell)}: the baseline holds {len(trainings)} different trainings"
        raise CheckError(
            problem, expected="one", hint="make a baseline with one bench run into an empty folder"
        )
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


class _Fall(NamedTuple):
    """What the chance of a fall depends on, besides the accuracy found.

    Attributes:
        baseline: mean accuracy over the paired seeds (0..1).
        images: the number of test images.
        spread: the standard deviation of the paired seeds' differences; 0 with a single seed.
        seeds: how many are paired.
    """

    baseline: float
    images: int
    spread: float
    seeds: int

    def chance(self, accuracy: float) -> float:
        """The probability (0..1) that chance alone gives a mean accuracy as low as this one."""
        change = accuracy - self.baseline
        binomial = hypot(*(binomial_error(p, self.images) for p in (self.baseline, accuracy)))
        if self.spread <= binomial:
            return normal_below(change / (binomial / sqrt(self.seeds)))
        error, most = (each / sqrt(self.seeds) for each in (self.spread, _MOST_SCATTER * binomial))
        return min(student_below(change / error, self.seeds - 1), normal_below(change / most))

    def accuracy_at(self, level: float) -> float | None:
        """The accuracy whose `chance` is `level`; None where even that of 0 is not smaller."""
        from scipy.optimize import brentq  # takes 0.2 s

        if self.baseline <= 0 or self.chance(0.0) >= level:
            return None
        if self.chance(self.baseline) <= level:  # even no change is no more probable
            return self.baseline
        return float(brentq(lambda accuracy: self.chance(accuracy) - level, 0.0, self.baseline))


class _Compared(NamedTuple):
    """A cell with both accuracies; the status of its verdict is not decided yet."""

    verdict: Verdict
    fall: _Fall
    chance: float


def _compare(cell: ResultName, found: list[Record], expected: list[Record]) -> _Compared:
    """The cell's figures; `_judge` decides its status.

    Raises:
        CheckError: no seed is in both.
    """
    now, then = _by_seed(found), _by_seed(expected)
    seeds = sorted(now.keys() & then.keys())
    if not seeds:
        raise CheckError(
            f"{' '.join(cell)}: seeds {_listed(now)} in the run, {_listed(then)} in the baseline",
            expected="at least one seed in both",
            hint=f"bench run ... --seeds {_listed(then)}",
        )
    before, after = mean(then[s] for s in seeds), mean(now[s] for s in seeds)
    spread = stdev(now[seed] - then[seed] for seed in seeds) if len(seeds) > 1 else 0.0
    fall = _Fall(
        baseline=before, images=found[0].data.test_examples, spread=spread, seeds=len(seeds)
    )
    verdict = Verdict(
        result=cell,
        status="ok",
        reason="",
        seeds=len(seeds),
        baseline_seeds=len(then),
        baseline=before,
        found=after,
    )
    return _Compared(verdict, fall, fall.chance(after))


def _judge(compared: Sequence[_Compared], level: float) -> list[Verdict]:
    """The verdicts with their status, by Holm's correction.

    With many cells a single one must fall further before its fall is more than chance.
    """
    chances = [one.chance for one in compared]
    judged = []
    for place, (verdict, fall, chance) in enumerate(compared):
        own = holm_level([*chances[:place], *chances[place + 1 :]], level)
        judged.append(
            replace(
                verdict,
                status="fell" if chance <= own else "ok",
                reason=f"p = {min(chance * level / own, 1.0):.2g}, corrected for {len(compared)}"
                " results",
                fails_below=fall.accuracy_at(own),
            )
        )
    return judged


def _by_seed(records: Iterable[Record]) -> dict[int, float]:
    """The accuracy of the last epoch by seed, as the mean over rounds."""
    seeds: dict[int, list[float]] = {}
    for record in records:
        seeds.setdefault(record.job.seed, []).append(record.epochs[-1].test_accuracy)
    return {seed: mean(values) for seed, values in seeds.items()}


def _listed(values: Iterable[object]) -> str:
    return ",".join(sorted(map(str, values)))
