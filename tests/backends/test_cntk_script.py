"""`bench show NAME --as cntk`: the scripts take the reference's steps, in CNTK's own Python."""

from __future__ import annotations

import json
import subprocess
from functools import cache

import numpy as np
import pytest

from backends.reference.oracle import Reference
from backends.registry import script as text_of
from bench.records.files import PROJECT
from specs.initial import initial_weights
from specs.shapes import infer_shapes
from tests.backends.test_script_runs import TEST, check_batches, small_arrays, write_data
from tests.support.jobs import make_job
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
    found = json.loads((recorded() / case / "steps.json").read_text())
    steps = np.load(recorded() / case / "steps.npz")
    assert found["parameters"] == sum(shape.parameter_count for shape in infer_shapes(workload))
    check_batches("cntk", workload, found["sizes"], steps)
    reference = Reference(make_job(workload, batch_size=workload.recipe.batch_size))
    reference.set_weights(initial_weights(workload, 0))
    start, losses = 0, []
    for size in found["sizes"]:
        batch = slice(start, start + size)
        reference.load(steps["images"][batch], steps["labels"][batch].astype(np.int64))
        losses.append(reference.train_epoch(np.arange(size)))
        start += size
    print(case, np.abs(np.subtract(found["losses"], losses)).max())
    # As for the other frameworks: rounding decides which of two almost equal values is a maximum.
    assert found["losses"] == pytest.approx(losses, abs=2e-4 if case == "convolutions" else 2e-5)
    if case == "norms":
        # CNTK's running averages begin with the first batch, as a comment in the script says; so a
        # prediction after nine steps is another one. The losses show that the layer is the same.
        return
    arrays = small_arrays()
    logits = reference.predict(arrays["test_images"][..., None] / np.float32(255))
    accuracy = (logits.argmax(axis=1) == arrays["test_labels"]).mean()
    assert found["accuracy"] == pytest.approx(accuracy, abs=1.5 / TEST)


@pytest.mark.parametrize("case", STARTS)
def test_a_script_draws_its_weights_by_the_initializer(case, recorded):
    workload = CASES[case]
    deviation, largest, bias = json.loads((recorded() / case / "steps.json").read_text())["start"]
    kernel = next(iter(initial_weights(workload, 0).values()))
    assert bias == 0
    assert deviation == pytest.approx(kernel.std(), rel=0.1)
    if workload.recipe.initializer.endswith("uniform"):
        assert largest == pytest.approx(abs(kernel).max(), rel=0.02)
    elif workload.recipe.initializer != "zeros":
        assert largest > 2.6 * kernel.std()  # not truncated
