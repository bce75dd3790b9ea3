"""The accuracy gate: tests whether accuracy has regressed against a baseline by more than chance.

A result is the accuracy of a workload in a backend on a kind of device. Every result is tested, and
the level holds for all results together. Chance is the binomial error of an accuracy measured on n
images. If several paired seeds scatter by more than that, Student's t on their differences is used.
With two or three seeds the t-test alone would not even find a large regression. So a result also
fails if its regression is too large for twice the binomial error.

False alarms in 100 checks at a level of 1 % (simulated in the tests): at most 1 if seeds scatter by
no more than the binomial error, as on MNIST; about 10 if seeds scatter three times as much (20 with
a single seed).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from math import hypot, sqrt
from statistics import mean, stdev
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import kind_with_ranks
from bench.records.job import Record, backend_name, without_labels
from bench.statistics.accuracy import binomial_error
from bench.statistics.distributions import normal_below, student_below
from bench.statistics.doubts import Doubts
from bench.statistics.judgement import judgements
from bench.statistics.many import holm_level
from specs.errors import UserError

ResultName = tuple[str, str, str]  # workload, backend, kind of device
Status = Literal["ok", "regressed", "missing", "failed", "not checked"]
# One false alarm in a hundred checks in which nothing changed: people switch off a gate that has
# many false alarms.
LEVEL = 0.01
# The largest scatter of the seeds that may explain a regression, in binomial errors.
_MOST_SCATTER = 2.0


class CheckError(UserError):
    """The run and the baseline cannot be compared."""


class Verdict(Struct, frozen=True, kw_only=True):
    """The verdict on one result.

    Attributes:
        seeds: the number of seeds that the run and the baseline both have.
        baseline_seeds: the number of seeds of the baseline.
        baseline, accuracy: the mean accuracy (0..1) of the baseline and of the run over `seeds`;
            None if there is none.
        fails_below: the accuracy (0..1) below which this result would fail, if all other results
            stay as they are; None if no accuracy would fail.
    """

    result: ResultName
    status: Status
    reason: str
    seeds: int = 0
    baseline_seeds: int = 0
    baseline: float | None = None
    accuracy: float | None = None
    fails_below: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the status is "ok"."""
        return self.status == "ok"


class CheckResult(Struct, frozen=True, kw_only=True):
    """All verdicts of a check.

    Attributes:
        results: one verdict per result.
        doubts: one per workload and kind of device, see `bench.statistics.doubts.check_doubts`.
        allow_new: whether a run passes with results that the baseline does not have.
    """

    results: tuple[Verdict, ...]
    doubts: tuple[Doubts, ...] = ()
    allow_new: bool = False

    def is_doubtful(self, verdict: Verdict) -> bool:
        """Whether this backend has a doubtful result on this workload and kind of device."""
        workload, backend, device = verdict.result
        return any(
            backend in doubts.doubtful
            for doubts in self.doubts
            if (doubts.workload, doubts.device) == (workload, device)
        )

    def lets_pass(self, verdict: Verdict) -> bool:
        """Whether this verdict lets the run pass."""
        return verdict.passed or (self.allow_new and verdict.status == "not checked")

    @property
    def passed(self) -> bool:
        """Whether the run passes."""
        believed = all(doubts.passed for doubts in self.doubts)
        return believed and all(map(self.lets_pass, self.results))


