"""Whether the backends of a run agree: a job far from the other backends has a wrong result.

In matched mode all backends of a group start with the same seed from the same weights and see the
same batches, so one seed is enough to see an error. Records do not store the result: it is computed
whenever they are read. `bench.statistics.accuracy` tests whether backends are equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import hypot, inf, sqrt
from statistics import median_high, median_low
from typing import NamedTuple

from backends.contract import Job
from bench.records.job import Group, Record, group_of, without_labels
from bench.statistics.accuracy import binomial_error
from specs.model import BatchNorm, Conv2d, Dense, Dropout, MaxPool2d, Workload

# The largest distance of an epoch's loss from the median of the other backends, as a share of this
# median. Correct backends differ by rounding, and training enlarges these differences. In the runs
# in `results/` the largest deviations were:
# - convex models (softmax regression): 6e-7 in 50 epochs;
# - smooth models: 9e-7 until the loss is a tenth of the first epoch's, then up to 0.2;
# - models with ReLU or max-pool, in which a unit may flip: 1e-3 in the first epoch of MNIST, 0.02
#   in the fifth, 0.1 in the tenth;
# - models with dropout, whose masks differ: 0.02 in the first epoch of 4,000 images, 0.04 in the
#   second of 12,000.
_TIGHT = 1e-4
_FLIPS, _FLIPS_STEPS = 0.03, 469
_MASKS, _MASKS_ERROR = 0.05, 3.0
_LARGEST = 0.5
# A small loss has no meaningful share: this share of the first epoch's loss is added to it.
_SMALL_SHARE = 0.1
# An accuracy disagrees if it is lower by more than both bounds. Both are needed: one correct pair
# on 1,000 images after one epoch was 8.0 points apart, which were 4.5 standard errors; on 10,000
# images 6 standard errors are less than a point.
STANDARD_ERRORS, ACCURACY_MARGIN = 6.0, 0.01


class Margins(NamedTuple):
    """The largest distance of each epoch's loss from the other backends' loss, as a share.

    Attributes:
        usual: the margin of each epoch.
        tight: an upper limit of the margin while the loss is at least `tight_down_to` times the
            first epoch's.
    """

    usual: tuple[float, ...]
    tight: float
    tight_down_to: float

    def at(self, epoch: int, share_of_first: float) -> float:
        """The margin of an epoch, counted from 0."""
        usual = self.usual[epoch]
        return min(usual, self.tight) if share_of_first >= self.tight_down_to else usual


class Result(NamedTuple):
    """The figures of one job that are compared with the other backends.

    Attributes:
        key: the key of the job's record.
        losses: the running loss of each epoch so far.
        margins: see `loss_margins`.
        accuracy: the test accuracy of the last epoch (0..1); None while the job is running.
        images: the number of test images.
    """

    key: str
    backend: str
    losses: tuple[float, ...]
    margins: Margins
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
    losses = tuple(epoch.running_loss for epoch in record.epochs)
    return Result(
        record.key,
        record.job.backend,
        losses,
        loss_margins(record.job, record.data.train_examples, len(losses)),
        record.epochs[-1].test_accuracy,
        record.data.test_examples,
    )


def loss_margins(job: Job, examples: int, epochs: int) -> Margins:
    """How far the losses of a job may be from the losses of the other backends.

    Args:
        job: its model, batch size and precision matter.
        examples: the number of training examples.
        epochs: the number of epochs.
    """
    kind = model_kind(without_labels(job.workload))
    # A lower precision enlarges the deviations of every model.
    kind = "flips" if job.precision != "float32" and kind != "masks" else kind
    return _margins(kind, -(-examples // job.batch_size), examples, epochs)


@cache
def _margins(kind: str, steps_per_epoch: int, examples: int, epochs: int) -> Margins:
    usual = []
    for epoch in range(1, epochs + 1):
        growth = sqrt(max(1.0, epoch * steps_per_epoch / _FLIPS_STEPS))
        with_masks = _MASKS * growth + _MASKS_ERROR / sqrt(examples)
        usual.append(min(with_masks if kind == "masks" else _FLIPS * growth, _LARGEST))
    tight = _TIGHT if kind in ("convex", "smooth") else inf
    return Margins(tuple(usual), tight, 0.0 if kind == "convex" else _SMALL_SHARE)


@cache
def model_kind(workload: Workload) -> str:
    """How a model enlarges rounding errors: "convex", "smooth", "flips" or "masks" (dropout)."""
    layers = workload.layers
    if any(isinstance(layer, Dropout) for layer in layers):
        return "masks"
    activations = {getattr(layer, "activation", "linear") for layer in layers}
    if activations & {"relu", "leaky_relu"} or any(isinstance(x, MaxPool2d) for x in layers):
        return "flips"
    trained = [layer for layer in layers if isinstance(layer, Dense | Conv2d | BatchNorm)]
    return "convex" if len(trained) == 1 else "smooth"


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
    if len(by_backend) < 2:  # noqa: PLR2004 - a comparison needs two
        return {}
    epochs = max(len(result.losses) for result in group)
    losses = [_medians(by_backend, epoch) for epoch in range(epochs)]
    known_accuracies = {
        name: [result.accuracy for result in results if result.accuracy is not None]
        for name, results in by_backend.items()
    }
    accuracies = {name: _median(values) for name, values in known_accuracies.items() if values}
    of_two = len(by_backend) == 2  # noqa: PLR2004 - the reason then names the other backend
    reasons: dict[str, str] = {}
    for backend, results in by_backend.items():
        other = next(name for name in by_backend if name != backend) if of_two else ""
        of_others = [_median_of_others(medians, backend) for medians in losses]
        accuracy = _median_of_others(accuracies, backend)
        reasons |= {result.key: _reason(result, of_others, accuracy, other) for result in results}
    return reasons


def _medians(by_backend: Mapping[str, list[Result]], epoch: int) -> dict[str, _Median]:
    """The median loss of an epoch (counted from 0) of each backend that has trained it."""
    losses = {
        name: [result.losses[epoch] for result in results if len(result.losses) > epoch]
        for name, results in by_backend.items()
    }
    return {name: _median(values) for name, values in losses.items() if values}


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


def _reason(
    result: Result, losses: Sequence[_Median | None], accuracy: _Median | None, other: str
) -> str:
    """The reason why a result disagrees with the medians of the others; "" if it agrees.

    `other` is the name of the other backend if there are only two, else "".
    """
    of_two, parts = bool(other), []
    theirs = f"{other} has" if of_two else "the median of the others is"
    if far := _first_far(result, losses, both_ways=of_two):
        epoch, median, margin = far
        form = f"{{:.{3 if margin > _TIGHT else 8}g}}".format
        loss, text = form(result.losses[epoch]), median.say(form, of_two=of_two)
        parts.append(f"loss {loss} in epoch {epoch + 1}, {theirs} {text}")
    if result.accuracy is not None and accuracy is not None and result.images > 0:
        ours, images = result.accuracy, result.images
        if _below(ours, accuracy.low, images) or (of_two and _below(accuracy.high, ours, images)):
            parts.append(
                f"accuracy {_percent(ours)}, {theirs} {accuracy.say(_percent, of_two=of_two)}"
            )
    if parts and of_two:
        parts.append("these two disagree, and one is wrong")
    return "; ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _first_far(
    result: Result, losses: Sequence[_Median | None], *, both_ways: bool
) -> tuple[int, _Median, float] | None:
    """The first epoch (from 0) whose loss is far from both medians of the others.

    The margin is a share of the median. If `both_ways`, it is a share of the smaller of the two
    losses, so that either both backends disagree or neither does.

    Returns:
        (epoch, its median, its margin), or None.
    """
    first = losses[0]
    for epoch, (loss, median) in enumerate(zip(result.losses, losses, strict=False)):
        if median is None or first is None:
            continue
        margin = result.margins.at(epoch, median.low / first.low if first.low else 0.0)
        small = _SMALL_SHARE * abs(first.low)
        wholes = (min(abs(loss), abs(value)) if both_ways else abs(value) for value in median)
        allowed = [margin * (whole + small) for whole in wholes]
        pairs = zip(median, allowed, strict=True)
        if not any(abs(loss - value) <= most for value, most in pairs):
            return epoch, median, margin
    return None


def _below(accuracy: float, other: float, images: int) -> bool:
    """Whether an accuracy is lower than `other` by more than both bounds."""
    error = hypot(binomial_error(accuracy, images), binomial_error(other, images))
    return other - accuracy > max(STANDARD_ERRORS * error, ACCURACY_MARGIN)
