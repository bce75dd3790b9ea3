"""Do the backends of a run agree? A job whose figures are far from those of the other backends has a wrong result.

In matched mode all backends of a group (one workload, data set, device, batch size and seed) start from the same
weights and see the same batches, so one seed is enough to see a gross error. Nothing of this is stored in records: it
is judged whenever they are read. The bounds are for gross errors; whether backends are equal is asked by
`bench.statistics`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import hypot
from statistics import median, median_high, median_low
from typing import NamedTuple

from backends.contract import Job
from bench.record import Record, meaning
from bench.statistics import binomial_error
from specs.model import Workload

# Of the median of the others. In 81 recorded pairs of correct backends the largest deviation was 2.7 %; a backend whose
# convolutions had no gradients was 93.5 % off.
LOSS_MARGIN = 0.10
# Both together, as one correct pair on 1,000 images after one epoch was 4.5 standard errors and 8.0 points apart, and
# on 10,000 images 6 standard errors are less than a point.
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
    """By key, of every job that can be compared with another backend: why it disagrees, "" if it agrees.

    Args:
        records: of any runs and machines; those that did not end ok, and native mode, are left out.
    """
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    trained: dict[int, Workload] = {}  # by identity: a workload is compared once, not for each of 100,000 records
    for record in (records := list(records)):  # which keeps them, so that no identity is used twice
        if record.status == "ok" and record.job.mode == "matched":
            workload = record.job.workload
            if id(workload) not in trained:
                what = meaning(workload)
                trained[id(workload)] = next((known for known in trained.values() if known == what), what)
            place = (id(trained[id(workload)]), record.machine.name, *_conditions(record.job, record.data.checksum))
            groups[place].append(result_of(record))
    return {key: why for group in groups.values() for key, why in judge(group).items()}


def group_of(job: Job, data_checksum: str) -> tuple[object, ...]:
    """What jobs on one machine must have in common to be compared."""
    return meaning(job.workload), *_conditions(job, data_checksum)


def result_of(record: Record) -> Result:
    """What a record that ended ok is judged by."""
    first, last = record.epochs[0], record.epochs[-1]
    return Result(record.key, record.job.backend, first.running_loss, last.test_accuracy, record.data.test_examples)


def judge(group: Sequence[Result]) -> dict[str, str]:
    """By key why each result of a group disagrees, "" if it agrees; nothing where there is one backend only.

    A result is compared with the median of the other backends, never with their mean, which a wrong one moves. Of an
    even number of others it must be far from both in the middle: a value halfway between a right and a wrong one says
    nothing. Of two backends nobody can say which is wrong, so both disagree.
    """
    losses: dict[str, list[float]] = defaultdict(list)
    accuracies: dict[str, list[float]] = defaultdict(list)
    for result in group:
        losses[result.backend].append(result.loss)
        if result.accuracy is not None:
            accuracies[result.backend].append(result.accuracy)
    loss_of = {backend: median(values) for backend, values in losses.items()}
    accuracy_of = {backend: median(values) for backend, values in accuracies.items()}
    return {result.key: _why(result, loss_of, accuracy_of) for result in group} if len(loss_of) > 1 else {}


def _why(result: Result, loss_of: dict[str, float], accuracy_of: dict[str, float]) -> str:
    names = [backend for backend in loss_of if backend != result.backend]
    losses = [loss_of[backend] for backend in names]
    accuracies = [accuracy_of[backend] for backend in names if backend in accuracy_of]
    of_two = len(names) == 1
    theirs = f"{names[0]} has" if of_two else "the median of the others is"
    found = []
    if all(_far(result.loss, middle, both_ways=of_two) for middle in (median_low(losses), median_high(losses))):
        found.append(f"loss {result.loss:.3g} after epoch 1, {theirs} {median(losses):.3g}")
    if result.accuracy is not None and accuracies and result.images > 0:
        ours, least = result.accuracy, median_low(accuracies)
        if _below(ours, least, result.images) or (of_two and _below(least, ours, result.images)):
            found.append(f"accuracy {100 * ours:.2f} %, {theirs} {100 * median(accuracies):.2f} %")
    return "; ".join([*found, "these two disagree, and one is wrong"] if found and of_two else found)


def _far(loss: float, middle: float, *, both_ways: bool) -> bool:
    """Whether a loss is off by more than the margin; of two, by more than that of the smaller."""
    return abs(loss - middle) > LOSS_MARGIN * (min(abs(loss), abs(middle)) if both_ways else abs(middle))


def _below(accuracy: float, other: float, images: int) -> bool:
    error = hypot(binomial_error(accuracy, images), binomial_error(other, images))
    return other - accuracy > max(STANDARD_ERRORS * error, ACCURACY_MARGIN)


def _conditions(job: Job, data_checksum: str) -> tuple[object, ...]:
    return data_checksum, job.device, job.threads, job.precision, job.batch_size, job.seed, job.epochs