def check(
    run: Iterable[Record],
    baseline: Sequence[Record],
    *,
    level: float = LEVEL,
    backends: Container[str] | None = None,
) -> list[Verdict]:
    """Compare the results of a run with those of a baseline.

    Args:
        run: the records of the run.
        baseline: the records of the baseline. Records that did not end ok, or are in doubt, are
            left out.
        level: the probability of a false alarm per check, all results together.
        backends: the backends to check; None for all.

    Returns:
        a verdict per result of the baseline, then one per new result of the run, with the status
        "not checked" or "failed".

    Raises:
        CheckError: run and baseline have no result in common; or the data set, spec, epochs, batch
            size, precision or seeds of a result differ.
    """
    judged = judgements(baseline)
    believed = [record for record in baseline if record.key in judged and judged[record.key].counts]
    in_run, in_baseline = (
        _by_name(record for record in records if backends is None or record.job.backend in backends)
        for records in (run, believed)
    )
    if not any(name in in_run for name in in_baseline):
        raise _nothing_in_common(in_baseline)
    compared, without_accuracy = [], []
    for name, records in in_baseline.items():
        matching = _matching(name, in_run.get(name, []), records)
        failed = [record for record in matching if record.status != "ok"]
        if not matching:
            reason = "the run has no such job"
            without_accuracy.append(Verdict(result=name, status="missing", reason=reason))
        elif failed:
            without_accuracy.append(_failed(name, failed[0]))
        else:
            compared.append(_compare(name, matching, records))
    verdicts = {
        verdict.result: verdict for verdict in (*_judge(compared, level), *without_accuracy)
    }
    new = [
        _new(name, records)
        for name, records in in_run.items()
        if name not in in_baseline and any(record.status != "unsupported" for record in records)
    ]
    return [*(verdicts[name] for name in in_baseline), *new]


def _nothing_in_common(in_baseline: Iterable[ResultName]) -> CheckError:
    """The error for a run without any result of the baseline."""
    names = ", ".join(map(" ".join, in_baseline))
    return CheckError(
        "the run and the baseline have nothing in common",
        expected="the same workloads, backends and kind of device in both",
        hint=f"the baseline holds {names or 'no job that ended ok and may be believed'}",
    )


def _by_name(records: Iterable[Record]) -> dict[ResultName, list[Record]]:
    """Name of a result -> its records."""
    by_name: dict[ResultName, list[Record]] = {}
    for record in records:
        job = record.job
        by_name.setdefault(
            (job.workload.name, backend_name(job), kind_with_ranks(job.device)), []
        ).append(record)
    return by_name


def _new(name: ResultName, records: Sequence[Record]) -> Verdict:
    """The verdict on a result that the baseline does not have: "failed" if a job failed."""
    for record in records:
        if record.status not in ("ok", "unsupported"):
            return _failed(name, record)
    ok = all(record.status == "ok" for record in records)
    accuracy = mean(_by_seed(records).values()) if ok else None
    reason = "the baseline has no such job (--allow-new lets it pass)"
    return Verdict(result=name, status="not checked", reason=reason, accuracy=accuracy)


def _failed(name: ResultName, record: Record) -> Verdict:
    reason = f"seed {record.job.seed}: {record.status}: {record.reason}"
    return Verdict(result=name, status="failed", reason=reason)


def _matching(name: ResultName, run: Sequence[Record], baseline: Sequence[Record]) -> list[Record]:
    """The run's records with the same training as the baseline.

    The run's folder may also hold other trainings, for example with fewer epochs.

    Raises:
        CheckError: the baseline holds several trainings, or the run holds only other trainings.
    """
    trainings = {_training(record) for record in baseline}
    if len(trainings) > 1:
        raise CheckError(
            f"{' '.join(name)}: the baseline holds {len(trainings)} different trainings",
            expected="one training per workload, backend and kind of device",
            hint="use a baseline folder that holds a single run",
        )
    [training] = trainings
    matching = [record for record in run if _training(record) == training]
    if run and not matching:
        parts = ("data set", "epochs", "batch size", "precision", "spec")
        rows = zip(parts, _training(run[0]), training, strict=True)
        part, now, then = next(row for row in rows if row[1] != row[2])
        verb = "differ" if part == "epochs" else "differs"
        values = "" if part == "spec" else f": {now} in the run, {then} in the baseline"
        raise CheckError(
            f"{' '.join(name)}: the {part} {verb}{values}",
            expected="the same training in both",
            hint="use the baseline's settings, or another baseline: a run that you trust",
        )
    return matching


