"""Whether the backends of a run agree: a job far from the other backends has a wrong result.

In matched mode all backends of a group start with the same seed from the same weights and see the
same batches, so one seed is enough to see a gross error. Records do not store the result: it is
computed whenever they are read. The bounds are for gross errors; `bench.statistics.accuracy` tests
whether backends are equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import hypot
from statistics import median_high, median_low
from typing import NamedTuple

from bench.records.job import Group, Record, group_of
from bench.statistics.accuracy import binomial_error

# The largest deviation of the loss, as a share of the median of the others. The largest deviation
# of a correct backend was 2.7 % in 81 recorded results, and 3.1 % in the runs kept in `results/`. A
# backend whose convolutions had no gradients was 93.5 % off.
LOSS_MARGIN = 0.10
# An accuracy disagrees if it is lower by more than both bounds. Both are needed: one correct pair
# on 1,000 images after one epoch was 8.0 points apart, which were 4.5 standard errors; on 10,000
# images 6 standard errors are less than a point.
STANDARD_ERRORS, ACCURACY_MARGIN = 6.0, 0.01


class Result(NamedTuple):
    """The figures of one job that are compared with the other backends.

    Attributes:
        key: the key of the job's record.
        loss: the running loss of the first epoch.
        accuracy: the test accuracy of the last epoch (0..1); None while the job is running.
        images: the number of test images.
    """

    key: str
    backend: str
    loss: float
    accuracy: float | None
    images: int


def agreement(records: Iterable[Record]) -> dict[str, str]:
    """The reason why each job disagrees with the other backends; "" if it agrees.

    Args:
        records: records of any runs and machines; jobs that did not end ok, and jobs in native
            mode, are left out.

    Returns:
        key of the record -> reason, for every job that can be compared with another backend.
    """
    groups: dict[tuple[Group, int], list[Result]] = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.job.mode == "matched":
            group = group_of(record.job, record.data.checksum, record.machine.name)
            groups[group, record.job.seed].append(result_of(record))
    return {key: reason for group in groups.values() for key, reason in judge(group).items()}


def result_of(record: Record) -> Result:
    """The figures of a record that ended ok."""
    first, last = record.epochs[0], record.epochs[-1]
    return Result(
        record.key,
        record.job.backend,
        first.running_loss,
        last.test_accuracy,
        record.data.test_examples,
    )


def judge(group: Sequence[Result]) -> dict[str, str]:
    """The reason why each result of a group disagrees; "" if it agrees.

    A result is compared with the median of the other backends: a wrong backend would move their
    mean. An even number of values has two values in the middle. A result disagrees only if it is
    far from both, because one of the two may be wrong. If the group has only two backends and they
    differ, it is unknown which is wrong, so both get a reason.

    Returns:
        key -> reason; empty if the group has a single backend.
    """
    by_backend: dict[str, list[Result]] = defaultdict(list)
    for result in group:
        by_backend[result.backend].append(result)
    if len(by_backend) < 2:  # noqa: PLR2004 - a comparison takes two
        return {}
    losses = {
        name: _median([result.loss for result in results]) for name, results in by_backend.items()
    }
    known_accuracies = {
        name: [result.accuracy for result in results if result.accuracy is not None]
        for name, results in by_backend.items()
    }
    accuracies = {name: _median(values) for name, values in known_accuracies.items() if values}
    of_two = len(by_backend) == 2  # noqa: PLR2004 - the reason then names the other backend
    reasons: dict[str, str] = {}
    for backend, results in by_backend.items():
        other = next(name for name in by_backend if name != backend) if of_two else ""
        loss, accuracy = (_median_of_others(values, backend) for values in (losses, accuracies))
        reasons |= {result.key: _reason(result, loss, accuracy, other) for result in results}
    return reasons


class _Median(NamedTuple):
    """The low and the high median: the two middle values, which are equal for an odd number."""

    low: float
    high: float

    def say(self, form: Callable[[float], str], *, of_two: bool) -> str:
        """As text: the range of one backend's rounds if `of_two`, else the median of the others."""
        low, high = form(self.low), form(self.high)
        return f"{low} to {high}" if of_two and low != high else form((self.low + self.high) / 2)


def _median(values: Sequence[float]) -> _Median:
    return _Median(median_low(values), median_high(values))


def _median_of_others(medians: Mapping[str, _Median], backend: str) -> _Median | None:
    others = [median for name, median in medians.items() if name != backend]
    if not others:
        return None
    return _Median(
        median_low(median.low for median in others), median_high(median.high for median in others)
    )


def _reason(result: Result, loss: _Median | None, accuracy: _Median | None, other: str) -> str:
    """The reason why a result disagrees with the median of the others; "" if it agrees.

    `other` is the name of the other backend if there are only two, else "".
    """
    of_two, parts = bool(other), []
    theirs = f"{other} has" if of_two else "the median of the others is"
    if loss is not None and all(_far(result.loss, median, both_ways=of_two) for median in loss):
        parts.append(
            f"loss {_loss(result.loss)} after epoch 1, {theirs} {loss.say(_loss, of_two=of_two)}"
        )
    if result.accuracy is not None and accuracy is not None and result.images > 0:
        ours, images = result.accuracy, result.images
        if _below(ours, accuracy.low, images) or (of_two and _below(accuracy.high, ours, images)):
            parts.append(
                f"accuracy {_percent(ours)}, {theirs} {accuracy.say(_percent, of_two=of_two)}"
            )
    if parts and of_two:
        parts.append("these two disagree, and one is wrong")
    return "; ".join(parts)


def _loss(value: float) -> str:
    return f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _far(loss: float, median: float, *, both_ways: bool) -> bool:
    """Whether a loss differs from `median` by more than the margin.

    The margin is a share of `median`, or of the smaller of the two losses if `both_ways`, so that
    both of two backends disagree, or neither.
    """
    whole = min(abs(loss), abs(median)) if both_ways else abs(median)
    return abs(loss - median) > LOSS_MARGIN * whole


def _below(accuracy: float, other: float, images: int) -> bool:
    """Whether an accuracy is lower than `other` by more than both bounds."""
    error = hypot(binomial_error(accuracy, images), binomial_error(other, images))
    return other - accuracy > max(STANDARD_ERRORS * error, ACCURACY_MARGIN)
