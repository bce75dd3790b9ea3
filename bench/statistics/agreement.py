"""Whether the backends of a run agree: a job far from the other backends has a wrong result.

In matched mode all backends of a group start with the same seed from the same weights and see the
same batches, so one seed is enough to see a gross error. Nothing
of this is stored in records: it is judged whenever they are read. The bounds are for gross errors;
`bench.statistics.accuracy` tests whether backends are equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import hypot
from statistics import median_high, median_low
from typing import NamedTuple

from bench.records.job import Group, Record, group_of
from bench.statistics.accuracy import binomial_error

# As a share of the median of the others. The largest deviation of a correct backend was 2.7 % in 81
# recorded results, 3.1 % in the runs kept in `results/`; a backend whose convolutions had no
# gradients was 93.5 % off.
LOSS_MARGIN = 0.10
# An accuracy disagrees if it is lower by both. One correct pair on 1,000 images after one epoch was
# 4.5 standard errors and 8.0 points apart, and on 10,000 images 6 standard errors are less than a
# point.
STANDARD_ERRORS, ACCURACY_MARGIN = 6.0, 0.01


class Result(NamedTuple):
    """What a job is judged by.

    Attributes:
        key: of its record.
        loss: the running loss of the first epoch.
        accuracy: the test accuracy of the last epoch (0..1); None while the job is running.
        images: how many test images that is of.
    """

    key: str
    backend: str
    loss: float
    accuracy: float | None
    images: int


def agreement(records: Iterable[Record]) -> dict[str, str]:
    """Why each job disagrees with the other backends, by the key of its record; "" if it agrees.

    It holds every job that can be compared with another backend.

    Args:
        records: of any runs and machines; those that did not end ok, and native mode, are left out.
    """
    groups: dict[tuple[Group, int], list[Result]] = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.job.mode == "matched":
            group = group_of(record.job, record.data.checksum, record.machine.name)
            groups[group, record.job.seed].append(result_of(record))
    return {key: why for group in groups.values() for key, why in judge(group).items()}


def result_of(record: Record) -> Result:
    """What a record that ended ok is judged by."""
    first, last = record.epochs[0], record.epochs[-1]
    return Result(
        record.key,
        record.job.backend,
        first.running_loss,
        last.test_accuracy,
        record.data.test_examples,
    )


def judge(group: Sequence[Result]) -> dict[str, str]:
    """Why each result of a group disagrees, by key, "" if it agrees; empty with a single backend.

    A result is compared with the median of the other backends, never with their mean, which a wrong
    one moves. An even number of others, or of their rounds, has two values in the middle, and a
    result must be far from both to disagree: a value halfway between a right and a wrong one says
    nothing. With two backends nobody can say which is wrong, so both disagree.
    """
    by_backend: dict[str, list[Result]] = defaultdict(list)
    for result in group:
        by_backend[result.backend].append(result)
    if len(by_backend) < 2:  # noqa: PLR2004 - a comparison takes two
        return {}
    losses = {name: _middle([result.loss for result in own]) for name, own in by_backend.items()}
    known = {
        name: [one.accuracy for one in own if one.accuracy is not None]
        for name, own in by_backend.items()
    }
    accuracies = {name: _middle(values) for name, values in known.items() if values}
    of_two = len(by_backend) == 2  # noqa: PLR2004 - then the other one is named
    found: dict[str, str] = {}
    for backend, own in by_backend.items():
        other = next(name for name in by_backend if name != backend) if of_two else ""
        loss, accuracy = (_middle_of_others(values, backend) for values in (losses, accuracies))
        found |= {result.key: _why(result, loss, accuracy, other) for result in own}
    return found


class _Middle(NamedTuple):
    """The two values in the middle; with an odd number of values they are the same one."""

    low: float
    high: float

    def say(self, form: Callable[[float], str], *, of_two: bool) -> str:
        """In words: as a range if it is of one backend's rounds (`of_two`), else as the median."""
        low, high = form(self.low), form(self.high)
        return f"{low} to {high}" if of_two and low != high else form((self.low + self.high) / 2)


def _middle(values: Sequence[float]) -> _Middle:
    return _Middle(median_low(values), median_high(values))


def _middle_of_others(values: Mapping[str, _Middle], backend: str) -> _Middle | None:
    others = [value for name, value in values.items() if name != backend]
    if not others:
        return None
    return _Middle(median_low(o.low for o in others), median_high(o.high for o in others))


def _why(result: Result, loss: _Middle | None, accuracy: _Middle | None, other: str) -> str:
    """Why a result disagrees with the middle of the others; `other` is the name of a single one."""
    of_two, found = bool(other), []
    theirs = f"{other} has" if of_two else "the median of the others is"
    if loss is not None and all(_far(result.loss, middle, both_ways=of_two) for middle in loss):
        found.append(
            f"loss {_loss(result.loss)} after epoch 1, {theirs} {loss.say(_loss, of_two=of_two)}"
        )
    if result.accuracy is not None and accuracy is not None and result.images > 0:
        ours, images = result.accuracy, result.images
        if _below(ours, accuracy.low, images) or (of_two and _below(accuracy.high, ours, images)):
            found.append(
                f"accuracy {_percent(ours)}, {theirs} {accuracy.say(_percent, of_two=of_two)}"
            )
    if found and of_two:
        found.append("these two disagree, and one is wrong")
    return "; ".join(found)


def _loss(value: float) -> str:
    return f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _far(loss: float, middle: float, *, both_ways: bool) -> bool:
    """Whether a loss is off by more than the margin, a share of `middle`; or of the smaller one."""
    whole = min(abs(loss), abs(middle)) if both_ways else abs(middle)
    return abs(loss - middle) > LOSS_MARGIN * whole


def _below(accuracy: float, other: float, images: int) -> bool:
    error = hypot(binomial_error(accuracy, images), binomial_error(other, images))
    return other - accuracy > max(STANDARD_ERRORS * error, ACCURACY_MARGIN)
