"""Whether native jobs are about as accurate as the matched jobs of their group.

In native mode a framework draws its own initial weights and shuffles by itself, so its job is like
a matched one with another seed. It is held to the matched jobs only if its optimizer has the
workload's learning rate. With a framework's own rate a correct job may learn little: after an epoch
of 4,000 images of `cnn`, Adadelta had 74 to 85 % with the workload's rate, and 6 % with Keras's.
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

# How far the accuracies of two correct jobs with different seeds were apart, in the logarithm of
# the odds (right to wrong answers), in the trainings of `tests/support/trainings.json`:
# - convex models: 0.18 with up to 20,000 images seen (images times epochs), 0.03 with 120,000;
# - others: 0.99 with up to 20,000 (RMSprop's accuracy jumps), 0.53 with 60,000, 0.41 with 180,000.
# The margins are at least twice that: these at 60,000 images, times sqrt(60,000 / images seen).
_SEEN = 60_000
_ODDS, _ODDS_OF_CONVEX = 1.42, 0.25
_LEAST_SEEN, _MOST_SEEN = 20_000, 180_000  # outside the margin stays as it is: nothing is kept
_BATCH_SIZE = 128  # of those trainings; with larger batches as many images are fewer steps
# As for matched jobs, see `bench.statistics.agreement`: an accuracy that is worse by no more than
# this is no worse.
_STANDARD_ERRORS, _LEAST_POINTS = 6.0, 0.01
# The loss of an epoch with one seed was up to 1.27 times that with another: the square is allowed.
# A small loss has no meaningful share: a tenth of the first epoch's is added to it.
_LOSS, _SMALL_SHARE = 1.6, 0.1
_RATE = re.compile(r"\b(?:lr|learning_rate)=(\d+(?:\.\d*)?(?:e[-+]?\d+)?)")


def native_suspicions(native: Iterable[Record], matched: Iterable[Record]) -> dict[str, str]:
    """Why native jobs are much worse than the matched jobs of their group; "" if they are not.

    Args:
        native: records of native mode that ended ok.
        matched: records of matched mode that may be believed. Those of a group have the same
            workload, data, epochs, batch size, precision and kind of device; machines, threads and
            seeds may differ, which change an accuracy no more than the margins allow.

    Returns:
        key of the record -> reason, for every native job that is held to a matched one.
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
    found = _RATE.search(str(text))
    rate = record.job.workload.optimizer.learning_rate
    return found is not None and isclose(float(found[1]), rate, rel_tol=1e-5)


def _group(record: Record) -> Group:
    device = kind_of(record.job.device)
    return group_of(replace(record.job, device=device, threads=1), record.data.checksum, machine="")


def _reason(record: Record, matched: list[Record]) -> str:
    """The accuracy or loss of the last epoch that is much worse than the median of the others."""
    last = record.epochs[-1]
    accuracy = median(other.epochs[-1].test_accuracy for other in matched)
    loss, first = (
        median(other.epochs[epoch].running_loss for other in matched) for epoch in (-1, 0)
    )
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
        accuracy: of a native job (0..1).
        other: of matched jobs (0..1).
        record: of the native job: its model, its training and its test images matter.
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
        loss: of the last epoch of a native job.
        other: of matched jobs.
        first: of the first epoch of the matched jobs.
    """
    small = _SMALL_SHARE * abs(first)
    if not loss + small > 0 or not other + small > 0:  # a loss that is not a number is not above
        return 0.0
    return max(0.0, log((loss + small) / (other + small)) / log(_LOSS))


def _margin(record: Record) -> float:
    """How far below in log odds the accuracy of a correct native job may be."""
    job, examples = record.job, record.data.train_examples
    seen = examples * job.epochs * min(1.0, _BATCH_SIZE / job.batch_size)
    convex = model_kind(without_labels(job.workload)) == "convex"
    odds = _ODDS_OF_CONVEX if convex else _ODDS
    return odds * sqrt(_SEEN / min(max(seen, _LEAST_SEEN), _MOST_SEEN))


def _log_odds(accuracy: float, images: int) -> float:
    """Of an accuracy, which is taken to be at least half an image away from 0 and 1."""
    inner = min(max(accuracy, 0.5 / images), 1 - 0.5 / images)
    return log(inner / (1 - inner))
