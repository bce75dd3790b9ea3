"""Spark MLlib in native mode: it trains as its guide does, by `fit` on a data frame.

A model without hidden layers is a `LogisticRegression`, others are a
`MultilayerPerceptronClassifier`; both minimise by L-BFGS. Only the sizes of the layers are the
workload's. Spark's own are the initial weights, the constants and the blocks of examples; the batch
size has no meaning. An epoch is an iteration of L-BFGS, which reads all examples once or, if its
line search needs it, more often.

`fit` trains all iterations in one call and shows no state between them. So one call of
`train_epoch` trains all epochs of the job. A call per iteration would forget the curvature that
L-BFGS has learned. The tolerance is 0 instead of Spark's 1e-6: with it a fit that has converged
would have fewer iterations than the job has epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends import contract
from backends.contract import Job, Unsupported
from backends.spark.data import frame_of
from backends.spark.device import Session
from backends.spark.estimators import Estimator, Perceptron, Regression
from backends.spark.structure import sizes_of


class TooFewIterationsError(Exception):
    """L-BFGS ended before it had as many iterations as the job has epochs."""


class SparkNative:
    """All epochs in one call."""

    def __init__(self, job: Job) -> None:
        if job.mode != "native":
            raise Unsupported("this adapter trains in native mode")
        if job.workload.recipe.last_partial_batch == "drop":
            raise Unsupported("Spark MLlib has no batches, so it cannot drop the last partial one")
        sizes = sizes_of(job.workload)
        self._session = Session(job)
        kind = Perceptron if len(sizes) > 2 else Regression  # noqa: PLR2004 - input and classes
        self._estimator: Estimator = kind(job, self._session)
        self._epochs = job.epochs

    @property
    def epochs_per_call(self) -> int:
        return self._epochs

    def processes(self) -> Sequence[int] | None:
        return self._session.processes()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        with self._session.working():
            self._frame = frame_of(self._session, images, labels).localCheckpoint()

    def set_weights(self, weights: contract.Weights) -> None:
        self._estimator.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return self._estimator.weights()

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        """Train all epochs of the job on all loaded examples.

        Returns:
            What was minimised, after the last iteration. For a `LogisticRegression` it is the mean
            loss over the examples, for a perceptron the mean of its blocks' means: the last block
            of a partition may be smaller and weighs as much.

        Raises:
            TooFewIterationsError: L-BFGS could not lower the loss any more.
        """
        del order, masks
        with self._session.working():
            history = self._estimator.fit(self._frame)
        if len(history) != self._epochs + 1:  # the first is the loss before the training
            raise TooFewIterationsError(
                f"L-BFGS ended after {len(history) - 1} of {self._epochs} iterations, as it could"
                f" not lower the loss any more: use --epochs {len(history) - 1}"
            )
        return float(history[-1])

    def predict(self, images: contract.Images) -> contract.Logits:
        with self._session.working():
            frame = frame_of(self._session, images, np.zeros(len(images), np.int64))
            rows = self._estimator.model.transform(frame).select("rawPrediction").collect()
        return np.array([row[0].toArray() for row in rows], np.float32)

    def read_inputs(self) -> int:
        """Read all columns of all rows, as a `fit` does; returns the number of rows."""
        with self._session.working():
            self._frame.write.format("noop").mode("overwrite").save()  # Spark's sink for that
            return int(self._frame.count())

    def sync(self) -> None:
        """Do nothing: Spark has finished a fit when its call returns."""

    def device_memory(self) -> None:
        return None

    def reset(self, weights: contract.Weights) -> None:
        raise NotImplementedError("only for matched mode")

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **self._session.settings(),
            "random": self._estimator.is_random,
            "optimizer": self._estimator.constants(),
        }
