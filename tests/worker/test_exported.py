"""The comparison of an exported model with the reference, with readers that are not OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from backends.exports.formats import READER
from bench.worker.arrays import write_arrays
from bench.worker.assignment import ReadExported
from bench.worker.lines import INFINITE
from bench.worker.verification import exported, tolerances
from bench.worker.verification.expected import make_reference
from specs.loading import find_workload
from tests.support.exports import confident_weights
from tests.support.jobs import make_job

WORKLOAD = find_workload("mlp-relu")
JOB = make_job(WORKLOAD)


class Right:
    """Predicts as a model in float32 does."""

    def __init__(self, files, threads):
        self.reference = make_reference(JOB, confident_weights(WORKLOAD))

    def predict(self, images):
        powers = np.exp(self.reference.predict(images))
        return powers / powers.sum(axis=1, keepdims=True)


class OneIsNan(Right):
    def predict(self, images):
        found = super().predict(images)
        found[-1, 3] = np.nan
        return found


class Exchanged(Right):
    def predict(self, images):
        return super().predict(images)[:, ::-1]


class Slightly(Right):
    """One probability of one image is off by two tolerances."""

    def predict(self, images):
        found = super().predict(images).astype(np.float64)
        largest = np.abs(self.reference.exact_logits(images)).max()
        found[5, 3] += 2 * tolerances.probabilities(5, largest)
        return found


class TooFewClasses(Right):
    def predict(self, images):
        return super().predict(images)[:, :9]


@pytest.fixture
def compare(mnist_5k, tmp_path, monkeypatch):
    def call(reader):
        monkeypatch.setattr(exported, "load_class", lambda name: reader)
        write_arrays(tmp_path / "weights.npz", confident_weights(WORKLOAD))
        lines = []
        assignment = ReadExported(
            job=JOB,
            adapter=READER,
            files=(),
            weights=str(tmp_path / "weights.npz"),
            data=mnist_5k.folder,
        )
        exported.work(assignment, lines.append)
        [line] = lines
        return line

    return call


def test_a_model_that_predicts_the_same_passes(compare):
    line = compare(Right)
    assert line.passed
    assert line.images == 1000
    assert line.other_classes == 0
    assert 0 < line.deviation < line.tolerance < 1e-4


def test_a_single_probability_that_is_not_a_number_fails(compare):
    line = compare(OneIsNan)
    assert not line.passed
    assert line.deviation == INFINITE


def test_exchanged_classes_fail(compare):
    line = compare(Exchanged)
    assert not line.passed
    assert line.deviation > 0.1
    assert line.other_classes > 900


def test_two_tolerances_fail(compare):
    line = compare(Slightly)
    assert not line.passed
    assert line.deviation == pytest.approx(2 * line.tolerance, rel=0.2)


def test_a_model_of_other_classes_is_told(compare):
    with pytest.raises(ValueError, match=r"found probabilities \(1000, 9\), expected \(1000, 10\)"):
        compare(TooFewClasses)


def test_fewer_images_are_predicted_where_the_reference_takes_long(compare, monkeypatch):
    monkeypatch.setattr(exported, "_MOST_FLOPS", 20 * 369_800)
    assert compare(Right).images == 20
    monkeypatch.setattr(exported, "_MOST_FLOPS", 1)
    assert compare(Right).images == 1
