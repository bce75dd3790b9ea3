"""Runs a backend as a timed job does, and says which of a run's checks find it wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Backend, Job
from bench.statistics.agreement import Result, judge, loss_margins
from bench.worker.grading import grade
from bench.worker.verification.expected import Examples
from bench.worker.verification.models import LONG
from bench.worker.verification.training import prediction_deviations, verify_training
from specs.initial import epoch_order, initial_weights
from specs.model import Conv2d, Dense, Dropout, Flatten, MaxPool2d, Workload
from tests.support.jobs import make_job

_BATCH_SIZE, _EPOCHS = 32, 3
_RELU = LONG["relu mlp"]
_HIDDEN = Dense(units=64, activation="relu")
# Small models of each kind, with the optimizer of the course's.
MODELS: dict[str, Workload] = {
    "smooth": LONG["tanh mlp"],
    "flips": _RELU,
    "dropout": replace(
        _RELU,
        layers=(
            Flatten(),
            _HIDDEN,
            Dropout(rate=0.25),
            _HIDDEN,
            Dropout(rate=0.25),
            Dense(units=10, activation="linear"),
        ),
    ),
    "cnn": replace(
        _RELU,
        layers=(
            Conv2d(
                filters=4, kernel_size=(3, 3), strides=(2, 2), padding="valid", activation="relu"
            ),
            MaxPool2d(pool_size=(2, 2)),
            Flatten(),
            Dense(units=10, activation="linear"),
        ),
    ),
}


class Trial(Struct, frozen=True):
    """What a job reports: its losses and accuracies by epoch, and its own verification."""

    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    deviations: dict[str, float]


class Bench:
    """Data, and the place of the reference's results."""

    def __init__(
        self, folder: Path, images: np.ndarray, labels: np.ndarray, precision: str = "float32"
    ) -> None:
        self._folder, self.images, self.labels = folder, images, labels
        self._precision = precision
        self._train, self._test = slice(0, -300), slice(-300, None)

    def job(self, model: str | Workload) -> Job:
        """The job of a model: a name of `MODELS`, or a workload."""
        return replace(
            make_job(MODELS[model] if isinstance(model, str) else model, batch_size=_BATCH_SIZE),
            threads=2,
            precision=self._precision,
            epochs=_EPOCHS,
        )

    def run(self, kind: type[Backend], model: str | Workload) -> Trial:
        """Train, predict after each epoch, and verify, as `bench.worker.training` does."""
        job, images, labels = self.job(model), self.images[self._train], self.labels[self._train]
        backend = kind(job)
        backend.set_weights(initial_weights(job.workload, job.seed))
        backend.load(images.copy(), labels.copy())
        losses, accuracies = [], []
        backend.predict(self.images[self._test])
        for epoch in range(job.epochs):
            order = epoch_order(job.workload, job.seed, epoch, len(labels), job.batch_size)
            losses.append(backend.train_epoch(order))
            logits = backend.predict(self.images[self._test])
            accuracies.append(grade(logits, self.labels[self._test], job.workload.loss)[1])
        weights, test = backend.get_weights(), self.images[self._test]
        predictions = prediction_deviations(job, weights, test, logits)
        examples = Examples(images, labels, "trial")
        found = verify_training(backend, job, examples, self._folder)
        return Trial(tuple(losses), tuple(accuracies), {**found.deviations, **predictions})

    def caught(self, trial: Trial, others: list[Trial], model: str) -> list[str]:
        """The checks of a run that find a trial wrong, given what other backends report."""
        job = self.job(model)
        margins = loss_margins(job, len(self.labels[self._train]), job.epochs)
        results = [
            Result(str(number), str(number), one.losses, margins, one.accuracies[-1], 300)
            for number, one in enumerate([trial, *others])
        ]
        caught = []
        steps = {name: x for name, x in trial.deviations.items() if name != "prediction"}
        if max(steps.values()) > 1:
            caught.append(f"first steps ({max(steps, key=steps.__getitem__)})")
        if trial.deviations["prediction"] > 1:
            caught.append("prediction")
        if reason := judge(results)["0"]:
            caught.append(f"agreement ({reason.partition(',')[0]})")
        return caught
