"""The check of a framework's own dropout, which timed runs use.

It checks the fraction kept, the scale, and that every value is drawn independently.

The model has two dropouts (of the images, and of the flattened vector) and a dense layer whose
weights start at 0. In example e only the pixels of channel e are not 0. So after the epoch the
weights of a pixel of channel e differ from 0 exactly if both dropouts kept that pixel. The weights
thus show the pixels that were kept. The reference is trained with these pixels as its masks, and
must reach the same weights; this checks the scales.
"""

from __future__ import annotations

import msgspec
import numpy as np

from backends.contract import Job
from bench.worker.lines import Finding
from bench.worker.verification import tolerances
from bench.worker.verification.cases import Case, MakeBackend, make_reference, ready
from bench.worker.verification.checks import difference, finding, weight_differences
from bench.worker.verification.models import DROPOUT_ALIKE, DROPOUT_EXAMPLES, DROPOUT_PROBE
from specs.initial import initial_weights
from specs.model import Dropout

_UNITS = 100  # the pixels of one channel
_KERNEL = "3.kernel"


def check_dropout(make: MakeBackend, job: Job) -> Finding:
    """Check the values that dropout keeps, and its scale: 20,000 values in two epochs.

    An error of 3 percentage points in the fraction kept, or a correlation of 0.1 with the last
    epoch, batch, example or unit, is found in 99 of 100 verifications. Counts are compared in
    standard deviations (see `tolerances.DROPOUT_DEVIATIONS`).
    """
    channels = np.eye(DROPOUT_EXAMPLES, dtype=np.float32)
    shape = (DROPOUT_EXAMPLES, *DROPOUT_PROBE.input.shape)
    images = np.broadcast_to(channels[:, None, None, :], shape).copy()
    labels = np.arange(DROPOUT_EXAMPLES) % DROPOUT_PROBE.input.classes
    job = msgspec.structs.replace(job, workload=DROPOUT_PROBE)
    case = Case(job=job, images=images, labels=labels, order=np.arange(DROPOUT_EXAMPLES))
    backend, kept, deviations = ready(make, case), [], {}
    for epoch in range(2):
        backend.set_weights(initial_weights(DROPOUT_PROBE, 0))
        backend.train_epoch(case.order)
        weights, reference = backend.get_weights(), make_reference(case)
        kept.append(_kept_pixels(weights[_KERNEL]))
        mask = _as_mask(kept[-1])
        reference.train_epoch(case.order, [mask, mask.reshape(len(mask), -1)])
        tolerance = tolerances.weights(len(case.order) // job.batch_size)
        for name, value in weight_differences(weights, reference.get_weights()):
            rounding = tolerances.of_lower(job.precision, reference.get_weights()[name])
            deviations[f"scale, epoch {epoch}, {name}"] = value / (tolerance + rounding)
        expected = reference.predict(images)
        tolerance = tolerances.logits(1) + 10 * tolerances.weights(epoch + 1)
        tolerance += tolerances.of_lower(job.precision, expected)
        deviations["on in prediction"] = difference(backend.predict(images), expected) / tolerance
    same = _share_same_for_batch(make, job)
    deviations["the same for a whole batch"] = same / tolerances.DROPOUT_ALIKE_SHARE
    counts = _counts(np.stack(kept), _expected_share(), job.batch_size)
    deviations |= {
        name: abs(value) / tolerances.DROPOUT_DEVIATIONS for name, value in counts.items()
    }
    return finding("dropout", deviations)


def _share_same_for_batch(make: MakeBackend, job: Job) -> float:
    """The share of pixels that dropout kept for all examples of a batch, or dropped for all.

    With a correct dropout it is about 1 in 1,000. The batch has 16 identical images, each with a
    different label. If a pixel was kept for all examples or for none, its weights change by the
    same amount for all classes. Otherwise they change by different amounts.
    """
    size = DROPOUT_ALIKE.input.classes
    job = msgspec.structs.replace(job, workload=DROPOUT_ALIKE, batch_size=size)
    images = np.ones((size, *DROPOUT_ALIKE.input.shape), np.float32)
    backend = ready(
        make, Case(job=job, images=images, labels=np.arange(size), order=np.arange(size))
    )
    backend.train_epoch(np.arange(size))
    # The range over the classes (pixels,); it is a multiple of the step of one example.
    ranges = np.ptp(backend.get_weights()[_KERNEL], axis=1)
    step = DROPOUT_ALIKE.optimizer.learning_rate / size
    return float((ranges < 0.5 * step).mean())


def _expected_share() -> float:
    """The share of values that both dropouts together keep."""
    return float(
        np.prod([1.0 - layer.rate for layer in DROPOUT_PROBE.layers if isinstance(layer, Dropout)])
    )


def _kept_pixels(kernel: np.ndarray) -> np.ndarray:
    """Whether each pixel was kept (examples, units), from the kernel (pixels x channels, classes).

    Row p * 100 + e of the kernel belongs to pixel p of example e.
    """
    changed: np.ndarray = (kernel != 0.0).any(axis=1).reshape(_UNITS, DROPOUT_EXAMPLES)
    return changed.T


def _as_mask(kept: np.ndarray) -> np.ndarray:
    """The mask (examples, 10, 10, channels) of the images; a pixel of value 0 may have any mask."""
    mask = np.ones((DROPOUT_EXAMPLES, *DROPOUT_PROBE.input.shape), np.bool_)
    rows = np.arange(DROPOUT_EXAMPLES)
    mask[rows, :, :, rows] = kept.reshape(DROPOUT_EXAMPLES, 10, 10)
    return mask


def _counts(kept: np.ndarray, share: float, size: int) -> dict[str, float]:
    """The counts by name: their distances from the expected values, in standard deviations.

    A correlation is the sum of products of deviations from the expected share. Products of
    overlapping pairs are uncorrelated, so their sum has the same variance as a sum of independent
    products.

    Args:
        kept: (epochs, examples, units).
        share: the expected share.
        size: examples in a batch.
    """
    variance = share * (1.0 - share)
    deviations = kept - share
    pairs = {
        "the same in every epoch": (deviations[0], deviations[1]),
        "the same in every step": (deviations[:, :-size], deviations[:, size:]),
        "the same in every example": (deviations[:, :-1], deviations[:, 1:]),
        "the same in neighbouring units": (deviations[:, :, :-1], deviations[:, :, 1:]),
    }
    counts = {
        name: float((a * b).sum() / (variance * np.sqrt(a.size))) for name, (a, b) in pairs.items()
    }
    counts["fraction kept"] = float(deviations.sum() / np.sqrt(variance * deviations.size))
    for name, axes in (
        ("some units more than others", (0, 1)),
        ("some examples more than others", (0, 2)),
    ):
        sums = deviations.sum(axis=axes)
        squares = (sums**2).sum() / (variance * deviations.size / sums.size)  # a chi-square
        counts[name] = float((squares - sums.size) / np.sqrt(2 * sums.size))
    return counts
