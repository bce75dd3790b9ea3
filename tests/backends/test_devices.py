"""Where the adapters compute, what a step of them does, and what they decide on a GPU.

No GPU is needed: `tests/devices/` has a file per framework, whose findings are compared here.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache

import numpy as np
import pytest

from backends.registry import BACKENDS
from bench.records.files import PROJECT
from tests.devices.data import DENORMAL

pytestmark = pytest.mark.framework

# These wait for the device, or copy to or from it.
WAITS = ("_local_scalar_dense", "_to_copy", "copy_", "item")
# The operations of one training step. A larger number makes each step slower on a GPU, where every
# operation is a launch: an adapter that needs more must say why.
PYTORCH_STEPS = {
    "pytorch": {
        "softmax": 27,
        "mlp-relu-dropout": 111,
        "cnn": 86,
        "batch norm, nesterov": 70,
    },
    "pytorch-tuned": {
        "softmax": 29,
        "mlp-relu-dropout": 113,
        "cnn": 89,
        "batch norm, nesterov": 67,
    },
}
# Of the loop over steps, as XLA gets it: it makes fewer kernels of them.
JAX_PROGRAMS = {"softmax": 297, "mlp-relu": 473, "cnn": 969}
TENSORFLOW_STEPS = {"softmax": 39, "cnn": 130, "vgg-32": 368}


@pytest.fixture(scope="module")
def findings(environments):
    """The findings of a framework's file in `tests/devices`."""

    @cache
    def ask(backend: str, framework: str, **variables: str) -> dict:
        done = subprocess.run(
            [environments.require(backend), "-m", f"tests.devices.{framework}"],
            cwd=PROJECT,  # `python -m` looks there first
            env={
                **os.environ,
                **BACKENDS[backend].variables,
                "CUDA_VISIBLE_DEVICES": "",
                "KERAS_BACKEND": framework,
                "OMP_NUM_THREADS": "1",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.fixture
def pytorch(findings):
    return findings("pytorch", "pytorch", KERAS_BACKEND="torch")


@pytest.fixture
def jax(findings):
    return findings("jax", "jax", XLA_FLAGS="--xla_force_host_platform_device_count=2")


@pytest.fixture
def tensorflow(findings):
    return findings("keras-tensorflow", "tensorflow")


def test_on_cpus_jax_and_tensorflow_replace_denormal_numbers_by_0_and_pytorch_keeps_them(
    pytorch, jax, tensorflow
):
    """As docs/semantics.md says."""
    kept = float(np.float32(DENORMAL) * np.float32(0.9))
    assert kept > 0
    found = [framework["denormal"] for framework in (pytorch, jax, tensorflow)]
    assert found == [pytest.approx(kept, rel=1e-5), 0.0, 0.0]


@pytest.mark.parametrize("backend", PYTORCH_STEPS)
def test_a_step_of_pytorch_waits_for_nothing_and_an_epoch_reads_one_number(backend, pytorch):
    for workload, (per_step, once) in pytorch["steps"][backend].items():
        waits = {name: n for name, n in per_step.items() if name.split(".")[1] in WAITS}
        assert not waits, workload
        assert once["aten._local_scalar_dense.default"] == 1


@pytest.mark.parametrize("backend", PYTORCH_STEPS)
def test_a_step_of_pytorch_has_no_more_operations_than_it_had(backend, pytorch):
    steps = pytorch["steps"][backend]
    found = {workload: sum(per_step.values()) for workload, (per_step, _) in steps.items()}
    assert found == PYTORCH_STEPS[backend]


def test_no_gradients_are_in_memory_when_a_forward_pass_begins(pytorch):
    assert pytorch["gradients"] == {"pytorch": 0, "pytorch-tuned": 0}


def test_everything_of_pytorch_is_on_the_device_and_no_operation_mixes_devices(pytorch):
    assert len(pytorch["placement"]) > 15
    assert {tuple(devices) for devices in pytorch["placement"].values()} == {("meta",)}


def test_on_a_gpu_pytorch_has_channels_last_only_with_tensor_cores_and_tf32_only_if_asked(pytorch):
    plain, tensor_cores = pytorch["decisions"]["float32"], pytorch["decisions"]["tf32"]
    experiment = "pytorch-compiled-channels-last"
    assert [name for name, is_last in plain["channels last"].items() if is_last] == [experiment]
    without = [name for name, is_last in tensor_cores["channels last"].items() if not is_last]
    assert without == ["pytorch", "pytorch-compiled-contiguous"]
    precisions = [(d["matmul"], d["tf32 in convolutions"]) for d in (plain, tensor_cores)]
    assert precisions == [("highest", False), ("high", True)]
    assert plain["autotuned"]


@pytest.mark.parametrize(("precision", "is_last"), [("float32", False), ("tf32", True)])
def test_pytorchs_engine_measures_the_layout_in_which_its_backends_train_on_a_gpu(
    precision, is_last, pytorch
):
    assert pytorch["decisions"][precision]["engine"] == [is_last] * 3


def test_under_cuda_graphs_the_peak_is_that_from_the_start_as_replays_allocate_nothing(pytorch):
    peaks = pytorch["decisions"]["float32"]["peaks"]
    compiled = [500, False, False]  # bytes, begins anew, was reset
    assert peaks.pop("pytorch") == peaks.pop("pytorch-tuned") == [500, True, True]
    assert peaks == dict.fromkeys(peaks, compiled)
    assert len(peaks) == 4


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_on_a_gpu_pytorch_has_cuda_graphs_and_an_experiment_has_one_of_the_optimizer(
    precision, pytorch
):
    graph = ["reduce-overhead", None]
    # The model for predictions, model and loss, the optimizer.
    usual = [graph, graph, [None, None]]
    layout = [None, {"triton.cudagraphs": True, "layout_optimization": False}]
    assert pytorch["decisions"][precision]["compiled"] == {
        "pytorch": [],
        "pytorch-tuned": [],
        "pytorch-compiled": usual,
        "pytorch-compiled-channels-last": usual,
        "pytorch-compiled-contiguous": [layout, layout, [None, None]],
        "pytorch-compiled-update-graph": [graph, graph, graph],
    }


@pytest.mark.parametrize(("precision", "expected"), [("float32", "HIGHEST"), ("tf32", "HIGH")])
def test_every_product_of_jax_for_cuda_has_the_precision_of_the_job(precision, expected, jax):
    found = jax["lowered"][precision]
    assert found["platforms"] == ["cuda"]
    # Two convolutions of a model with one, as the images need no gradient; two products of three.
    assert found["products"] == {f"convolution {expected}": 2, f"dot_general {expected}": 6}


def test_a_call_of_jax_for_cuda_is_one_loop_without_the_host(jax):
    assert [(found["loops"], found["host"]) for found in jax["lowered"].values()] == [(1, 0)] * 2


def test_a_program_of_jax_has_no_more_operations_than_it_had(jax):
    found = {name: sum(kinds.values()) for name, kinds in jax["operations"].items()}
    assert found == JAX_PROGRAMS


def test_the_experiments_of_jax_change_the_loop_and_the_generator(jax):
    assert jax["experiments"] == {
        "jax": {"loops": 1, "generator": False, "one step": False},
        "jax-unroll": {"loops": 0, "generator": False, "one step": False},
        "jax-step": {"loops": 1, "generator": False, "one step": True},
        "jax-rbg": {"loops": 1, "generator": True, "one step": False},
    }


def test_max_pooling_by_comparisons_is_max_pooling_with_ties_and_without_numbers(jax):
    found = jax["pooling"]
    assert {name for name, equal in found.items() if equal != [True, True]} == set()
    assert len(found) == 5


@pytest.mark.parametrize(("adapter", "expected"), [("scan:Jax", True), ("tuned:JaxTuned", False)])
def test_only_plain_jax_gives_convolutions_to_ynnpack(adapter, expected, environments):
    module, name = adapter.split(":")
    code = f"""
import numpy as np
from backends.jax.{module} import {name}
from specs.loading import find_workload
from tests.devices.data import loaded, job_of
backend = loaded({name}, job_of("jax", find_workload("cnn")))
given = (backend._now, backend._data, np.zeros((1, 8), np.int32), None)
print("ynn_fusion" in backend._train.lower(*given).compile().as_text())
"""
    python = environments.require("jax")
    done = subprocess.run(
        [python, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(expected)]


@pytest.mark.parametrize("backend", ["jax", "keras-jax"])
def test_everything_of_jax_is_on_the_jobs_device_and_loading_is_waited_for(backend, jax):
    devices, expected = jax["residency"][backend]
    assert devices == [expected]
    assert jax["waits"][backend]


@pytest.mark.parametrize("backend", ["tensorflow", "keras-tensorflow"])
def test_everything_of_tensorflow_is_on_the_device_and_no_image_is_copied_to_it(
    backend, tensorflow
):
    found = tensorflow["placement"][backend]
    assert found["variables"] == ["/device:CPU:1"]
    assert found["ran"] > 100  # the graphs were seen
    assert "float" not in found["received"]


def test_keras_on_tensorflow_sends_row_numbers_only(tensorflow):
    assert tensorflow["elements"] == ["int64"]


def test_keras_on_tensorflow_has_a_variant_with_xla_and_the_tuned_one_has_it_on_gpus(tensorflow):
    assert tensorflow["XLA on GPU and CPU"] == {"tuned": [True, False], "xla": [True, True]}


def test_a_step_of_tensorflow_has_no_more_operations_than_it_had_and_a_kernel_per_update(
    tensorflow,
):
    found = {name: sum(kinds.values()) for name, kinds in tensorflow["operations"].items()}
    assert found == TENSORFLOW_STEPS
    assert tensorflow["operations"]["cnn"]["ResourceApplyAdadelta"] == 8
    assert tensorflow["operations"]["vgg-32"]["FusedBatchNormV3"] == 9
