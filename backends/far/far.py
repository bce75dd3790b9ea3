"""The adapter of a framework that runs in an old Python: it passes every call to a child.

A family derives a class from `Far`. Its program in the old Python is a class in a module whose name
begins with `near`. It is made with the description of a job (`backends.far.description`) and has
these methods; weights, images and masks have the layouts of `backends.contract.Backend`:

- `load(images, labels)`, `set_weights(weights)`, `reset(weights)`, `get_weights()`,
  `train_epoch(order, masks)`, `predict(images)`: as there; all work is done when they return;
- `settings()`: what the framework reports; `device` and `compiled` are required.

It says what it cannot do by an exception of its own that is named `Unsupported`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backends import contract
from backends.contract import Job, Unsupported
from backends.far.child import Child, ChildError
from backends.far.description import describe
from backends.far.near import is_probe, probe
from specs.shapes import infer_shapes


class Far:
    """A backend whose framework works in a child process.

    Attributes:
        near: "module:Class" of the program in the old Python.
        environment: the name of the environment, for the sentence that says what to type.
    """

    near = ""
    environment = ""

    def __init__(self, job: Job, python: str) -> None:
        """Start the child, and build the model there.

        Args:
            job: the job.
            python: the interpreter of the framework's environment.

        Raises:
            Unsupported: the framework cannot do this job.
            ChildError: the interpreter does not run, or the framework cannot be imported.
        """
        if job.mode != "matched" or job.compiled:
            raise Unsupported("this adapter trains in matched mode, without a compiler")
        self._job, self._rows = job, 0
        self._child = Child(python, self.near, [_folder_of(self.near)], self._advice(python))
        greeting = self._child.call("begin", describe(job), probe())
        if not is_probe(greeting["probe"]):
            raise ChildError(f"arrays come back changed: {greeting['probe']}")
        self._python = greeting["python"]

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._child.call("load", images, labels)

    def set_weights(self, weights: contract.Weights) -> None:
        self._child.call("set_weights", dict(weights))

    def reset(self, weights: contract.Weights) -> None:
        self._child.call("reset", dict(weights))

    def get_weights(self) -> contract.Weights:
        weights: dict[str, np.ndarray] = self._child.call("get_weights")
        expected: dict[str, tuple[int, ...]] = {}
        for shape in infer_shapes(self._job.workload):
            expected |= shape.parameters | shape.state
        found = {name: array.shape for name, array in weights.items()}
        if found != expected:
            raise ChildError(f"get_weights: found {found}, expected {expected}")
        return {name: weights[name] for name in expected}

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        loss: float = self._child.call("train_epoch", order, None if masks is None else list(masks))
        return loss

    def predict(self, images: contract.Images) -> contract.Logits:
        logits: contract.Logits = self._child.call("predict", images)
        expected = (len(images), self._job.workload.input.classes)
        if logits.shape != expected:
            raise ChildError(f"predict: logits of shape {logits.shape}, expected {expected}")
        return logits

    def sync(self) -> None:
        """Do nothing: the work of a call is done when it returns."""

    def device_memory(self) -> contract.DeviceMemory | None:
        return None

    def settings(self) -> Mapping[str, str | int | bool | None]:
        reported: dict[str, str | int | bool | None] = self._child.call("settings")
        return {**reported, "python": self._python, "transport": "pipes"}

    def processes(self) -> tuple[int, ...]:
        """The ID of the child."""
        return (self._child.pid,)

    def transport_seconds(self) -> float:
        return self._child.transport_seconds()

    def _advice(self, python: str) -> str:
        return f"`bench environment create {self.environment}` installs it ({python} was tried)"


def _folder_of(target: str) -> Path:
    """The folder of the package of "package.module:Class"."""
    package = target.partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ChildError(f"there is no package {package}")
    return Path(spec.origin).parent
