"""scikit-learn in native mode: it trains as the user guide and the examples on MNIST do.

A model without hidden layers is a `LogisticRegression`, others are an `MLPClassifier`. Only the
sizes of the layers, the activation, the batch size, and which of the two solvers of `MLPClassifier`
is used are the workload's.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils import check_array, gen_batches, shuffle

from backends import contract
from backends.contract import Job, Unsupported
from backends.sklearn.device import configure, thread_settings
from backends.sklearn.network import as_rows, build, names_of, tensors, write_weights
from backends.sklearn.structure import structure_of
from specs.model import Sgd
from specs.shapes import infer_shapes


class _Estimator(Protocol):
    """One of the two classifiers; `weights` are copies."""

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> float: ...
    def logits(self, rows: np.ndarray) -> np.ndarray: ...
    def read(self, rows: np.ndarray) -> int: ...
    def weights(self) -> contract.Weights: ...
    def set_weights(self, weights: contract.Weights) -> None: ...
    def constants(self) -> str: ...


class ScikitLearnNative:
    """One epoch per call, on arrays in memory."""

    def __init__(self, job: Job) -> None:
        if job.mode != "native":
            raise Unsupported("this adapter trains in native mode")
        if job.workload.recipe.last_partial_batch == "drop":
            raise Unsupported("scikit-learn has no option to drop the last partial batch")
        configure(job)
        has_hidden = structure_of(job.workload).hidden_layer_sizes
        self._estimator: _Estimator = (_Perceptron if has_hidden else _Regression)(job)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._rows, self._labels = as_rows(images), labels

    def set_weights(self, weights: contract.Weights) -> None:
        self._estimator.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return self._estimator.weights()

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        """Train on all loaded examples, in an order of scikit-learn.

        Returns:
            The mean of the loss over the examples. An `MLPClassifier` tells it of its own steps,
            with the penalty; for a `LogisticRegression` it is computed after the epoch.
        """
        del order, masks
        return self._estimator.fit(self._rows, self._labels)

    def predict(self, images: contract.Images) -> contract.Logits:
        return self._estimator.logits(as_rows(images))

    def read_inputs(self) -> int:
        """Read an epoch's examples as scikit-learn does; returns their number."""
        return self._estimator.read(self._rows)

    def sync(self) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def reset(self, weights: contract.Weights) -> None:
        raise NotImplementedError("only for matched mode")

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **thread_settings(),
            "dtype": str(next(iter(self.get_weights().values())).dtype),
            "optimizer": self._estimator.constants(),
            "compiled": False,
            "device": "cpu",
        }


class _Perceptron:
    """`MLPClassifier` with scikit-learn's constants, among them its penalty alpha.

    An epoch is a `partial_fit` on all examples. It does what an iteration of `fit` does: it
    shuffles, trains batch by batch and keeps the optimizer's state; only `fit` may also stop early.
    `fit` with `warm_start` and `max_iter=1` would lose the optimizer's state at every epoch. For an
    optimizer that scikit-learn lacks its default is used, Adam. SGD has the workload's momentum and
    nesterov, as they select the method.
    """

    def __init__(self, job: Job) -> None:
        self._workload, self._seed = job.workload, job.seed
        spec = job.workload.optimizer
        options: dict[str, Any] = {"solver": "adam"}
        if isinstance(spec, Sgd):
            method = {"momentum": spec.momentum, "nesterovs_momentum": spec.nesterov}
            options = {"solver": "sgd", **method}
        # A RandomState: with a number every call would shuffle in the same way.
        random = np.random.RandomState(job.seed)
        self._network = build(job.workload, random_state=random, **options)
        self._network.batch_size = job.batch_size

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> float:
        self._network.partial_fit(rows, labels)
        return float(self._network.loss_)

    def logits(self, rows: np.ndarray) -> np.ndarray:
        return self._network.logits(rows)

    def read(self, rows: np.ndarray) -> int:
        order = shuffle(np.arange(len(rows)), random_state=self._seed)
        batches = gen_batches(len(rows), self._network.batch_size)
        return sum(len(rows[order[batch]]) for batch in batches)

    def weights(self) -> contract.Weights:
        own = tensors(self._network, self._workload)
        return {name: array.copy() for name, array in own.items()}

    def set_weights(self, weights: contract.Weights) -> None:
        write_weights(self._network, self._workload, weights)

    def constants(self) -> str:
        network = self._network
        names = ["learning_rate_init", "alpha", "batch_size"]
        names += (
            ["momentum", "nesterovs_momentum"]
            if network.solver == "sgd"
            else ["beta_1", "beta_2", "epsilon"]
        )
        return " ".join([network.solver, *(f"{name}={getattr(network, name)}" for name in names)])


class _Regression:
    """`LogisticRegression` by the solver SAGA, as in scikit-learn's example on MNIST.

    The penalty is the default, L2, as the example says that its L1 costs accuracy. An epoch is a
    `fit` with `max_iter=1` and `warm_start`: as many steps as there are examples, each on one that
    is drawn at random. A `fit` of several iterations would also keep SAGA's table of gradients. The
    default solver, L-BFGS, has no epochs: an iteration with `warm_start` would forget the curvature
    that it has learned.
    """

    def __init__(self, job: Job) -> None:
        self._shape = next(iter(infer_shapes(job.workload)[-1].parameters.values()))
        self._names = names_of(job.workload)
        inputs, classes = self._shape
        self._model = LogisticRegression(
            solver="saga",
            max_iter=1,
            warm_start=True,
            random_state=np.random.RandomState(job.seed),
        )
        # Where scikit-learn itself starts; a warm start begins with them.
        self._model.coef_ = np.zeros((classes, inputs), np.float32)
        self._model.intercept_ = np.zeros(classes, np.float32)
        self._model.classes_ = np.arange(classes)

    def fit(self, rows: np.ndarray, labels: np.ndarray) -> float:
        with warnings.catch_warnings():
            # One iteration of several has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(rows, labels)
        return float(log_loss(labels, self._model.predict_proba(rows)))

    def logits(self, rows: np.ndarray) -> np.ndarray:
        return self._model.decision_function(rows)

    def read(self, rows: np.ndarray) -> int:
        return len(check_array(rows, order="C"))

    def weights(self) -> contract.Weights:
        arrays = (self._model.coef_.T.copy(), self._model.intercept_.copy())
        return dict(zip(self._names, arrays, strict=True))

    def set_weights(self, weights: contract.Weights) -> None:
        kernel, bias = (weights[name] for name in self._names)
        self._model.coef_, self._model.intercept_ = kernel.T.copy(), bias.copy()

    def constants(self) -> str:
        return f"saga C={self._model.C} l1_ratio={self._model.l1_ratio} batch_size=1"
