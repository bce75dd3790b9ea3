"""A small program for the far adapter: softmax regression by SGD, in NumPy, for any Python."""

import os
import sys
import time

import numpy as np


# Its name is known on the other side.
class Unsupported(Exception):  # noqa: N818
    """This program cannot do a job."""


class Softmax:
    """Trains `softmax-sgd` in float64."""

    def __init__(self, description):
        print("printed by Python", flush=True)
        os.system("echo printed by a program")
        self._size = description["batch_size"]
        self._rate = description["optimizer"]["learning_rate"]
        self._names = list(description["layers"][-1]["parameters"])

    def load(self, images, labels):
        self._rows, self._labels = images.reshape(len(images), -1), labels

    def set_weights(self, weights):
        self._kernel, self._bias = (weights[name].astype(np.float64) for name in self._names)

    reset = set_weights

    def get_weights(self):
        values = (self._kernel.astype(np.float32), self._bias.astype(np.float32))
        return dict(zip(self._names, values))

    def train_epoch(self, order, masks):
        return sum(
            self._step(order[start : start + self._size])
            for start in range(0, len(order), self._size)
        ) / len(order)

    def predict(self, images):
        rows = images.reshape(len(images), -1)
        return (rows @ self._kernel + self._bias).astype(np.float32)

    def settings(self):
        return {"device": "cpu", "compiled": False, "threads": 1}

    def _step(self, batch):
        """The sum of the losses of a batch, which is then trained."""
        rows, rest = self._rows[batch], np.arange(len(batch))
        logits = rows @ self._kernel + self._bias
        shifted = logits - logits.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        gradient = np.exp(logs)
        gradient[rest, self._labels[batch]] -= 1.0
        self._kernel -= self._rate * rows.T @ gradient / len(batch)
        self._bias -= self._rate * gradient.mean(axis=0)
        return -logs[rest, self._labels[batch]].sum()


class LosesAnArray(Softmax):
    def get_weights(self):
        weights = super().get_weights()
        del weights[self._names[-1]]
        return weights


class ReturnsOtherShapes(Softmax):
    def predict(self, images):
        return super().predict(images[:-1])


class Sleeps(Softmax):
    def train_epoch(self, order, masks):
        time.sleep(0.3)
        return 1.0


class Hangs(Softmax):
    def train_epoch(self, order, masks):
        time.sleep(600)


class Dies(Softmax):
    def train_epoch(self, order, masks):
        os.write(2, b"the last words\n")
        os._exit(3)


class Crashes(Softmax):
    def train_epoch(self, order, masks):
        os.kill(os.getpid(), 11)
        time.sleep(5)


class Refuses(Softmax):
    def __init__(self, description):
        raise Unsupported("this model has no {}".format("convolution"))


class NeedsMemory(Softmax):
    def train_epoch(self, order, masks):
        raise MemoryError("no room")


class NeedsALibrary(Softmax):
    def __init__(self, description):
        raise ImportError("libmpi.so.12: cannot open shared object file")


class Raises(Softmax):
    def train_epoch(self, order, masks):
        raise ValueError(f"wrong in Python {sys.version_info[0]}")
