"""The checks of a verification: the reference passes all of them, and each one can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from backends.reference.oracle import Reference
from bench.data.cache import materialise
from bench.worker.examples import read_part
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import BEHAVES, COMPUTES
from bench.worker.verification.models import LONG, MODELS
from bench.worker.verification.verifier import verify
from tests.support.checks import CHECKS, ELSEWHERE
from tests.support.jobs import make_job
from tests.support.mutants import MUTANTS, ReturnsFloat64, WrongEpsilon

# Model of the verification -> checks that run on it besides those that run on all.
MORE = {"softmax": ("long",), "tanh mlp": ("sync",), "dropout after flatten": ("dropout",)}
CASES = {
    name: ({**MODELS, **LONG}[name], MORE.get(name, ())) for name in dict.fromkeys(MUTANTS.values())
}


@pytest.fixture(scope="module")
def cases(mnist_5k, places):
    """A case per workload, made once; it is small, as the reference is slow."""
    made = {}
    for name, (workload, _) in CASES.items():
        own = (
            mnist_5k
            if workload.input.shape == (28, 28, 1)
            else materialise("synthetic", workload.input, places)
        )
        images, labels = read_part(Path(own.folder), "train")
        # More than one prediction batch, with all digits: the images are sorted by digit.
        spread = np.arange(0, 4000, 3)
        made[name] = make_case(make_job(workload, batch_size=9), images[spread], labels[spread])
    return made


def test_the_reference_passes_its_own_checks(cases):
    for name, (_, more) in CASES.items():
        for check in (*COMPUTES, *BEHAVES, *more):
            assert CHECKS[check](Reference, cases[name]).deviation <= (
                0.5 if check in ELSEWHERE else 1e-6
            ), (
                name,
                check,
            )


def caught_by(mutant, cases):
    """The checks that fail on the mutant's workload."""
    name = MUTANTS[mutant]
    case = replace(cases[name], images=cases[name].images.copy())  # one of them edits its input
    found = []
    for check in (*COMPUTES, *BEHAVES, *CASES[name][1]):
        finding = CHECKS[check](mutant, case)
        found += [] if finding.passed else [finding]
    return found


@pytest.fixture(scope="module")
def catches(cases):
    """Mutant -> the checks that caught it."""
    return {mutant: caught_by(mutant, cases) for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, catches):
    assert catches[mutant]


def test_every_check_catches_a_mutant_and_this_is_which(catches, capsys):
    with capsys.disabled():
        width = max(len(mutant.__name__) for mutant in MUTANTS)
        print(f"\n\nWhich check catches which of {len(MUTANTS)} mutants:")
        for mutant, found in catches.items():
            print(f"  {mutant.__name__:<{width}} {', '.join(finding.check for finding in found)}")
    assert {finding.check for found in catches.values() for finding in found} == set(CHECKS)


def test_no_other_seed_excuses_a_wrong_formula_or_a_fault_that_is_no_flip():
    """A model with ReLU is tried on several seeds.

    A mutant fails on all of them, and a failure that is no flip is not tried again.
    """
    seeds = []

    class Counted(WrongEpsilon):
        def __init__(self, job):
            super().__init__(job)
            seeds.append(job.seed)

    class WrongPrediction(ReturnsFloat64):
        def predict(self, images):
            seeds.append(self._job.seed)
            return super().predict(images) + 1e-3

    images, labels = (
        np.random.RandomState(0).random_sample((200, 7, 6, 2)).astype(np.float32),
        np.arange(200) % 4,
    )
    job = make_job(MODELS["adamw after"], batch_size=9)
    assert any(not finding.passed for finding in verify(Counted, job, images, labels).findings)
    assert set(seeds) >= set(range(8))
    seeds.clear()
    assert not verify(WrongPrediction, job, images, labels).findings[0].passed
    assert set(seeds) == {0}
