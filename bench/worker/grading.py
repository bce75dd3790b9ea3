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
        loss: which loss.

    Raises:
        ValueError: there are more logits than labels, or fewer.
    """
    if logits.shape[0] != labels.shape[0]:
        raise ValueError(f"{len(logits)} rows of logits for {len(labels)} examples")
    wide, rows = logits.astype(np.float64), np.arange(len(labels))
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))  # now logarithms of probabilities
    if loss == "softmax_cross_entropy":
        losses = -wide[rows, labels]
    else:
        errors = np.exp(wide)
        errors[rows, labels] -= 1.0
        losses = (errors**2).mean(axis=1)
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())
