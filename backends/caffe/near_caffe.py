"""Trains a workload with Caffe: the program in the old Python, see `backends.far.far`.

The net is Caffe's, and so is the solver, where it has the workload's formula. A batch is written
into the net's inputs, in the order of the bench.
"""

from __future__ import annotations

import ctypes
import tempfile
from math import isfinite
from pathlib import Path
from typing import Any, Callable

import caffe
import numpy as np
from caffe import _caffe
from caffe.proto import caffe_pb2

from backends.caffe.near_network import Network
from backends.caffe.near_updates import Updates, has_solver, nearest_solver
from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first

# Caffe's loss of an example is at most -log of the smallest normal float32, 87.3.
_MOST_LOSS = 87.0
# What Caffe's max pool makes of a window without a number.
_NO_MAXIMUM = -np.finfo(np.float32).max


class NearCaffe:
    """`forward`, `backward` and the solver's `apply_update`, which are the parts of its `step`.

    Attributes:
        _net: the net that is trained; `_test` predicts with the same arrays of weights. `_masked`
            is a net with the same weights whose dropout applies given masks; it is made when masks
            are given for the first time.
        _solver: Caffe's solver, or None where `_updates` has the formula.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description
        self._blas = ctypes.CDLL(_caffe.__file__)
        self._blas.openblas_set_num_threads(description["threads"])
        caffe.set_mode_cpu()
        self._network = Network(description)
        self._build()

    def load(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images = np.ascontiguousarray(batch_to_channels_first(images), np.float32)
        if self._is_quadratic():
            self._labels = np.eye(self._description["classes"], dtype=np.float32)[labels]
        else:
            self._labels = labels.astype(np.float32)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        for name, place in self._network.places.items():
            self._net.params[place.layer][place.blob].data[...] = to_channels_first(
                weights[name], place.image
            )

    def reset(self, weights: dict[str, np.ndarray]) -> None:
        self._build()
        self.set_weights(weights)

    def get_weights(self) -> dict[str, np.ndarray]:
        return {
            name: from_channels_first(self._net.params[place.layer][place.blob].data, place.image)
            for name, place in self._network.places.items()
        }

    def train_epoch(self, order: np.ndarray, masks: list[np.ndarray] | None) -> float:
        net, size, total = self._net, self._description["batch_size"], 0.0
        if masks:
            net = self._masked_net()
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            _write(net, "data", self._images[batch])
            _write(net, "label", self._labels[batch])
            if masks:
                for mask, values in zip(self._masks, masks):
                    kept = batch_to_channels_first(values[start : start + size], mask.image)
                    _write(net, mask.blob, kept / (1.0 - mask.rate))
            loss = self._train(net, len(batch))
            if not isfinite(loss):
                return float("nan")
            total += loss * len(batch)
        return total / len(order)

    def predict(self, images: np.ndarray) -> np.ndarray:
        size, parts = self._description["prediction_batch"], []
        for start in range(0, len(images), size):
            _write(self._test, "data", batch_to_channels_first(images[start : start + size]))
            parts.append(self._test.forward()[self._network.logits].copy())
        return np.concatenate(parts)

    def settings(self) -> dict[str, Any]:
        solver = type(self._solver).__name__ if self._solver else ""
        return {
            "threads": self._blas.openblas_get_num_threads(),
            "blas": "OpenBLAS within Caffe",
            "update": "Caffe's " + solver if solver else "NumPy, implemented here",
            "dtype": str(self._net.blobs[self._network.logits].data.dtype),
            "caffe": caffe.__version__,
            "compiled": False,
            "device": "cpu",
        }

    def _build(self) -> None:
        """Build the nets and the optimizer anew, and seed Caffe's dropout."""
        spec, self._solver = self._description["optimizer"], None
        if not has_solver(spec):
            self._net = _from_text(caffe.Net, self._network.text, caffe.TRAIN)
            self._updates = Updates(spec, self._weights(self._net))
        else:
            kind, settings = nearest_solver(spec)
            text = caffe_pb2.SolverParameter(
                type=kind, lr_policy="fixed", train_net_param=self._network.text, **settings
            )
            text.solver_mode = caffe_pb2.SolverParameter.CPU
            self._solver = _from_text(caffe.get_solver, text)
            self._net = self._solver.net
        test = Network(self._description, "prediction")
        self._test = _from_text(caffe.Net, test.text, caffe.TEST)
        self._test.share_with(self._net)
        self._masked: Any = None
        caffe.set_random_seed(self._description["seed"])

    def _masked_net(self) -> Any:
        if self._masked is None:
            network = Network(self._description, "masked training")
            self._masked, self._masks = (
                _from_text(caffe.Net, network.text, caffe.TRAIN),
                network.masks,
            )
            self._masked.share_with(self._net)
        return self._masked

    def _train(self, net: Any, count: int) -> float:
        """Train on the batch of `count` examples in the net's inputs; returns its loss.

        A training that has diverged is not continued: where a window of a max pool has no number,
        Caffe's gradient would be written outside the memory of the pool's input.
        """
        net.clear_param_diffs()
        net.forward()
        loss = self._loss(net, count)
        pools = (net.blobs[name].data for name in self._network.pools)
        if not isfinite(loss) or any(pool.min() == _NO_MAXIMUM for pool in pools):
            return float("nan")
        net.backward()
        if self._solver is None:
            self._updates.step(self._weights(net), self._gradients(net))
            return loss
        if net is not self._net:
            for own, other in zip(self._gradients(self._net), self._gradients(net)):
                own[...] = other
        self._solver.apply_update()
        return loss

    def _loss(self, net: Any, count: int) -> float:
        """The mean loss of the batch."""
        loss = float(net.blobs["loss"].data)
        if self._is_quadratic():
            return loss * 2.0 / self._description["classes"]
        if loss * count < _MOST_LOSS:
            return loss
        logits = net.blobs[self._network.logits].data
        least, most = float(logits.min()), float(logits.max())
        if not (isfinite(least) and isfinite(most)):
            return float("nan")
        if most - least < _MOST_LOSS:
            return loss
        # Caffe's may be too small here. Its gradient is exact.
        shifted = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
        labels = net.blobs["label"].data.astype(int)
        own = shifted[np.arange(count), labels]
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - own))

    def _weights(self, net: Any) -> list[np.ndarray]:
        places = self._network.places.values()
        return [net.params[place.layer][place.blob].data for place in places]

    def _gradients(self, net: Any) -> list[np.ndarray]:
        places = self._network.places.values()
        return [net.params[place.layer][place.blob].diff for place in places]

    def _is_quadratic(self) -> bool:
        return self._description["loss"] == "mean_squared_error"


def _write(net: Any, name: str, values: np.ndarray) -> None:
    """Write a batch into an input of the net, which takes its size at the next `forward`."""
    blob = net.blobs[name]
    if blob.shape[0] != len(values):
        blob.reshape(*values.shape)
    blob.data[...] = values


def _from_text(make: Callable[..., Any], text: Any, *arguments: int) -> Any:
    """Make a net or a solver of its text, which Caffe reads from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(str(text))
        return make(str(path), *arguments)
