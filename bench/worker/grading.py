"""Loss and accuracy, computed once for all backends, from logits."""

from __future__ import annotations

import numpy as np

from backends.contract import Labels, Logits
from specs.model import Loss


def grade(logits: Logits, labels: Labels, loss: Loss) -> tuple[float, float]:
    """The mean loss and the accuracy (0..1), computed in float64.

    Args:
        logits: (n, classes).
        labels: (n,).
        loss: the workload's loss.

    Raises:
        ValueError: the numbers of logits and labels differ.
    """
    if logits.shape[0] != labels.shape[0]:
        raise ValueError(f"{len(logits)} rows of logits for {len(labels)} examples")
    rows = np.arange(len(labels))
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if loss == "softmax_cross_entropy":
        losses = -log_probabilities[rows, labels]
    else:
        errors = np.exp(log_probabilities)
        errors[rows, labels] -= 1.0
        losses = (errors**2).mean(axis=1)
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())