def _training(record: Record) -> tuple[object, ...]:
    """The properties that must be equal if two accuracies are compared."""
    data, job = record.data, record.job
    name = f"{data.name} ({data.checksum[:8]})"
    return name, job.epochs, job.batch_size, job.precision, without_labels(job.workload)


class _Regression(NamedTuple):
    """The figures that decide which accuracy is a regression.

    A paired seed is a seed that the run and the baseline both have.

    Attributes:
        baseline: the baseline's mean accuracy over the paired seeds (0..1).
        images: the number of test images.
        spread: the standard deviation of the paired seeds' differences; 0 with a single seed.
        seeds: the number of paired seeds.
    """

    baseline: float
    images: int
    spread: float
    seeds: int

    def chance(self, accuracy: float) -> float:
        """The probability (0..1) that chance alone gives a mean accuracy as low as this one."""
        binomial = hypot(*(binomial_error(p, self.images) for p in (self.baseline, accuracy)))
        change = (accuracy - self.baseline) * sqrt(self.seeds)
        if self.spread <= binomial:
            return normal_below(change / binomial)
        by_scatter = student_below(change / self.spread, self.seeds - 1)
        return min(by_scatter, normal_below(change / (_MOST_SCATTER * binomial)))

    def accuracy_at(self, level: float) -> float | None:
        """The accuracy whose `chance` is `level`; None if every accuracy has a larger chance."""
        from scipy.optimize import brentq  # takes 0.2 s

        if self.baseline <= 0 or self.chance(0.0) >= level:
            return None
        if self.chance(self.baseline) <= level:  # even an unchanged accuracy would fail
            return self.baseline
        return float(brentq(lambda accuracy: self.chance(accuracy) - level, 0.0, self.baseline))


class _Compared(NamedTuple):
    """The figures of a result in the run and the baseline, without the status from `_judge`."""

    verdict: Verdict
    regression: _Regression
    chance: float


def _compare(name: ResultName, run: list[Record], baseline: list[Record]) -> _Compared:
    """The figures of a result.

    Raises:
        CheckError: the run and the baseline have no seed in common.
    """
    now, then = _by_seed(run), _by_seed(baseline)
    seeds = sorted(now.keys() & then.keys())
    if not seeds:
        raise CheckError(
            f"{' '.join(name)}: seeds {_listed(now)} in the run, {_listed(then)} in the baseline",
            expected="at least one seed in both",
            hint=f"bench run ... --seeds {_listed(then)}",
        )
    before, after = mean(then[seed] for seed in seeds), mean(now[seed] for seed in seeds)
    spread = stdev(now[seed] - then[seed] for seed in seeds) if len(seeds) > 1 else 0.0
    regression = _Regression(before, run[0].data.test_examples, spread, len(seeds))
    verdict = Verdict(
        result=name,
        status="ok",
        reason="",
        seeds=len(seeds),
        baseline_seeds=len(then),
        baseline=before,
        accuracy=after,
    )
    return _Compared(verdict, regression, regression.chance(after))


def _judge(compared: Sequence[_Compared], level: float) -> list[Verdict]:
    """The verdicts with their status, after Holm's correction for many results."""
    chances = [result.chance for result in compared]
    verdicts = []
    for index, (verdict, regression, chance) in enumerate(compared):
        own_level = holm_level([*chances[:index], *chances[index + 1 :]], level)
        verdicts.append(
            replace(
                verdict,
                status="regressed" if chance <= own_level else "ok",
                reason=f"p = {min(chance * level / own_level, 1.0):.2g}, corrected for"
                f" {len(compared)} results",
                fails_below=regression.accuracy_at(own_level),
            )
        )
    return verdicts


def _by_seed(records: Iterable[Record]) -> dict[int, float]:
    """Seed -> accuracy of the last epoch, as the mean over rounds."""
    seeds: dict[int, list[float]] = {}
    for record in records:
        seeds.setdefault(record.job.seed, []).append(record.epochs[-1].test_accuracy)
    return {seed: mean(values) for seed, values in seeds.items()}


def _listed(values: Iterable[object]) -> str:
    return ",".join(sorted(map(str, values)))
