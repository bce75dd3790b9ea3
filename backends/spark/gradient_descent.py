"""Spark MLlib: gradient descent of `MultilayerPerceptronClassifier`, from given weights.

Spark has no mini-batches: its gradient is that of all examples it is given. So a step on a batch is
a step of full gradient descent on the batch's examples, and a job of Spark, which takes some tenths
of a second even if the batch is small. The order of the examples inside a batch does not matter.

A step is made of the parts that `fit` with `solver="gd"` uses: its topology, its gradient over the
blocks, and its updater. `fit` itself also stacks all examples into blocks, and computes the loss
once more after its last step; for a fit of one step this takes several times as long as the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.mllib.common import _java2py, _py2java
from pyspark.mllib.linalg import DenseVector

from backends import contract
from backends.contract import PREDICTION_BATCH, Job, Unsupported
from backends.spark.data import Blocks, blocks_of, stored
from backends.spark.device import Session
from backends.spark.structure import refuse, sizes_of
from backends.spark.weights import as_vector, as_weights, java_sizes
from specs.model import Sgd

# A training of more steps would take many minutes.
_MOST_STEPS = 1000


class Spark:
    """Steps of gradient descent, each a job of Spark."""

    def __init__(self, job: Job) -> None:
        if job.mode != "matched":
            raise Unsupported("this adapter trains in matched mode")
        refuse(job.workload)
        assert isinstance(job.workload.optimizer, Sgd)  # noqa: S101 - `refuse` has checked it
        self._job, self._rate = job, job.workload.optimizer.learning_rate
        self._sizes = sizes_of(job.workload)
        self._session = Session(job)
        jvm = self._session.jvm
        self._ann, self._optimization = (
            jvm.org.apache.spark.ml.ann,
            jvm.org.apache.spark.mllib.optimization,
        )
        sizes = java_sizes(self._session, self._sizes)
        self._topology = self._ann.FeedForwardTopology.multiLayerPerceptron(sizes, True)
        self._updater = self._ann.ANNUpdater()
        self._all: Blocks | None = None

    def processes(self) -> Sequence[int] | None:
        return self._session.processes()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        """Keep the examples; a training whose batch is all of them stores them in Spark.

        Raises:
            Unsupported: the training has too many steps for Spark.
        """
        examples, size = len(labels), self._job.batch_size
        steps = self._job.epochs * -(-examples // size)
        if steps > _MOST_STEPS:
            raise Unsupported(
                f"each step is a job of Spark, which takes 0.1 s or more, and this training has"
                f" {steps:,}: use --batch-size {examples}, or fewer --epochs"
            )
        self._images, self._labels = images, labels
        self._all = None
        if size >= examples:
            with self._session.working():
                self._all = stored(self._session, self._blocks(np.arange(examples)))

    def set_weights(self, weights: contract.Weights) -> None:
        self._weights = _py2java(self._session.context, DenseVector(as_vector(weights)))

    def reset(self, weights: contract.Weights) -> None:
        self.set_weights(weights)  # gradient descent has no other state

    def get_weights(self) -> contract.Weights:
        vector = _java2py(self._session.context, self._weights).toArray()
        return as_weights(self._job.workload, vector)

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        del masks  # Spark MLlib has no dropout
        total = 0.0
        with self._session.working():
            for start in range(0, len(order), self._job.batch_size):
                batch = order[start : start + self._job.batch_size]
                total += self._step(self._blocks_of_batch(batch)) * len(batch)
        return total / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        """Logits, computed by Spark's network in the driver."""
        with self._session.working():
            model = self._topology.model(self._weights.asML())
            parts = [
                self._logits(model, images[start : start + PREDICTION_BATCH])
                for start in range(0, len(images), PREDICTION_BATCH)
            ]
        return np.concatenate(parts)

    def sync(self) -> None:
        """Do nothing: Spark has finished a step when its call returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**self._session.settings(), "optimizer": f"gd stepSize={self._rate}"}

    def _blocks_of_batch(self, batch: contract.Order) -> Blocks:
        """The stored blocks if the batch is all examples, else new ones."""
        if self._all is not None and np.array_equal(np.sort(batch), np.arange(len(self._labels))):
            return self._all
        return self._blocks(batch)

    def _blocks(self, batch: contract.Order) -> Blocks:
        images, labels = self._images[batch], self._labels[batch]
        return blocks_of(self._session, images, labels, self._sizes[-1])

    def _step(self, blocks: Blocks) -> float:
        """Train on the blocks; the mean loss of their examples before it."""
        stacker = self._ann.DataStacker(blocks.size, self._sizes[0], self._sizes[-1])
        gradient = self._ann.ANNGradient(self._topology, stacker)
        make_cost = getattr(self._optimization, "LBFGS$CostFun")
        # It computes loss and gradient in one pass. L-BFGS minimises it; gradient descent has the
        # same pass in the middle of its loop.
        cost = make_cost(blocks.rdd.rdd(), gradient, self._updater, 0.0, blocks.count)
        found = cost.calculate(self._weights.asBreeze())
        mean = self._session.jvm.org.apache.spark.mllib.linalg.DenseVector(found._2().data())
        self._weights = self._updater.compute(self._weights, mean, self._rate, 1, 0.0)._1()
        return float(found._1())

    def _logits(self, model: Any, images: contract.Images) -> np.ndarray:
        """The values before the softmax (n, classes)."""
        context, linalg = self._session.context, self._session.jvm.org.apache.spark.mllib.linalg
        pixels = _py2java(context, DenseVector(images.astype(np.float64).ravel()))
        columns = linalg.Matrices.dense(self._sizes[0], len(images), pixels.values()).asBreeze()
        outputs = model.forward(columns, False)  # of all layers but the softmax
        last = linalg.DenseVector(outputs[len(outputs) - 2].data())
        return _java2py(context, last).toArray().reshape(len(images), -1).astype(np.float32)
