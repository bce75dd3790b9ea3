"""`bench show NAME --as cntk`: the scripts take the reference's steps, in CNTK's own Python."""

from __future__ import annotations

import json
import subprocess
from functools import cache

import numpy as np
import pytest

from backends.registry import script as text_of
from bench.records.files import PROJECT
from specs.initial import initial_weights
from specs.shapes import infer_shapes
from tests.backends.test_script_runs import (
    check_accuracy,
    check_first_weights,
    small_arrays,
    steps_and_reference,
    write_data,
)
from tests.support.script_cases import CASES, STARTS

pytestmark = pytest.mark.framework


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, course_environment):
    """The folder of all cases, after one process has run them."""

    @cache
    def run():
        folder = tmp_path_factory.mktemp("cntk")
        write_data(folder, small_arrays())
        for case, workload in CASES.items():
            place = folder / case
            place.mkdir()
            (place / "script.py").write_text(text_of("cntk", workload))
            np.savez(place / "weights.npz", **initial_weights(workload, 0))
            names = [name for shape in infer_shapes(workload) for name in shape.parameters]
            (place / "names.json").write_text(json.dumps(names))
        program = PROJECT / "tests" / "support" / "near_script.py"
        done = subprocess.run(
            [course_environment("cntk"), "-I", program, "."],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return folder

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_script_takes_the_steps_of_the_reference(case, recorded):
    workload = CASES[case]
    found, losses, reference = steps_and_reference("cntk", workload, recorded() / case)
    assert found["parameters"] == sum(shape.parameter_count for shape in infer_shapes(workload))
    # As for the other frameworks: rounding decides which of two almost equal values is a maximum.
    assert found["losses"] == pytest.approx(losses, abs=2e-4 if case == "convolutions" else 2e-5)
    if case == "norms":
        # CNTK's running averages begin with the first batch, as a comment in the script says; so a
        # prediction after nine steps is another one. The losses show that the layer is the same.
        return
    check_accuracy(found, reference)


@pytest.mark.parametrize("case", STARTS)
def test_a_script_draws_its_weights_by_the_initializer(case, recorded):
    check_first_weights(CASES[case], recorded() / case, is_truncated=False)
