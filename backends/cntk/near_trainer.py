"""Trains a model with CNTK's `Trainer`, beside CNTK; `backends.far.far` describes the methods."""

import cntk as C
import numpy as np

from backends.cntk.near_layers import Model, images_to_cntk
from backends.cntk.near_updates import OwnLearner, build_learner


class Unsupported(Exception):
    """CNTK cannot do this job; the exception's text says why."""


class Network:
    """A model, its learner, and a `Trainer` that is given every batch."""

    def __init__(self, description):
        if not C.device.try_set_default_device(C.device.cpu()):
            raise Unsupported("CNTK does not accept the CPU as its device")
        C.cntk_py.set_max_num_cputhreads(description["threads"])
        self._description = description
        self._model = Model(description)
        self._learner = build_learner(description["optimizer"], self._model.parameters)
        height, width, channels = description["input"]
        self._images = C.input_variable((channels, height, width))
        self._classes = C.input_variable(description["classes"])
        self._trainer = self._make_trainer(masked=False)
        self._masked_trainer = self._make_trainer(masked=True) if self._model.masks else None
        self._logits = self._model.logits(self._images, training=False)

    def load(self, images, labels):
        """Copy the images into CNTK's layout, and the labels as one-hot vectors."""
        self._examples = images_to_cntk(images)
        self._one_hot = np.eye(self._description["classes"], dtype=np.float32)[labels]

    def set_weights(self, weights):
        """Set all weights."""
        self._model.set_weights(weights)

    def reset(self, weights):
        """Go back to the start of the training, with these weights."""
        self._learner.reset()
        self._model.restart_dropouts()
        self._model.set_weights(weights)

    def get_weights(self):
        """All weights."""
        return self._model.get_weights()

    def train_epoch(self, order, masks):
        """Train on the examples in this order; the mean of their losses."""
        size, total = self._description["batch_size"], 0.0
        trainer = self._trainer if not masks else self._masked_trainer
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

    def predict(self, images):
        """The logits (n, classes)."""
        for norm in self._model.norms:
            norm.store()
        size = self._description["prediction_batch"]
        parts = [
            self._logits.eval({self._images: images_to_cntk(images[start : start + size])})
            for start in range(0, len(images), size)
        ]
        return np.concatenate(parts)

    def settings(self):
        """What CNTK reports."""
        learner = type(self._learner.learner).__name__
        if not isinstance(self._learner, OwnLearner):
            learner += ", " + type(self._learner).__name__
        return {
            "threads": C.cntk_py.get_max_num_cputhreads(),
            "dtype": str(np.dtype(self._model.parameters[0].dtype)),
            "optimizer": learner,
            "compiled": False,
            "device": str(C.device.use_default_device()),
        }

    def _make_trainer(self, masked):
        """A trainer of the model; both trainers have the same weights and the same learner."""
        logits = self._model.logits(self._images, masked=masked)
        if self._description["loss"] == "softmax_cross_entropy":
            loss = C.cross_entropy_with_softmax(logits, self._classes)
        else:
            loss = C.reduce_mean(C.square(C.softmax(logits) - self._classes))
        return C.Trainer(logits, (loss,), [self._learner.learner])
