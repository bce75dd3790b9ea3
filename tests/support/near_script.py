"""Runs scripts of CNTK in its own Python, and keeps each step: `python near_script.py FOLDER`.

It sets the weights of the bench when a script makes its trainer, in the order in which the layers
made them. Each case of the folder has a script, `weights.npz` and a list of the weights' names.
"""

import contextlib
import importlib.util
import io
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")
import cntk  # noqa: E402

RealTrainer = cntk.Trainer


def in_cntk(value, shape):
    """A weight in the layout and shape of CNTK's: a Dense layer takes an image as it is."""
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if len(shape) == 4:  # (channels, height, width, out), from rows (height, width, channels)
        channels, height, width, units = shape
        return np.moveaxis(value.reshape(height, width, channels, units), 2, 0)
    return value.reshape(shape)


class Recorded:
    """A trainer that begins with given weights, and keeps the batches and their losses."""

    def __init__(self, weights):
        self.weights, self.images, self.labels, self.losses = weights, [], [], []

    def __call__(self, model, criteria, learners):
        made = sorted(model.parameters, key=lambda each: int(re.sub(r"\D", "", each.uid)))
        self.start = [float(x) for x in (made[0].value.std(), abs(made[0].value).max())]
        self.start.append(float(abs(made[1].value).max()))
        self.parameters = int(sum(np.prod(each.shape) for each in made))
        assert len(made) == len(self.weights)
        for variable, value in zip(made, self.weights):
            variable.value = np.ascontiguousarray(in_cntk(value, variable.shape), np.float32)
        self.trainer = RealTrainer(model, criteria, learners)
        return self

    def train_minibatch(self, values):
        images, labels = values.values()
        self.images.append(np.array(images).reshape(len(images), 28, 28, 1))
        self.labels.append(labels.argmax(axis=1))
        self.trainer.train_minibatch(values)
        self.losses.append(self.trainer.previous_minibatch_loss_average)


def run_case(folder):
    weights = np.load(str(folder / "weights.npz"))
    names = json.loads((folder / "names.json").read_text())
    recorded = Recorded([weights[name] for name in names])
    spec = importlib.util.spec_from_file_location("script", str(folder / "script.py"))
    module = importlib.util.module_from_spec(spec)
    cntk.Trainer, shown = recorded, io.StringIO()
    np.random.seed(0)  # the order of the images: in another one a ReLU may flip by rounding
    spec.loader.exec_module(module)
    with contextlib.redirect_stdout(shown):
        module.main()
    np.savez(
        str(folder / "steps.npz"),
        images=np.concatenate(recorded.images),
        labels=np.concatenate(recorded.labels),
    )
    found = {
        "losses": recorded.losses,
        "sizes": [len(batch) for batch in recorded.labels],
        "parameters": recorded.parameters,
        "start": recorded.start,
        "accuracy": float(shown.getvalue().split()[-1]),
    }
    (folder / "steps.json").write_text(json.dumps(found))


def main():
    for script in sorted(Path(sys.argv[1]).glob("*/script.py")):
        run_case(script.parent)


if __name__ == "__main__":
    main()
