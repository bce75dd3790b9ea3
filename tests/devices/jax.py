"""What JAX's adapters compile for a GPU, and where they keep data: `python -m tests.devices.jax`.

It has two devices: the CPU, twice. Lowering for CUDA needs no GPU.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from unittest import mock

import jax
import numpy as np

from backends.jax import device as jax_device
from backends.jax.experiments import JaxRbg, JaxStep, JaxUnroll
from backends.jax.layers import max_pool
from backends.jax.scan import Jax
from backends.jax.tuned import max_pool_by_comparisons
from backends.keras.jax import KerasJax
from specs.loading import find_workload
from tests.devices.data import DENORMAL, SIZE, examples_of, job_of, loaded

MODEL = "batch norm, nesterov"  # convolutions, pools and products
EXPERIMENTS = {"jax": Jax, "jax-unroll": JaxUnroll, "jax-step": JaxStep, "jax-rbg": JaxRbg}
_PRODUCT = re.compile(r"stablehlo\.(dot_general|convolution)\b.*")
_PRECISION = re.compile(r"precision(?:_config)?\s*=\s*\[([^\]]*)\]")


def exported_of(backend):
    """The training program of three steps for CUDA."""
    batches = np.arange(3 * SIZE, dtype=np.int32).reshape(3, SIZE)
    return jax.export.export(backend._train, platforms=["cuda"])(
        backend._now, backend._data, batches, None
    )


def experiment(name, adapter):
    """What the program for CUDA of a model with dropout has; whether a call is of one step."""
    backend = loaded(adapter, job_of(name, find_workload("mlp-relu-dropout")))
    text = exported_of(backend).mlir_module()
    return {
        "loops": len(re.findall(r"stablehlo\.while", text)),
        "generator": "stablehlo.rng_bit_generator" in text,
        "one step": backend._steps == 1,
    }


def lowered(precision):
    """What the training program for CUDA has: precision of products, loops, calls of the host."""
    with mock.patch("backends.jax.device.require_hardware"):  # TF32 is lowered, and not run
        backend = loaded(Jax, job_of("jax", MODEL, precision=precision))
    exported = exported_of(backend)
    text = exported.mlir_module()
    products = Counter()
    for line in text.splitlines():
        if found := _PRODUCT.search(line):
            precisions = _PRECISION.search(line)
            words = set(re.findall(r"[A-Z][A-Z0-9]+", precisions.group(1))) if precisions else {""}
            products[f"{found.group(1)} {' '.join(sorted(words))}"] += 1
    return {
        "platforms": list(exported.platforms),
        "products": products,
        "loops": len(re.findall(r"stablehlo\.while", text)),
        "host": len(re.findall(r"callback|infeed|outfeed|stablehlo\.(?:send|recv)\b", text)),
    }


def residency(adapter, name):
    """The devices of data, weights and results, for a job on the second device."""
    second = jax.devices()[1]

    def require_device(_):
        jax.config.update("jax_default_device", second)
        return second

    with mock.patch.object(jax_device, "require_device", require_device):
        backend = loaded(adapter, job_of(name, MODEL))
        # An order of a batch is the host's; nothing else may move.
        with jax.transfer_guard_device_to_device("disallow"):
            backend.train_epoch(np.arange(3 * SIZE + 5))
        images = examples_of(backend._job.workload)[0]
        backend.predict(images)
    if adapter is Jax:
        values = jax.tree.leaves((backend._now, backend._data))
    else:
        model = backend._model
        variables = (*model.variables, *model.optimizer.variables)
        values = [*backend._data, *(variable.value for variable in variables)]
    return sorted({str(device) for value in values for device in value.devices()}), str(second)


def waits(adapter, name):
    """Whether `sync` waits for the examples as well as for the weights."""
    backend = loaded(adapter, job_of(name, MODEL))
    waited = []
    with mock.patch.object(jax, "block_until_ready", waited.append):
        backend.sync()
    found = {id(leaf) for leaf in jax.tree.leaves(waited)}
    return all(id(part) in found for part in backend._data)


def operations(workload):
    """How many operations the program for CUDA has before it is compiled, by kind."""
    backend = loaded(Jax, job_of("jax", find_workload(workload)))
    kinds = re.findall(r"stablehlo\.(\w+)", exported_of(backend).mlir_module())
    return Counter(kind for kind in kinds if kind not in {"constant", "mesh", "return"})


def pooling():
    """Whether both ways of max pooling have the same values, and the same gradients."""
    random, equal = np.random.default_rng(0), {}
    cases = {
        "plain": ((2, 2), random.standard_normal((3, 6, 8, 2))),
        "ties": ((2, 2), random.integers(0, 2, (3, 6, 8, 2))),
        "rest": ((2, 3), random.integers(0, 3, (2, 7, 8, 1))),
        "infinite": ((3, 2), np.full((1, 3, 4, 1), -np.inf)),
        "not a number": (
            (2, 2),
            np.array([[0, np.nan, 2, 1], [1, 0, 1, np.nan]]).reshape(1, 2, 4, 1),
        ),
    }
    for name, (window, values) in cases.items():
        images = np.asarray(values, np.float32)
        pulls = [
            jax.vjp(lambda x, pool=pool, window=window: pool(x, window), images)
            for pool in (max_pool, max_pool_by_comparisons)
        ]
        # With NaN in a window the gradient of one goes to another place than that of the other.
        has_gradients = not np.isnan(images).any()
        pairs = [
            (pooled, pull(1 + pooled)[0] if has_gradients else pooled) for pooled, pull in pulls
        ]
        equal[name] = [np.array_equal(*found, equal_nan=True) for found in zip(*pairs, strict=True)]
    return equal


def denormal():
    """A denormal number times 0.9."""
    given = np.full(1000, DENORMAL, np.float32)
    return float(np.asarray(jax.jit(lambda x: x * 0.9)(given)).max())


if __name__ == "__main__":
    adapters = {"jax": Jax, "keras-jax": KerasJax}
    answers = {
        "denormal": denormal(),
        "operations": {name: operations(name) for name in ("softmax", "mlp-relu", "cnn")},
        "experiments": {name: experiment(name, adapter) for name, adapter in EXPERIMENTS.items()},
        "lowered": {precision: lowered(precision) for precision in ("float32", "tf32")},
        "pooling": pooling(),
        "waits": {name: waits(adapter, name) for name, adapter in adapters.items()},
        "residency": {name: residency(adapter, name) for name, adapter in adapters.items()},
    }
    print(json.dumps(answers))
