"""The check of a framework's own dropout, which timed runs use.

It checks the share that is kept, the scale, and that every value is drawn independently.

The model is two dropouts (of the images, and of the vector that they are flattened to) and a dense
layer whose weights are 0. In example e only the pixels of channel e are not 0. So after the epoch
the weights of those pixels differ from 0 exactly where both dropouts kept the pixel, and the
weights show what both kept together. The reference gets this as its masks and must reach the same
weights: this checks the scales.
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
    """Check what dropout keeps, and its scale, on 20,000 values: two epochs of 100 examples.

    A share that is wrong by 3 percentage points is found in 99 of 100 verifications, and so is a
    correlation of 0.1 with the last epoch, batch, example or unit. Counts are compared in standard
    deviations (see `tolerances.DROPOUT_DEVIATIONS`).
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
        found, reference = backend.get_weights(), make_reference(case)
        kept.append(_read(found[_KERNEL]))
        mask = _as_mask(kept[-1])
        reference.train_epoch(case.order, [mask, mask.reshape(len(mask), -1)])
        tolerance = tolerances.weights(len(case.order) // job.batch_size)
        for name, value in weight_differences(found, reference.get_weights()):
            deviations[f"scale, epoch {epoch}, {name}"] = value / tolerance
        logits = difference(backend.predict(images), reference.predict(images))
        tolerance = tolerances.logits(1) + 10 * tolerances.weights(epoch + 1)
        deviations["on in prediction"] = logits / tolerance
    alike = _share_alike(make, job)
    deviations["the same for a whole batch"] = alike / tolerances.DROPOUT_ALIKE_SHARE
    counts = _counts(np.stack(kept), _share(), job.batch_size)
    deviations |= {
        name: abs(value) / tolerances.DROPOUT_DEVIATIONS for name, value in counts.items()
    }
    return finding("dropout", deviations)


def _share_alike(make: MakeBackend, job: Job) -> float:
    """The share of pixels that dropout kept for all examples of a batch, or dropped for all.

    A correct dropout does so for about 1 pixel in 1,000. The batch is 16 equal images, one of each
    class. The weights of a pixel move by the same amount for every class only if the pixel was kept
    for all examples or for none; this amount is 0.
    """
    size = DROPOUT_ALIKE.input.classes
    job = msgspec.structs.replace(job, workload=DROPOUT_ALIKE, batch_size=size)
    images = np.ones((size, *DROPOUT_ALIKE.input.shape), np.float32)
    backend = ready(
        make, Case(job=job, images=images, labels=np.arange(size), order=np.arange(size))
    )
    backend.train_epoch(np.arange(size))
    # (pixels,): a multiple of the step of one example.
    moved = np.ptp(backend.get_weights()[_KERNEL], axis=1)
    step = DROPOUT_ALIKE.optimizer.learning_rate / size
    return float((moved < 0.5 * step).mean())


def _share() -> float:
    """The share of values that both dropouts together keep."""
    return float(
        np.prod([1.0 - layer.rate for layer in DROPOUT_PROBE.layers if isinstance(layer, Dropout)])
    )


def _read(kernel: np.ndarray) -> np.ndarray:
    """What was kept (examples, units), read from the kernel (pixels x channels, classes).

    Row p * 100 + e of the kernel belongs to pixel p of example e.
    """
    moved: np.ndarray = (kernel != 0.0).any(axis=1).reshape(_UNITS, DROPOUT_EXAMPLES)
    return moved.T


def _as_mask(kept: np.ndarray) -> np.ndarray:
    """The mask (examples, 10, 10, channels) of the images; a pixel of value 0 may have any mask."""
    mask = np.ones((DROPOUT_EXAMPLES, *DROPOUT_PROBE.input.shape), np.bool_)
    rows = np.arange(DROPOUT_EXAMPLES)
    mask[rows, :, :, rows] = kept.reshape(DROPOUT_EXAMPLES, 10, 10)
    return mask


def _counts(kept: np.ndarray, share: float, size: int) -> dict[str, float]:
    """The counts by name, in standard deviations from what a correct dropout gives on average.

    A correlation is the sum of products of deviations from the expected share. Products of pairs
    that overlap are uncorrelated, so that their sum has the same variance as a sum of independent
    products.

    Args:
        kept: (epochs, examples, units).
        share: the expected share.
        size: examples in a batch.
    """
    variance = share * (1.0 - share)
    away = kept - share
    pairs = {
        "the same in every epoch": (away[0], away[1]),
        "the same in every step": (away[:, :-size], away[:, size:]),
        "the same in every example": (away[:, :-1], away[:, 1:]),
        "the same in neighbouring units": (away[:, :, :-1], away[:, :, 1:]),
    }
    found = {
        name: float((a * b).sum() / (variance * np.sqrt(a.size))) for name, (a, b) in pairs.items()
    }
    found["fraction kept"] = float(away.sum() / np.sqrt(variance * away.size))
    for name, axes in (
        ("some units more than others", (0, 1)),
        ("some examples more than others", (0, 2)),
    ):
        sums = away.sum(axis=axes)
        squares = (sums**2).sum() / (variance * away.size / sums.size)  # a chi-square
        found[name] = float((squares - sums.size) / np.sqrt(2 * sums.size))
    return found
