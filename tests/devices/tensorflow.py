"""Where TensorFlow's adapters compute, and what they copy: `python -m tests.devices.tensorflow`.

It has two devices: the CPU, twice. The second stands for a GPU.
"""

from __future__ import annotations

import json
from collections import Counter
from unittest import mock

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from backends.keras.tensorflow import KerasTensorFlow, KerasTensorFlowTuned
from backends.tensorflow import device
from backends.tensorflow.loop import TensorFlow
from specs.loading import find_workload
from tests.devices.data import DENORMAL, SIZE, job_of, loaded

MODEL = "batch norm, nesterov"
_PREFIX = "/job:localhost/replica:0/task:0"
SECOND = "/device:CPU:1"
FREE = {"Const", "Identity", "NoOp", "Placeholder"}  # they compute nothing


def placement(adapter, name):
    """The devices of the variables, and the types of what is copied to the second device.

    The types are those of receiving nodes in the functions' graphs, after TensorFlow has split them
    by device.
    """
    with tf.device(SECOND):
        backend = loaded(adapter, job_of(name, MODEL))
        context.enable_run_metadata()
        backend.train_epoch(np.arange(3 * SIZE + 5))
        metadata = context.export_run_metadata()
        context.disable_run_metadata()
    received, ran = Counter(), Counter()
    for graphs in metadata.function_graphs:
        for graph in graphs.partition_graphs:
            for node in graph.node:
                ran[node.op] += node.device.endswith(SECOND)
                if node.op == "_Recv" and node.device.endswith(SECOND):
                    received[tf.as_dtype(node.attr["tensor_type"].type).name] += 1
    devices = {variable.device.removeprefix(_PREFIX) for variable in variables_of(backend)}
    return {"variables": sorted(devices), "received": received, "ran": sum(ran.values())}


def variables_of(backend):
    """All variables with examples, weights or optimizer state."""
    if isinstance(backend, TensorFlow):
        slots = [slot for slots in backend._optimizer._slots.values() for slot in slots]
        weights = (*backend._weights.values(), *backend._state.values())
        return (*weights, *slots, backend._images, backend._labels)
    model = backend._model
    states = (variable.value for variable in (*model.variables, *model.optimizer.variables))
    return (*states, *backend._examples)


def elements():
    """The types of what the pipeline of Keras on TensorFlow makes."""
    backend = loaded(KerasTensorFlow, job_of("keras-tensorflow", MODEL))
    return [spec.dtype.name for spec in tf.nest.flatten(backend._pipeline.element_spec)]


def compiles(tuned):
    """Whether `fit` compiles with XLA, for a job on a GPU; and for one on a CPU."""
    adapter, name = (
        (KerasTensorFlowTuned, "keras-tensorflow-tuned")
        if tuned
        else (KerasTensorFlow, "keras-tensorflow-xla")
    )
    with mock.patch.object(device, "configure"):
        backends = [adapter(job_of(name, "softmax", device=kind)) for kind in ("cuda:0", "cpu")]
    return [backend._model.jit_compile for backend in backends]


def operations(workload):
    """How many operations a training step has, by kind."""
    backend = loaded(TensorFlow, job_of("tensorflow", find_workload(workload)))
    graph = backend._epoch.get_concrete_function().graph
    [loop] = [node for node in graph.get_operations() if "While" in node.type]
    body = graph._functions[loop.get_attr("body").name]
    kinds = Counter(node.op for node in body.cached_definition.node_def)
    return {kind: number for kind, number in kinds.items() if kind not in FREE}


if __name__ == "__main__":
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    adapters = {"tensorflow": TensorFlow, "keras-tensorflow": KerasTensorFlow}
    answers = {
        "operations": {name: operations(name) for name in ("softmax", "cnn", "vgg-32")},
        "placement": {name: placement(adapter, name) for name, adapter in adapters.items()},
        "elements": elements(),
        "XLA on GPU and CPU": {"tuned": compiles(tuned=True), "xla": compiles(tuned=False)},
        # Last, as the adapters set threads, which cannot be done after a computation.
        "denormal": float((tf.fill([1000], DENORMAL) * 0.9).numpy().max()),
    }
    print(json.dumps(answers))
