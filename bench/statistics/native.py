"""Whether native jobs are about as accurate as the matched jobs of their group.

In native mode a framework draws its own initial weights and shuffles by itself. So a native job is
like a matched job with another seed. It is compared with the matched jobs only if its optimizer has
the workload's learning rate. With the framework's default rate a correct job may learn little:
after an epoch of 4,000 images of `cnn`, Adadelta reached 74 to 85 % with the workload's rate, and
6 % with Keras's default.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from math import hypot, isclose, log, sqrt
from statistics import median

from msgspec.structs import replace

from backends.contract import kind_of
from bench.records.job import Group, Record, group_of, without_labels
from bench.statistics.accuracy import binomial_error
from bench.statistics.agreement import model_kind

# The largest differences of two correct jobs with different seeds, in the logarithm of the odds
# (right to wrong answers), in the trainings of `tests/support/trainings.json`:
# - convex models: 0.18 with up to 20,000 images seen (images times epochs), 0.03 with 120,000;
# - others: 0.99 with up to 20,000 (RMSprop's accuracy jumps), 0.53 with 60,000, 0.41 with 180,000.
# The margins are at least twice as large. They hold for 60,000 images, and are multiplied by
# sqrt(60,000 / images seen).
_SEEN = 60_000
_ODDS, _ODDS_OF_CONVEX = 1.42, 0.25
_LEAST_SEEN, _MOST_SEEN = 20_000, 180_000  # no trainings outside: there the margin is constant
_BATCH_SIZE = 128  # of those trainings; a larger batch makes fewer steps
# An accuracy is worse only if it is lower by more than both bounds, as for matched jobs (see
# `bench.statistics.agreement`).
_STANDARD_ERRORS, _LEAST_POINTS = 6.0, 0.01
# With another seed, the loss of an epoch was up to 1.27 times as large: the square is allowed.
# A small loss has no meaningful share: a tenth of the first epoch's loss is added to it.
_LOSS, _SMALL_SHARE = 1.6, 0.1
_RATE = re.compile(r"\b(?:lr|learning_rate)=(\d+(?:\.\d*)?(?:e[-+]?\d+)?)")


def native_suspicions(native: Iterable[Record], matched: Iterable[Record]) -> dict[str, str]:
    """The reason why each native job is much worse than its matched group; "" if it is not.

    Args:
        native: records of native mode that ended ok.
        matched: records of matched mode without doubts. A group has the same workload, data,
            epochs, batch size, precision and kind of device. Machines, threads and seeds may
            differ: the margins cover their effect.

    Returns:
        key of the record -> reason, for every native job that is compared with a matched one.
    """
    groups: dict[Group, list[Record]] = defaultdict(list)
    for record in matched:
        groups[_group(record)].append(record)
    return {
        record.key: _reason(record, of_group)
        for record in native
        if has_its_workloads_rate(record) and (of_group := groups.get(_group(record)))
    }


def has_its_workloads_rate(record: Record) -> bool:
    """Whether the optimizer of a native job reports the workload's learning rate."""
    text = record.startup.settings.get("optimizer") if record.startup else None
    match = _RATE.search(str(text))
    rate = record.job.workload.optimizer.learning_rate
    return match is not None and isclose(float(match[1]), rate, rel_tol=1e-5)


def _group(record: Record) -> Group:
    device = kind_of(record.job.device)
    return group_of(replace(record.job, device=device, threads=1), record.data.checksum, machine="")


def _reason(record: Record, matched: list[Record]) -> str:
    """Which figures of the last epoch are much worse than the matched median, as text; or ""."""
    last = record.epochs[-1]
    accuracy = median(job.epochs[-1].test_accuracy for job in matched)
    loss, first = (median(job.epochs[epoch].running_loss for job in matched) for epoch in (-1, 0))
    theirs = f"{len(matched)} matched jobs have" if len(matched) > 1 else "the matched job has"
    parts = []
    if shortfall(last.test_accuracy, accuracy, record) > 1:
        parts.append(f"accuracy {100 * last.test_accuracy:.2f} %, {theirs} {100 * accuracy:.2f} %")
    if excess(last.running_loss, loss, first) > 1:
        parts.append(f"loss {last.running_loss:.3g} in the last epoch, {theirs} {loss:.3g}")
    return "; ".join(parts)


def shortfall(accuracy: float, other: float, record: Record) -> float:
    """How far an accuracy is below another one, in units of the margin; above 1 is much worse.

    Args:
        accuracy: the accuracy of a native job (0..1).
        other: the accuracy of matched jobs (0..1).
        record: the native job's record; its model, training and test images matter.
    """
    images = record.data.test_examples
    if images < 1:
        return 0.0
    points = other - accuracy
    errors = hypot(*(binomial_error(value, images) for value in (accuracy, other)))
    by_chance = max(_STANDARD_ERRORS * errors, _LEAST_POINTS)
    odds = _log_odds(other, images) - _log_odds(accuracy, images)
    return max(0.0, min(points / by_chance, odds / _margin(record)))


def excess(loss: float, other: float, first: float) -> float:
    """How far a loss is above another one, in units of the margin; above 1 is much worse.

    Args:
        loss: the loss of the last epoch of a native job.
        other: the same of matched jobs.
        first: the loss of the first epoch of the matched jobs.
    """
    small = _SMALL_SHARE * abs(first)
    if not loss + small > 0 or not other + small > 0:  # NaN is not above
        return 0.0
    return max(0.0, log((loss + small) / (other + small)) / log(_LOSS))


def _margin(record: Record) -> float:
    """The largest shortfall of a correct native job's accuracy, in log odds."""
    job, examples = record.job, record.data.train_examples
    images_seen = examples * job.epochs * min(1.0, _BATCH_SIZE / job.batch_size)
    convex = model_kind(without_labels(job.workload)) == "convex"
    odds = _ODDS_OF_CONVEX if convex else _ODDS
    return odds * sqrt(_SEEN / min(max(images_seen, _LEAST_SEEN), _MOST_SEEN))


def _log_odds(accuracy: float, images: int) -> float:
    """The log odds of an accuracy, which is kept at least half an image away from 0 and 1."""
    inner = min(max(accuracy, 0.5 / images), 1 - 0.5 / images)
    return log(inner / (1 - inner))
