"""A backend that is wrong only as it is timed is caught by a check of the run itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.worker.examples import read_part
from tests.support.timed import MODELS, Bench
from tests.support.timed_mutants import TIMED_MUTANTS, Honest, OwnMasks


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
