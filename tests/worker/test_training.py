"""Training in a worker, with many or large images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.worker import training
from bench.worker.assignment import Train
from bench.worker.examples import read_part
from bench.worker.training import Run
from tests.support.jobs import make_job


def test_many_or_large_images_are_predicted_in_parts_that_fit(mnist_5k, monkeypatch):
    assignment = Train(
        job=make_job(),
        adapter="backends.reference.oracle:Reference",
        data=mnist_5k.folder,
        train_evaluated=10,
        references="",
    )
    run = Run(assignment)
    backend = run.start(lambda line: None)
    images, _ = read_part(Path(mnist_5k.folder), "test")
    calls, predict = [], backend.predict
    monkeypatch.setattr(backend, "predict", lambda part: calls.append(len(part)) or predict(part))
    whole = run._predict(backend, images[:700])
    assert calls == [700]
    monkeypatch.setattr(training, "_PREDICTION_BYTES", 300 * 4 * (784 + 784))
    parts = Run(assignment)._predict(backend, images[:700])
    assert calls == [700, 300, 300, 100]
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize(("batch_size", "examples"), [(128, 4000 % 128), (125, 4000)])
def test_short_epochs_are_of_the_partial_batch_and_without_one_of_one_call(
    batch_size, examples, mnist_5k
):
    assignment = Train(
        job=make_job(batch_size=batch_size),
        adapter="backends.reference.oracle:Reference",
        data=mnist_5k.folder,
        train_evaluated=10,
        references="",
    )
    lines = []
    run = Run(assignment)
    run.short_epochs(run.start(lambda line: None), lines.append)
    [short] = lines
    assert short.examples == examples
    assert 1 <= len(short.wall_seconds) <= 5
    assert min(short.wall_seconds) > 0
