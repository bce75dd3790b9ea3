"""The check of a framework's own dropout, which timed runs use: share kept, scale, and fresh for every value.

A model of one dense layer behind two dropouts (of images, and of the vector they become), its
weights at 0, in which example e lights the pixels of channel e alone: then the weights of those
pixels have moved after the epoch exactly where both dropouts kept them. So what they kept together
is read off the weights; the reference, given that, must reach the same weights, which proves the
scales.
"""

from __future__ import annotations

import msgspec
import numpy as np

from backends.contract import Job
from bench.worker.lines import Finding
from bench.worker.proof import tolerances
from bench.worker.proof.cases import Case, MakeBackend, make_reference, ready
from bench.worker.proof.checks import difference, finding, weight_differences
from bench.worker.proof.models import DROPOUT_ALIKE, DROPOUT_EXAMPLES, DROPOUT_PROBE
from specs.initial import initial_weights
from specs.model import Dropout

_UNITS = 100  # the pixels of one channel
_KERNEL = "3.kernel"


def check_dropout(make: MakeBackend, job: Job) -> Finding:
    """What the framework's own dropout keeps in two epochs of 100 examples, as 20,000 throws of a coin, and its scale.

    A share that is off by 3 points, or a correlation of 0.1 with the last epoch, batch, example or
    unit, is found in 99 of 100 proofs; the counts are compared in standard deviations (see
    `tolerances.DROPOUT_DEVIATIONS`).
    """
    channels = np.eye(DROPOUT_EXAMPLES, dtype=np.float32)
    images = np.broadcast_to(
        channels[:, None, None, :], (DROPOUT_EXAMPLES, *DROPOUT_PROBE.input.shape)
    ).copy()
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
        for name, value in weight_differences(found, reference.get_weights()):
            deviations[f"scale, epoch {epoch}, {name}"] = value / tolerances.weights(
                len(case.order) // job.batch_size
            )
        logits = difference(backend.predict(images), reference.predict(images))
        deviations["on in prediction"] = logits / (
            tolerances.logits(1) + 10 * tolerances.weights(epoch + 1)
        )
    deviations["the same for a whole batch"] = (
        _share_alike(make, job) / tolerances.DROPOUT_ALIKE_SHARE
    )
    counts = _counts(np.stack(kept), _share(), job.batch_size)
    deviations |= {
        name: abs(value) / tolerances.DROPOUT_DEVIATIONS for name, value in counts.items()
    }
    return finding("dropout", deviations)


def _share_alike(make: MakeBackend, job: Job) -> float:
    """The share of pixels that dropout kept, or dropped, for all examples of a batch: fair throws leave 1 in 1,000.

    16 images all alike, one of each class: the weights of a pixel move by the same for every class,
    that is by 0, only where it was kept for all examples, or for none.
    """
    size = DROPOUT_ALIKE.input.classes
    job = msgspec.structs.replace(job, workload=DROPOUT_ALIKE, batch_size=size)
    images = np.ones((size, *DROPOUT_ALIKE.input.shape), np.float32)
    backend = ready(
        make, Case(job=job, images=images, labels=np.arange(size), order=np.arange(size))
    )
    backend.train_epoch(np.arange(size))
    moved = np.ptp(
        backend.get_weights()[_KERNEL], axis=1
    )  # (pixels,); a multiple of the step of one example
    step = DROPOUT_ALIKE.optimizer.learning_rate / size
    return float((moved < 0.5 * step).mean())


def _share() -> float:
    """What both dropouts keep together."""
    return float(
        np.prod([1.0 - layer.rate for layer in DROPOUT_PROBE.layers if isinstance(layer, Dropout)])
    )


def _read(kernel: np.ndarray) -> np.ndarray:
    """What was kept (examples, units), off the kernel (pixels x channels, classes): row p * 100 + e is example e's."""
    moved: np.ndarray = (kernel != 0.0).any(axis=1).reshape(_UNITS, DROPOUT_EXAMPLES)
    return moved.T


def _as_mask(kept: np.ndarray) -> np.ndarray:
    """(examples, 10, 10, channels): what dark pixels do changes nothing."""
    mask = np.ones((DROPOUT_EXAMPLES, *DROPOUT_PROBE.input.shape), np.bool_)
    rows = np.arange(DROPOUT_EXAMPLES)
    mask[rows, :, :, rows] = kept.reshape(DROPOUT_EXAMPLES, 10, 10)
    return mask


def _counts(kept: np.ndarray, share: float, size: int) -> dict[str, float]:
    """Of what was kept (epochs, examples, units), in standard deviations from fair throws.

    A correlation is the mean of products of deviations from the share expected; products of pairs
    that overlap are uncorrelated, so that their sum has the variance of as many independent ones.
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
    found["share kept"] = float(away.sum() / np.sqrt(variance * away.size))
    for name, axes in (
        ("some units more than others", (0, 1)),
        ("some examples more than others", (0, 2)),
    ):
        sums = away.sum(axis=axes)
        squares = (sums**2).sum() / (variance * away.size / sums.size)  # a chi-square
        found[name] = float((squares - sums.size) / np.sqrt(2 * sums.size))
    return found
