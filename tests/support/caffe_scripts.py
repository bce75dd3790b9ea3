"""Imports scripts of `bench show --as caffe`, runs their `main` and records every step.

`python -m tests.support.caffe_scripts FOLDER` runs in Caffe's old Python, which cannot import
`tests.support.scripts`; the folders and files are those of that module. Each folder also has
`described.json`, see `backends.far.description`.
"""

import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np

from backends.layout import to_channels_first


def blobs_of(net):
    """The net's arrays of weights, in the order of the layers: kernel, bias, kernel, ..."""
    return [blob.data for blobs in net.params.values() for blob in blobs]


def given(described, weights):
    """The weights of a case in Caffe's layout, in the same order."""
    for layer in described["layers"]:
        for name in layer["parameters"]:
            image = layer["flattened"] if name.endswith("kernel") else None
            yield to_channels_first(weights[name], image)


class Recorded:
    """The batches and the losses of the steps of a script's module."""

    def __init__(self, module, described, weights):
        self.images, self.labels, self.losses = [], [], []
        self.start, self.parameters = [], 0
        self._shape, self._step, self._build = (
            described["input"],
            module.train_step,
            module.build_solver,
        )
        self._given = list(given(described, weights))
        module.train_step, module.build_solver = self.train_step, self.build_solver

    def build_solver(self):
        solver = self._build()
        blobs = blobs_of(solver.net)
        kernel, bias = blobs[:2]
        self.start = [float(kernel.std()), float(abs(kernel).max()), float(abs(bias).max())]
        self.parameters = sum(blob.size for blob in blobs)
        assert [blob.shape for blob in blobs] == [value.shape for value in self._given]
        for position, value in enumerate(self._given):
            blobs[position][...] = value
        return solver

    def train_step(self, solver, images, labels):
        self._step(solver, images, labels)
        height, width, channels = self._shape
        shaped = np.asarray(images).reshape(len(images), channels, height, width)
        self.images.append(shaped.transpose(0, 2, 3, 1))
        self.labels.append(labels.argmax(axis=1) if labels.ndim > 1 else labels)
        net = solver.net
        self.losses.append(float(net.blobs["loss"].data) * net.blob_loss_weights["loss"])


def run_case(folder):
    described = json.loads((folder / "described.json").read_text())
    spec = importlib.util.spec_from_file_location("script", str(folder / "script.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recorded = Recorded(module, described, np.load(str(folder / "weights.npz")))
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        module.main()
    images, labels = np.concatenate(recorded.images), np.concatenate(recorded.labels)
    np.savez(str(folder / "steps.npz"), images=images, labels=labels)
    result = {
        "losses": recorded.losses,
        "sizes": [len(batch) for batch in recorded.images],
        "parameters": int(recorded.parameters),
        "start": recorded.start,
        "accuracy": float(shown.getvalue().split()[-1]),
    }
    (folder / "steps.json").write_text(json.dumps(result))


if __name__ == "__main__":
    for script in sorted(Path(sys.argv[1]).glob("*/script.py")):
        run_case(script.parent)
