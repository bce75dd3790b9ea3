"""A backend that is wrong only as it is timed is caught by a check of the run itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bench.worker.arrays import write_arrays
from bench.worker.examples import read_part
from bench.worker.lines import INFINITE
from bench.worker.verification.expected import Trained
from bench.worker.verification.training import masked_deviations
from specs.initial import initial_weights
from specs.model import Adam, BatchNorm, Dense, Flatten, Sgd
from tests.support.timed import MODELS, Bench
from tests.support.timed_mutants import (
    TIMED_MUTANTS,
    AddsInParts,
    Honest,
    OwnMasks,
    RoundsLikeFloat32,
)


@pytest.fixture(scope="module")
def timed(mnist_5k, tmp_path_factory):
    images, labels = read_part(Path(mnist_5k.folder), "train")
    spread = np.random.RandomState(0).permutation(len(labels))[:3300]
    return Bench(tmp_path_factory.mktemp("references"), images[spread], labels[spread])


@pytest.fixture(scope="module")
def honest(timed):
    """Two correct backends per model."""
    return {name: [timed.run(kind, name) for kind in (Honest, OwnMasks)] for name in MODELS}


@pytest.fixture(scope="module")
def catches(timed, honest):
    """Mutant -> the checks that caught it."""
    return {
        mutant: timed.caught(timed.run(mutant, model), honest[model], model)
        for mutant, model in TIMED_MUTANTS.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_correct_backends_are_quiet(model, timed, honest):
    first, second = honest[model]
    assert timed.caught(first, [second], model) == []
    assert max(first.deviations.values()) <= 0.5


def _mlp(*layers, optimizer, units=10):
    last = Dense(units=units, activation="linear")
    return replace(MODELS["flips"], layers=(Flatten(), *layers, last), optimizer=optimizer)


_TANH = Dense(units=32, activation="tanh")
_SIGMOID = Dense(units=30, activation="sigmoid")
_NORMAL = BatchNorm(momentum=0.9, epsilon=1e-3)
_ADAM = Adam(
    learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_form="before_correction"
)


@pytest.mark.parametrize(
    ("workload", "left_out"),
    [
        # The gradient of a bias before batch norm is only a rounding error.
        (_mlp(Dense(units=32, activation="linear"), _NORMAL, optimizer=_ADAM), {"1.bias"}),
        # Gradients vanish on their way through the layers.
        (
            _mlp(*[_SIGMOID] * 10, optimizer=Sgd(learning_rate=0.1, momentum=0.0, nesterov=False)),
            {"1.kernel", "2.kernel", "3.kernel"},
        ),
    ],
    ids=["bias before batch norm", "ten sigmoids"],
)
def test_what_rounding_decides_is_not_compared(workload, left_out, timed):
    trial = timed.run(RoundsLikeFloat32, workload)
    assert max(trial.deviations.values()) <= 0.5
    assert left_out <= set(initial_weights(workload, 0)) - set(trial.deviations)


def test_a_weight_that_is_rounded_with_every_part_of_a_batch_has_a_wider_tolerance(
    timed, monkeypatch
):
    model = _mlp(optimizer=Sgd(learning_rate=0.001, momentum=0.0, nesterov=False))
    assert max(timed.run(AddsInParts, model).deviations.values()) <= 0.5
    monkeypatch.delattr(AddsInParts, "examples_per_sum")
    assert max(timed.run(AddsInParts, model).deviations.values()) > 1


def test_where_correct_runs_diverge_at_once_no_job_is_called_wrong(timed):
    chaotic = _mlp(_TANH, _TANH, optimizer=Sgd(learning_rate=5.0, momentum=0.0, nesterov=False))
    trial = timed.run(RoundsLikeFloat32, chaotic)
    assert set(trial.deviations) == {"prediction"}


def test_with_dropout_a_weight_that_does_not_move_is_found_however_much_masks_change_it():
    """Its size varies by half with the masks, so the tolerance alone would allow it to stay."""
    change = np.ones(4)
    right = {"loss": np.array(1.0), "deviation of loss": np.array(0.1), "change k": change}
    for name, mean in (("size k", 2.0), ("direction k", 1.0)):
        right |= {name: np.array(mean), f"deviation of {name}": np.array(0.5 * mean)}
    assert masked_deviations(Trained(1.0, {"k": change}), right)["k"] < 0.5
    assert masked_deviations(Trained(1.0, {"k": 0.0 * change}), right)["k"] == INFINITE


@pytest.mark.parametrize("damage", [b"", b"no archive", "cut"])
def test_a_damaged_reference_is_computed_again(damage, timed, tmp_path):
    again = Bench(tmp_path, timed.images, timed.labels)
    first = again.run(Honest, "smooth")
    [file] = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else damage)
    assert again.run(Honest, "smooth") == first
    assert file.read_bytes() == whole


def test_a_reference_that_others_may_write_is_computed_again(timed, tmp_path):
    again = Bench(tmp_path, timed.images, timed.labels)
    first = again.run(Honest, "smooth")
    [file] = tmp_path.glob("*.npz")
    whole, arrays = file.read_bytes(), dict(np.load(file))
    write_arrays(file, {**arrays, "loss": arrays["loss"] + 1})
    assert again.run(Honest, "smooth") != first  # this user's own file is believed
    file.chmod(0o666)
    assert again.run(Honest, "smooth") == first
    assert file.read_bytes() == whole


@pytest.mark.parametrize("mutant", TIMED_MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, catches):
    assert catches[mutant]


def test_every_check_is_needed_and_this_is_which(catches, capsys):
    with capsys.disabled():
        width = max(len(mutant.__name__) for mutant in TIMED_MUTANTS)
        print(f"\n\nWhich check of a run catches which of {len(TIMED_MUTANTS)} mutants:")
        for mutant, found in catches.items():
            print(f"  {mutant.__name__:<{width}} {', '.join(found)}")
    alone = {found[0].partition(" (")[0] for found in catches.values() if len(found) == 1}
    assert alone == {"first steps", "prediction", "agreement"}
