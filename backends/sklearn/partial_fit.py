"""scikit-learn: `MLPClassifier.partial_fit` over given batches, from given weights.

A call of `partial_fit` trains many steps, as each call checks its arguments and all weights.
"""

from __future__ import annotations

import numpy as np

from backends import contract
from backends.contract import Job, Unsupported, split_epoch, steps_per_call
from backends.sklearn.device import configure, thread_settings
from backends.sklearn.network import as_rows, build, is_finite, tensors, write_weights
from backends.sklearn.updates import build_optimizer, update_dtype


class ScikitLearn:
    """`partial_fit` without shuffle and without penalty, on rows in the order of the bench."""

    def __init__(self, job: Job) -> None:
        if job.mode != "matched":
            raise Unsupported("this adapter trains in matched mode")
        configure(job)
        self._job = job
        self._network = build(job.workload, solver="sgd", alpha=0.0, shuffle=False)
        self._begin()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._rows, self._labels = as_rows(images), labels
        self._steps = steps_per_call(self._job, len(labels))

    def set_weights(self, weights: contract.Weights) -> None:
        write_weights(self._network, self._job.workload, weights)

    def reset(self, weights: contract.Weights) -> None:
        self._begin()
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        own = tensors(self._network, self._job.workload)
        return {name: array.copy() for name, array in own.items()}

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        del masks  # scikit-learn has no dropout
        total = 0.0
        for part, size in split_epoch(len(order), self._job.batch_size, self._steps):
            examples = order[part]
            self._network.batch_size = size
            total += self._fit(self._rows[examples], self._labels[examples]) * len(examples)
        return total / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        return self._network.logits(as_rows(images))

    def sync(self) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **thread_settings(),
            "dtype": str(self._network.coefs_[0].dtype),
            "update_dtype": update_dtype(self._job.workload.optimizer),
            "optimizer": type(self._optimizer).__name__,
            "compiled": False,
            "device": "cpu",
        }

    def _begin(self) -> None:
        params = self._network.coefs_ + self._network.intercepts_
        self._optimizer = build_optimizer(self._job.workload.optimizer, params)
        self._network.optimize_by(self._optimizer)

    def _fit(self, rows: np.ndarray, labels: np.ndarray) -> float:
        """Train on these rows in their order; the mean loss, or NaN if the training diverged."""
        try:
            self._network.partial_fit(rows, labels)
        except ValueError:
            # scikit-learn refuses weights that are not finite. The bench knows it by the loss.
            if is_finite(self._network):
                raise
            return float("nan")
        return float(self._network.loss_)
