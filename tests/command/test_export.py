"""`bench run --keep-weights` and `bench export --format t7,caffe`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.records.job import Record
from bench.records.stored import read
from bench.records.weights import read_weights
from tests.support.command import QUICK

RUN = Path("results/softmax")


@pytest.fixture
def without_opencv(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.runner.environments.environments_folder", lambda: tmp_path / "none")


def records():
    return read([RUN / "jobs"], Record)[0]


def test_weights_are_kept_also_of_a_job_that_ran_before(bench):
    assert bench("run", *QUICK, "--seeds", "3,4")[0] == 0
    first = records()
    assert all(read_weights(RUN, record) is None for record in first)
    again = ("run", *QUICK, "--seeds", "3,4", "--keep-weights")
    _, _, errors = bench(*again, "--dry-run")
    assert "2 jobs, 1 of them finished" in errors
    assert "--keep-weights: 1 file, 0.0314 MB in all" in errors
    assert bench(*again)[0] == 0
    kept, other = records()
    assert [kept.key, other.key] == [record.key for record in first]
    assert (kept.job.seed, other.job.seed) == (3, 4)
    assert kept.started > first[0].started
    assert other == first[1]
    assert read_weights(RUN, kept)["1.kernel"].shape == (784, 10)
    assert read_weights(RUN, other) is None
    _, _, errors = bench(*again, "--dry-run")
    assert "2 jobs, 2 of them finished" in errors


@pytest.mark.usefixtures("without_opencv")
def test_models_are_written_and_it_is_said_that_nothing_was_checked(bench):
    assert bench("run", *QUICK, "--keep-weights")[0] == 0
    code, out, errors = bench("export", "softmax", "--format", "t7,caffe")
    assert code == 0
    assert "inference of the exported model: largest deviation" in out
    assert "not checked: OpenCV is not installed; type `bench environment create opencv`" in out
    assert "equal probabilities within rounding" not in out
    [record] = records()
    names = {path.name for path in (RUN / "exported").iterdir()}
    assert names == {f"{record.key}{end}" for end in (".t7", ".prototxt", ".caffemodel")}
    assert f"[2/2] results/softmax/exported/{record.key}.prototxt" in errors
    code, _, _ = bench("export", str(RUN), "--format", "t7", "--output", "there")
    assert code == 0
    assert [path.name for path in Path("there").iterdir()] == [f"{record.key}.t7"]


def test_without_weights_the_line_to_type_is_told(bench):
    code, _, errors = bench("export", "mlp-relu", "--format", "t7")
    assert code == 2
    assert "bench run mlp-relu --keep-weights; then bench export mlp-relu again" in errors
    bench("run", *QUICK)
    code, _, errors = bench("export", "softmax", "--format", "caffe")
    assert code == 2
    assert "no weights of trained models were kept" in errors
    assert f"hint: bench run {' '.join(QUICK)} --keep-weights trains again" in errors


@pytest.mark.usefixtures("without_opencv")
def test_models_are_selected_by_names_of_the_run(bench):
    bench("run", *QUICK, "--keep-weights")
    code, _, errors = bench("export", "softmax", "--format", "t7", "--workload", "cnn")
    assert code == 2
    assert "the run has no workload 'cnn'\n  expected: one of softmax" in errors
    code, _, errors = bench("export", "softmax", "--format", "t7", "--backend", "jax")
    assert code == 2
    assert "the run has no backend 'jax'\n  expected: one of reference" in errors
    select = ("--workload", "softmax", "--backend", "reference")
    assert bench("export", "softmax", "--format", "t7", *select)[0] == 0
    code, _, errors = bench("export", "softmax", *select)
    assert code == 2
    assert "--backend are only for models\n  expected: --format t7 or caffe" in errors


@pytest.mark.usefixtures("without_opencv")
def test_weights_that_are_not_of_their_record_are_told(bench):
    bench("run", *QUICK, "--keep-weights")
    [path] = (RUN / "learned").glob("*.weights.npz")
    np.savez(path, **{"1.kernel": np.zeros((784, 10), np.float32)})
    code, _, errors = bench("export", "softmax", "--format", "t7")
    assert code == 2
    assert "not of its record; remove it, and run with --keep-weights again" in errors


@pytest.mark.framework
def test_the_table_has_the_deviation_and_a_wrong_file_gives_exit_code_1(bench, monkeypatch):
    bench("run", *QUICK, "--keep-weights")
    code, out, errors = bench("export", "softmax", "--format", "t7,caffe")
    assert code == 0, errors
    assert "by OpenCV 4.14.0.94" in out.replace("\n", " ")
    assert "2 of 2 models give equal probabilities within rounding" in out.replace("\n", " ")

    from backends.exports import t7

    right = t7.trained_layers

    def transposed(workload, weights):
        for layer in right(workload, weights):
            kernel = layer.weights.get("kernel")
            wrong = {} if kernel is None else {"kernel": kernel[::-1]}
            yield layer._replace(weights={**layer.weights, **wrong})

    monkeypatch.setattr(t7, "trained_layers", transposed)
    code, out, _ = bench("export", "softmax", "--format", "t7,caffe")
    assert code == 1
    assert "1 of 2 models give equal probabilities within rounding" in out.replace("\n", " ")
    assert "WRONG: results/softmax/exported/softmax" in out
    assert ".t7.wrong: its predictions differ from the reference" in out


def test_the_list_has_the_formats_and_says_why_torch7_is_not_trained(bench):
    _, out, _ = bench("list")
    assert "Torch7 (retired in 2018): not trained here, as no package of it exists" in out
