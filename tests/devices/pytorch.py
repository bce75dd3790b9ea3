"""What PyTorch's adapters do in a step, and where: `python -m tests.devices.pytorch`."""

from __future__ import annotations

import json
from collections import Counter
from unittest import mock

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from backends.pytorch import compiled as compiled_module
from backends.pytorch import eager
from backends.pytorch.compiled import PyTorchCompiled
from backends.pytorch.eager import PyTorch
from backends.pytorch.engine import PyTorchEngine
from backends.pytorch.experiments import (
    PyTorchChannelsLast,
    PyTorchContiguous,
    PyTorchUpdateGraph,
)
from backends.pytorch.layers import Model
from backends.pytorch.tuned import PyTorchTuned
from bench.worker.verification.models import MODELS
from specs.loading import find_workload
from tests.devices.data import DENORMAL, counted, job_of, loaded

ADAPTERS = {"pytorch": PyTorch, "pytorch-tuned": PyTorchTuned}
COMPILED = {
    "pytorch-compiled": PyTorchCompiled,
    "pytorch-compiled-channels-last": PyTorchChannelsLast,
    "pytorch-compiled-contiguous": PyTorchContiguous,
    "pytorch-compiled-update-graph": PyTorchUpdateGraph,
}
_KERNEL = 4  # dimensions of a convolution's kernel
WORKLOADS = ("softmax", "mlp-relu-dropout", "cnn", "batch norm, nesterov")


class _Counting(TorchDispatchMode):
    """Counts the operations below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def steps_of(name, workload):
    """The operations of a step, and those of an epoch besides."""
    workload = MODELS.get(workload) or find_workload(workload)
    backend = loaded(ADAPTERS[name], job_of(name, workload))
    backend.train_epoch(np.arange(32))  # the optimizer creates its state

    def count(examples):
        with _Counting() as counting:
            backend.train_epoch(np.arange(examples))
        return counting.counts

    return counted(count)


def gradients_in_forward(name):
    """How many gradients exist when a forward pass begins, at most; in two epochs."""
    backend = loaded(ADAPTERS[name], job_of(name, "batch norm, nesterov"))
    found = []

    def look(*_):
        found.append(sum(weight.grad is not None for weight in backend._model.parameters()))

    backend._model.register_forward_pre_hook(look)
    backend.train_epoch(np.arange(40))
    backend.train_epoch(np.arange(40))
    return max(found)


class _OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, as CUDA does; a scalar may be on the CPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket not in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            devices = {x.device.type for x in tensors if x.ndim or x.device.type != "cpu"}
            assert len(devices) < 2, f"{func} on {devices}"
        return func(*args, **(kwargs or {}))


def placement(model):
    """The devices of all weights, optimizer state and data after an epoch on a device.

    The device is "meta": it has shapes and no values, so the loss of the epoch is not read.
    """
    with (
        mock.patch.object(eager, "require_device", return_value=torch.device("meta")),
        mock.patch.object(torch.Tensor, "item", return_value=1.0),
        _OneDevice(),
    ):
        backend = loaded(PyTorch, job_of("pytorch", model, device="cuda:0"))
        backend.train_epoch(np.arange(37))
    optimizer = backend._optimizer
    if isinstance(optimizer, torch.optim.Optimizer):
        # PyTorch keeps the number of a step on the CPU.
        slots = [
            value
            for state in optimizer.state.values()
            for key, value in state.items()
            if isinstance(value, torch.Tensor) and key != "step"
        ]
    else:
        slots = [tensor for tensors, _ in optimizer._slots for tensor in tensors]
    weights = [tensor for _, tensor, _ in backend._model.tensors()]
    every = [*weights, *slots, backend._images, backend._labels]
    return sorted({tensor.device.type for tensor in every})


def decisions(precision):
    """How the adapters set PyTorch up for a GPU; the model stays on the CPU.

    "compiled" has mode and options of each call of the compiler, by backend; "peaks" the peak of
    memory, and whether it begins anew and was reset.
    """
    compiled, move = {}, Model.to

    def record(function, **options):
        compiled[name].append([options.get("mode"), options.get("options")])
        return function

    def to(model, device=None, **options):
        return move(model, **options) if options else model

    with (
        mock.patch("torch.accelerator.is_available", return_value=True),
        mock.patch("torch.accelerator.current_accelerator", return_value=torch.device("cuda")),
        mock.patch("torch.cuda.get_device_capability", return_value=(9, 0)),
        mock.patch.object(Model, "to", to),
        mock.patch.object(compiled_module, "require_compiler"),
        mock.patch.object(torch, "compile", record),
        mock.patch.object(torch.nn.Module, "compile", record),
    ):
        layouts, peaks = {}, {}
        for name, adapter in {**ADAPTERS, **COMPILED}.items():
            compiled[name] = []
            job = job_of(name, "tanh, sgd", device="cuda:0", precision=precision)
            layouts[name] = _is_channels_last((backend := adapter(job))._model.parameters())
            peaks[name] = _peak(backend)
        engine = PyTorchEngine(job)
    return {
        "compiled": compiled,
        "channels last": layouts,
        "engine": _engine_is_channels_last(engine),
        "peaks": peaks,
        "matmul": torch.get_float32_matmul_precision(),
        "tf32 in convolutions": torch.backends.cudnn.allow_tf32,
        "autotuned": torch.backends.cudnn.benchmark,
    }


def _is_channels_last(tensors):
    kernels = [tensor for tensor in tensors if tensor.ndim == _KERNEL]
    return all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def _peak(backend):
    with (
        mock.patch("torch.cuda.max_memory_allocated", return_value=500),
        mock.patch("torch.cuda.reset_peak_memory_stats") as reset,
    ):
        memory = backend.device_memory()
    return [memory.allocator_peak_bytes, memory.began_anew, reset.called]


def _engine_is_channels_last(engine):
    """Whether images, their convolution and its kernel are; they are computed on the CPU."""
    engine._device = torch.device("cpu")
    random = np.random.default_rng(0)
    given, kernel = random.random((2, 5, 5, 3), np.float32), random.random((3, 3, 3, 3), np.float32)
    images = engine.put(given)
    assert np.array_equal(engine.read(images), given)
    with mock.patch("torch.nn.functional.conv2d", side_effect=torch.conv2d) as conv2d:
        result = engine.convolution(kernel)(images)
    return [_is_channels_last([tensor]) for tensor in (*conv2d.call_args.args, result)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    answers = {
        "denormal": float((torch.full((1000,), DENORMAL) * 0.9).max()),
        "steps": {name: {w: steps_of(name, w) for w in WORKLOADS} for name in ADAPTERS},
        "gradients": {name: gradients_in_forward(name) for name in ADAPTERS},
        "placement": {model: placement(model) for model in MODELS},
        "decisions": {precision: decisions(precision) for precision in ("float32", "tf32")},
    }
    print(json.dumps(answers))
