"""All weights of a trained model are read back only if they are those of its record."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from bench.records.stored import LeftOut
from bench.records.weights import path_of, read_weights, weights_bytes, without_weights
from bench.worker.arrays import write_arrays
from specs.loading import find_workload
from tests.support.exports import confident_weights, every_layer, write_run

WORKLOAD = every_layer()


def test_weights_are_read_back_as_they_were(tmp_path):
    weights = confident_weights(WORKLOAD)
    found = read_weights(tmp_path, write_run(tmp_path, WORKLOAD, weights))
    assert list(found) == list(weights)
    assert all((found[name] == value).all() for name, value in weights.items())


def test_their_size_is_known_before_a_training(tmp_path):
    assert weights_bytes(find_workload("softmax")) == 4 * 7850
    weights = confident_weights(WORKLOAD)
    assert weights_bytes(WORKLOAD) == sum(value.nbytes for value in weights.values())
    record = write_run(tmp_path, WORKLOAD, weights)
    size = path_of(tmp_path, record.key).stat().st_size
    assert size < weights_bytes(WORKLOAD) + 1000 * len(weights)


def test_there_may_be_none(tmp_path):
    record = write_run(tmp_path, WORKLOAD, confident_weights(WORKLOAD))
    assert read_weights(tmp_path / "other", record) is None


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY"])
def test_a_damaged_file_is_left_out(tmp_path, content):
    record = write_run(tmp_path, WORKLOAD, confident_weights(WORKLOAD))
    path = path_of(tmp_path, record.key)
    path.write_bytes(content)
    assert read_weights(tmp_path, record) == LeftOut(path, "damaged")


def test_weights_of_another_training_are_left_out(tmp_path):
    record = write_run(tmp_path, WORKLOAD, confident_weights(WORKLOAD))
    changed = confident_weights(WORKLOAD)
    changed["5.bias"][2] += np.float32(1e-6)
    write_arrays(path_of(tmp_path, record.key), changed)
    found = read_weights(tmp_path, record)
    assert "not of its record; remove it, and run with --keep-weights again" in str(found)
    assert isinstance(read_weights(tmp_path, replace(record, weights_checksum=None)), LeftOut)


def test_more_values_than_the_model_has_are_not_read(tmp_path):
    weights = confident_weights(WORKLOAD)
    record = write_run(tmp_path, WORKLOAD, weights | {"more": np.zeros(10_000)})
    assert "larger than its model" in str(read_weights(tmp_path, record))


def test_the_line_to_type_is_told(tmp_path):
    missing = str(without_weights(tmp_path / "mlp-relu"))
    assert "bench run mlp-relu --keep-weights; then bench export mlp-relu again" in missing
    run = tmp_path / "mine"
    (run / "jobs").mkdir(parents=True)
    (run / "command.txt").write_text("bench run softmax --epochs 2 --run mine\n")
    assert "bench run softmax --epochs 2 --run mine --keep-weights trains again" in str(
        without_weights(run)
    )
    (run / "command.txt").write_text("bench run softmax --keep-weights --run mine\n")
    assert str(without_weights(run)).count("--keep-weights") == 1
