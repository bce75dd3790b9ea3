"""The checks for bfloat16: a correct backend passes, and each wrong one is caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from backends.reference.oracle import Reference
from bench.data.cache import materialise
from bench.statistics.judgement import own_doubt
from bench.worker.examples import read_part
from bench.worker.lines import INFINITE, JobVerification
from bench.worker.verification import tolerances
from bench.worker.verification.cases import make_case
from bench.worker.verification.lower import BEHAVES_LOWER, COMPUTES_LOWER, check_float32
from bench.worker.verification.models import MODELS
from bench.worker.verification.rounded import cut
from bench.worker.verification.training import PRODUCTS, WEIGHTS, kept_in_bfloat16
from tests.support.jobs import make_job
from tests.support.lower_mutants import (
    LOWER_MUTANTS,
    TIMED_LOWER_MUTANTS,
    Bfloat16,
    IgnoresBfloat16,
    RoundsToTf32,
)
from tests.support.timed import MODELS as TIMED
from tests.support.timed import Bench

# Every optimizer, every activation and layer; small enough to be trained five times.
NAMES = [name for name in MODELS if name not in ("cnn", "mlp-relu", "sizes for tensor cores")]
MODEL = "batch norm, nesterov"


@pytest.fixture(scope="module")
def case_of(mnist_5k, places):
    """A function: the case of a model in bfloat16, made once."""
    made = {}

    def of(name, precision="bfloat16"):
        if (name, precision) not in made:
            workload = MODELS[name]
            is_mnist = workload.input.shape == (28, 28, 1)
            data = mnist_5k if is_mnist else materialise("synthetic", workload.input, places)
            images, labels = read_part(Path(data.folder), "train")
            some = np.arange(0, len(labels), max(1, len(labels) // 1100))
            job = make_job(workload, batch_size=16, precision=precision)
            made[name, precision] = make_case(job, images[some], labels[some])
        return made[name, precision]

    return of


@pytest.mark.parametrize("name", NAMES)
def test_a_correct_backend_passes_with_room_to_spare(name, case_of):
    for check in COMPUTES_LOWER.values():
        assert check(Bfloat16, case_of(name)).deviation <= 0.6


def test_a_correct_backend_keeps_in_float32_what_it_should_and_repeats(case_of):
    case = case_of(MODEL)
    assert check_float32(Bfloat16, case.job).deviation <= 1e-3
    for check in BEHAVES_LOWER.values():
        assert check(Bfloat16, case).passed


def caught_by(mutant, case):
    checks = {**COMPUTES_LOWER, "float32": lambda make, case: check_float32(make, case.job)}
    return {name for name, check in checks.items() if not check(mutant, case).passed}


@pytest.mark.parametrize("mutant", LOWER_MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught_by_these_checks(mutant, case_of):
    assert caught_by(mutant, case_of(MODEL)) == LOWER_MUTANTS[mutant]


def test_a_backend_that_ignores_the_precision_is_caught_on_every_model(case_of):
    for name in NAMES:
        case = case_of(name)
        assert not COMPUTES_LOWER["steps"](IgnoresBfloat16, case).passed, name


def test_the_reason_says_that_products_are_of_float32(case_of):
    found = COMPUTES_LOWER["prediction"](IgnoresBfloat16, case_of(MODEL))
    assert found.where == "products of the logits before are of float32"


def test_for_tf32_products_of_float32_are_no_failure(case_of):
    """Whether a GPU uses TF32 for a small product is the framework's decision."""
    case = case_of("tanh, sgd", "tf32")

    def exact(job):
        return Reference(replace(job, precision="float32"))

    assert all(check(exact, case).passed for check in COMPUTES_LOWER.values())
    assert all(check(RoundsToTf32, case).passed for check in COMPUTES_LOWER.values())


@pytest.mark.parametrize("bits", [8, 11, 24])
def test_numbers_are_rounded_to_the_nearest_with_so_many_bits(bits):
    values = np.random.RandomState(0).uniform(-4, 4, 1000)
    assert np.abs(cut(values, bits) / values - 1).max() <= 2.0**-bits
    assert np.array_equal(cut(cut(values, bits), bits), cut(values, bits))
    if bits == 24:
        assert np.array_equal(cut(values, bits), values.astype(np.float32))


def test_weights_of_bfloat16_are_known_by_their_bits():
    start = {"0.kernel": np.random.RandomState(0).uniform(-1, 1, (30, 20)).astype(np.float32)}
    short = {"0.kernel": cut(start["0.kernel"].astype(float), 8).astype(np.float32)}
    assert kept_in_bfloat16(start, short)
    assert not kept_in_bfloat16(start, start)
    assert not kept_in_bfloat16(short, short)  # they began so
    zeros = {"0.kernel": np.zeros((30, 20), np.float32)}
    assert not kept_in_bfloat16(zeros, zeros)


@pytest.fixture(scope="module")
def timed(mnist_5k, tmp_path_factory):
    images, labels = read_part(Path(mnist_5k.folder), "train")
    spread = np.random.RandomState(0).permutation(len(labels))[:1500]
    folder = tmp_path_factory.mktemp("references")
    return Bench(folder, images[spread], labels[spread], precision="bfloat16")


@pytest.fixture(scope="module")
def correct(timed):
    return {model: timed.run(Bfloat16, model) for model in TIMED}


@pytest.mark.parametrize("model", TIMED)
def test_a_correct_timed_job_verifies_itself(model, correct):
    deviations = correct[model].deviations
    assert max(deviations.values()) <= 0.6
    assert len(deviations) > 3, "some weights are compared"


@pytest.mark.parametrize("mutant", TIMED_LOWER_MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_timed_job_is_caught_by_itself(mutant, timed):
    caught = {model: max(timed.run(mutant, model).deviations.values()) for model in TIMED}
    print(caught)
    models = [model for model, deviation in caught.items() if deviation > 1]
    # With dropout a backend draws its own masks, so only the prediction is compared exactly.
    assert {"smooth", "flips", "cnn"} <= set(models)


def test_a_job_of_another_precision_is_wrong_on_any_device_and_says_so():
    for name, words in (
        (PRODUCTS, "are computed in float32, not in bfloat16"),
        (WEIGHTS, "in bfloat16"),
    ):
        found = JobVerification(
            method="exact", steps=3, partial_batch=0, deviations={"loss": 0.1, name: INFINITE}
        )
        doubt, reason = own_doubt(found, "cuda:0")
        assert doubt == "wrong"
        assert words in reason


def test_a_lower_precision_is_never_compared_so_loosely_that_nothing_is_found():
    """A change twice as large as it should be is off by 1."""
    for precision in ("tf32", "bfloat16"):
        widest = max(
            tolerances.share(spread, precision)
            for spread in np.linspace(0, 1, 1001)
            if tolerances.is_decided(spread, precision)
        )
        assert widest < 0.81
