"""Short programs that a framework's Python runs on a GPU; each prints its answer last."""

from __future__ import annotations

# The UUIDs of the GPUs that CUDA sees, in its order.
UUIDS = """
import json, torch
count = torch.cuda.device_count()
name_of = lambda device: "GPU-" + str(device.uuid).removeprefix("GPU-")
print(json.dumps([name_of(torch.cuda.get_device_properties(n)) for n in range(count)]))
"""

# On the only visible GPU or slice: its name, the energy counter under load, the lists of NVML that
# contain this process, and the time of a small operation. The arguments are the CPUs near the GPU,
# and the other CPUs, as JSON.
ON_GPU = """
import json, os, sys, time, torch
near, far = (json.loads(text) for text in sys.argv[1:])
device = torch.cuda.get_device_properties(0)
large = torch.ones(4096, 4096, device="cuda")
small = torch.ones(1, device="cuda")

def measured_energy(nvml, board):
    changes, last = [], nvml.nvmlDeviceGetTotalEnergyConsumption(board)
    done, until = None, time.monotonic() + 1
    while time.monotonic() < until:
        if done is None or done.query():
            for _ in range(8):
                torch.mm(large, large)
            done = torch.cuda.Event()
            done.record()
        energy = nvml.nvmlDeviceGetTotalEnergyConsumption(board)
        if energy != last:
            changes.append((time.monotonic(), energy))
            last = energy
    return changes

def seconds_of_an_operation(cpus):
    if cpus:
        os.sched_setaffinity(0, cpus)
    for count in (100, 2000):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            small.add_(1)
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / 2000

answers = {"seen": f"{device.name}, {device.total_memory / 2**30:.1f} GiB", "lists": []}
places = {"near": near, "far": far} if near and far else {"anywhere": near}
answers["launch"] = {name: seconds_of_an_operation(cpus) for name, cpus in places.items()}
try:
    import pynvml
    pynvml.nvmlInit()
    uuid = os.environ["CUDA_VISIBLE_DEVICES"]
    board = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    for name in (
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetMPSComputeRunningProcesses",
    ):
        try:
            if os.getpid() in [process.pid for process in getattr(pynvml, name)(board)]:
                answers["lists"].append(name)
        except Exception:
            pass
    answers["energy"] = measured_energy(pynvml, board)
except Exception as error:
    answers["energy"] = f"{type(error).__name__}: {error}"
print(json.dumps(answers))
"""

# Environment -> a program that compiles a function for a GPU.
COMPILING = {
    "torch": """
import torch
function = torch.compile(lambda x: torch.tanh(torch.exp(x)) + torch.log(x))
print(f"{float(function(torch.tensor(2.0, device='cuda'))):.3f}")
""",
    "jax": """
import jax
from jax import numpy as jnp
device = jax.devices("cuda")[0]
function = jax.jit(lambda x: jnp.tanh(jnp.exp(x)) + jnp.log(x))
print(f"{float(function(jax.device_put(2.0, device))):.3f} on {device}")
""",
    "tensorflow": """
import tensorflow as tf
assert tf.config.list_physical_devices("GPU"), "TensorFlow sees no GPU"
@tf.function(jit_compile=True)
def function(x):
    return tf.tanh(tf.exp(x)) + tf.math.log(x)
with tf.device("GPU:0"):
    result = function(tf.constant(2.0))
print(f"{float(result):.3f} on {result.device}")
""",
}

JAX_ON_CPU = """
import jax
print(f"{float(jax.numpy.ones(3).sum())} on {jax.devices()}")
"""
