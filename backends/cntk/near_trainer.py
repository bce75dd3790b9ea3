"""Trains a model with CNTK's `Trainer`, beside CNTK; `backends.far.far` describes the methods."""

from typing import Any

import cntk
import numpy as np

from backends.cntk.near_layers import Model
from backends.cntk.near_updates import build_learner
from backends.layout import batch_to_channels_first


# Its name is known on the other side, see `backends.far.far`.
class Unsupported(Exception):  # noqa: N818 - see above
    """CNTK cannot do this job; the exception's text says why."""


class Network:
    """A model, its learner, and a `Trainer` that is given every batch."""

    def __init__(self, description: "dict[str, Any]") -> None:
        if not cntk.device.try_set_default_device(cntk.device.cpu()):
            raise Unsupported("CNTK does not accept the CPU as its device")
        cntk.cntk_py.set_max_num_cputhreads(description["threads"])
        self._description = description
        self._model = Model(description)
        self._learner = build_learner(description["optimizer"], self._model.parameters)
        height, width, channels = description["input"]
        self._images = cntk.input_variable((channels, height, width))
        self._classes = cntk.input_variable(description["classes"])
        self._trainer = self._make_trainer(masked=False)
        self._masked_trainer = self._trainer
        if self._model.masks:
            self._masked_trainer = self._make_trainer(masked=True)
        self._logits = self._model.logits(self._images, training=False)

    def load(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Copy the images into CNTK's layout, and the labels as one-hot vectors."""
        self._examples = _channels_first(images)
        self._one_hot = np.eye(self._description["classes"], dtype=np.float32)[labels]

    def set_weights(self, weights: "dict[str, np.ndarray]") -> None:
        """Set all weights."""
        self._model.set_weights(weights)

    def reset(self, weights: "dict[str, np.ndarray]") -> None:
        """Go back to the start of the training, with these weights."""
        self._learner.reset()
        self._model.restart_dropouts()
        self._model.set_weights(weights)

    def get_weights(self) -> "dict[str, np.ndarray]":
        """All weights."""
        return self._model.get_weights()

    def train_epoch(self, order: np.ndarray, masks: "list[np.ndarray] | None") -> float:
        """Train on the examples in this order; the mean of their losses."""
        size, total = self._description["batch_size"], 0.0
        trainer = self._masked_trainer if masks else self._trainer
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            values = {self._images: self._examples[batch], self._classes: self._one_hot[batch]}
            if masks:
                part = slice(start, start + size)
                values.update(self._model.masks_to_cntk([mask[part] for mask in masks]))
            self._learner.begin_step(len(batch))
            trainer.train_minibatch(values)
            total += trainer.previous_minibatch_loss_average * len(batch)
            for norm in self._model.norms:
                norm.average(len(batch))
        return total / len(order)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The logits (n, classes)."""
        for norm in self._model.norms:
            norm.store()
        size = self._description["prediction_batch"]
        parts = [
            self._logits.eval({self._images: _channels_first(images[start : start + size])})
            for start in range(0, len(images), size)
        ]
        return np.concatenate(parts)

    def settings(self) -> "dict[str, Any]":
        """What CNTK reports."""
        return {
            "threads": cntk.cntk_py.get_max_num_cputhreads(),
            "dtype": str(np.dtype(self._model.parameters[0].dtype)),
            "optimizer": self._learner.name,
            "compiled": False,
            "device": str(cntk.device.use_default_device()).lower(),
        }

    def _make_trainer(self, *, masked: bool) -> Any:
        """A trainer of the model; both trainers have the same weights and the same learner."""
        logits = self._model.logits(self._images, masked=masked)
        if self._description["loss"] == "softmax_cross_entropy":
            loss = cntk.cross_entropy_with_softmax(logits, self._classes)
        else:
            loss = cntk.reduce_mean(cntk.square(cntk.softmax(logits) - self._classes))
        return cntk.Trainer(logits, (loss,), [self._learner.learner])


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(batch_to_channels_first(images), np.float32)
