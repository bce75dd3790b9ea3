"""The two classifiers of Spark MLlib's native mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from pyspark.ml.classification import (
    LogisticRegression,
    LogisticRegressionModel,
    MultilayerPerceptronClassificationModel,
    MultilayerPerceptronClassifier,
)
from pyspark.ml.common import _py2java
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.sql import DataFrame

from backends import contract
from backends.contract import Job
from backends.spark.device import Session
from backends.spark.structure import sizes_of
from backends.spark.weights import as_vector, as_weights, java_sizes
from specs.shapes import infer_shapes


class Estimator(Protocol):
    """One of the two classifiers, with its model once there is one."""

    model: Any
    is_random: bool

    def fit(self, frame: DataFrame) -> Sequence[float]: ...
    def weights(self) -> contract.Weights: ...
    def set_weights(self, weights: contract.Weights) -> None: ...
    def constants(self) -> str: ...


class Perceptron:
    """`MultilayerPerceptronClassifier`: Spark draws the weights from the job's seed."""

    def __init__(self, job: Job, session: Session) -> None:
        self._workload, self._session, self.is_random = job.workload, session, True
        sizes = list(sizes_of(job.workload))
        self._classifier = MultilayerPerceptronClassifier(
            layers=sizes, maxIter=job.epochs, tol=0.0, seed=job.seed
        )
        topology = session.jvm.org.apache.spark.ml.ann.FeedForwardTopology
        network = topology.multiLayerPerceptron(java_sizes(session, sizes), True)
        self._set(network.model(job.seed).weights())

    def _set(self, vector: Any) -> None:
        """Set the model, of Java's vector of weights."""
        classes = self._session.jvm.org.apache.spark.ml.classification
        java = classes.MultilayerPerceptronClassificationModel(self._classifier.uid, vector)
        java.set(java.layers(), java_sizes(self._session, self._classifier.getLayers()))
        self.model = MultilayerPerceptronClassificationModel(java)

    def fit(self, frame: DataFrame) -> Sequence[float]:
        self.model = self._classifier.fit(frame)
        return list(self.model.summary().objectiveHistory)

    def weights(self) -> contract.Weights:
        return as_weights(self._workload, self.model.weights.toArray())

    def set_weights(self, weights: contract.Weights) -> None:
        vector = DenseVector(as_vector(weights))
        self._classifier.setInitialWeights(vector)
        self.is_random = False
        self._set(_py2java(self._session.context, vector))

    def constants(self) -> str:
        own = self._classifier
        return f"{own.getSolver()} tol={own.getTol()} blockSize={own.getBlockSize()}"


class Regression:
    """`LogisticRegression` without a penalty, its default; it begins at 0, and nothing is random.

    Spark minimises over standardised pixels, which changes the path and not the minimum.
    """

    def __init__(self, job: Job, session: Session) -> None:
        self._workload, self._session, self.is_random = job.workload, session, False
        self._classifier = LogisticRegression(maxIter=job.epochs, tol=0.0)
        shapes = infer_shapes(job.workload)[-1].parameters
        self.set_weights({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})

    def fit(self, frame: DataFrame) -> Sequence[float]:
        self.model = self._classifier.fit(frame)
        return list(self.model.summary.objectiveHistory)

    def weights(self) -> contract.Weights:
        kernel = self.model.coefficientMatrix.toArray().T
        flat = np.concatenate([kernel.ravel(), self.model.interceptVector.toArray()])
        return as_weights(self._workload, flat)

    def set_weights(self, weights: contract.Weights) -> None:
        """Set the model; a fit begins at 0 nevertheless."""
        kernel, bias = weights.values()
        inputs, classes = kernel.shape
        context = self._session.context
        columns = DenseMatrix(classes, inputs, kernel.astype(np.float64).ravel())
        java = self._session.jvm.org.apache.spark.ml.classification.LogisticRegressionModel(
            self._classifier.uid,
            _py2java(context, columns),
            _py2java(context, DenseVector(bias.astype(np.float64))),
            classes,
            True,
        )
        self.model = LogisticRegressionModel(java)

    def constants(self) -> str:
        own = self._classifier
        return (
            f"l-bfgs tol={own.getTol()} regParam={own.getRegParam()}"
            f" standardization={own.getStandardization()}"
        )
