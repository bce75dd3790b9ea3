"""Compares an exported model's predictions with the reference, in a process of its reader.

The reference has the weights that the model was written from, not those in the written files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.contract import Job, Weights
from backends.exports.contract import Reader
from bench.worker import examples
from bench.worker.adapter import load_class
from bench.worker.assignment import ReadExported
from bench.worker.lines import INFINITE, Compared
from bench.worker.tell import Tell
from bench.worker.verification import tolerances
from bench.worker.verification.expected import make_reference
from specs.shapes import infer_shapes

# The reference predicts images for some seconds, a few at a time, as the windows of a convolution
# need much memory.
_MOST_FLOPS, _AT_ONCE = 2e10, 50


def work(assignment: ReadExported, tell: Tell) -> None:
    """Read the files, predict test images, and tell the deviation.

    Raises:
        ValueError: the model does not have a probability per class.
    """
    job = assignment.job
    files = [Path(file) for file in assignment.files]
    reader: Reader = load_class(assignment.adapter)(files, job.threads)
    images, _ = examples.read_part(Path(assignment.data), "test")
    flops = sum(shape.forward_flops for shape in infer_shapes(job.workload))
    count = min(len(images), max(1, int(_MOST_FLOPS / flops)))
    images = images[np.unique(np.linspace(0, len(images) - 1, count).astype(int))]
    with np.load(assignment.weights, allow_pickle=False) as weights:
        logits = _exact_logits(job, dict(weights), images)
    predicted = reader.predict(images)
    if predicted.shape != logits.shape:
        raise ValueError(f"found probabilities {predicted.shape}, expected {logits.shape}")
    right = _softmax(logits)
    deviation = float(np.abs(predicted - right).max())
    depth = sum(bool(shape.parameters) for shape in infer_shapes(job.workload))
    tell(
        Compared(
            images=len(images),
            deviation=deviation if np.isfinite(deviation) else INFINITE,
            tolerance=tolerances.probabilities(depth, float(np.abs(logits).max())),
            other_classes=int((predicted.argmax(axis=1) != right.argmax(axis=1)).sum()),
        )
    )


def _exact_logits(job: Job, weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float64]:
    reference = make_reference(job, weights)
    starts = range(0, len(images), _AT_ONCE)
    return np.concatenate(
        [reference.exact_logits(images[start : start + _AT_ONCE]) for start in starts]
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
