"""Whether a job reached the known loss and accuracy of its workload, also if it runs alone.

The packaged workloads have bands of loss and accuracy per epoch, see `specs.bands`.
"""

from __future__ import annotations

from bench.records.job import Record, without_labels
from bench.statistics.accuracy import binomial_error
from specs.bands import Band, find_band

_STANDARD_ERRORS = 6.0
# After fewer steps a correct model may still miss classes, or be at chance.
_LEAST_STEPS = 100


def suspicion(record: Record, *, compared: bool) -> str:
    """Why the result of a job that ended ok is suspect; "" if it is not.

    Args:
        record: the record of a job in matched mode; for native mode see `bench.statistics.native`.
        compared: whether the job was compared with another backend. If so, the workload is the
            cause of a model that does not learn.
    """
    band = band_of(record)
    if band is not None:
        return _outside(record, band)
    return "" if compared else _not_learnt(record)


def band_of(record: Record) -> Band | None:
    """The known band of a job; None if there is none."""
    job = record.job
    if job.batch_size != job.workload.recipe.batch_size:
        return None
    return find_band(without_labels(job.workload), record.data.name, record.data.train_examples)


def _outside(record: Record, band: Band) -> str:
    """The first epoch whose loss or accuracy is outside the band, in words."""
    for epoch in record.epochs:
        loss, accuracy = band.loss(epoch.number), band.accuracy(epoch.number)
        if not loss[0] <= epoch.running_loss <= loss[1]:
            return (
                f"loss {epoch.running_loss:.3g} in epoch {epoch.number}; expected: {loss[0]:.3g} to"
                f" {loss[1]:.3g}"
            )
        if not accuracy[0] <= epoch.test_accuracy <= accuracy[1]:
            low, high = (f"{100 * bound:.1f}" for bound in accuracy)
            return (
                f"accuracy {100 * epoch.test_accuracy:.2f} % after epoch {epoch.number}; expected:"
                f" {low} to {high} %"
            )
    return ""


def _not_learnt(record: Record) -> str:
    first, last = record.epochs[0], record.epochs[-1]
    classes, images = record.job.workload.input.classes, record.data.test_examples
    steps = -(-record.data.train_examples // record.job.batch_size) * len(record.epochs)
    if steps < _LEAST_STEPS:
        return ""
    chance = 1.0 / classes
    # NaN fails both comparisons.
    if len(record.epochs) > 1 and not last.running_loss < first.running_loss:
        return (
            f"the loss did not fall: {first.running_loss:.3g} in the first epoch,"
            f" {last.running_loss:.3g} in the last"
        )
    by_chance = chance + _STANDARD_ERRORS * binomial_error(chance, max(images, 1))
    if not last.test_accuracy > by_chance:
        return f"accuracy {100 * last.test_accuracy:.2f} % is no better than chance"
    if last.predicted_classes is not None and last.predicted_classes < classes:
        return f"{classes - last.predicted_classes} of {classes} classes are never predicted"
    return ""
