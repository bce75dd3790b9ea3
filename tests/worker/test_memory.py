"""Peaks of memory, each tested by a process that takes a known amount and gives it back."""

from __future__ import annotations

import json

import pytest

from backends.contract import DeviceMemory
from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.worker.training import _peak_of_training
from tests.support.processes import run_python
from tests.support.tasks import run_one

MB = 1_000_000
# The kernel counts resident pages per CPU in batches, exact to a few MB.
EXACT = 8 * MB
_CHILD = """
import json, resource, sys
sys.path.insert(0, {project!r})
from bench.worker.clock import Clock, measure
def peak(name, size):
    phase, _ = measure(name, lambda: bytearray(b"x") * size and None, lambda: None, Clock())
    return phase.peak_rss_bytes
peaks = [peak("load", 1), peak("train", 150_000_000), peak("predict", 1)]
peaks += [peak("train", 60_000_000), peak("predict", 1)]
print(json.dumps([peaks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""
_FAT_PARENT = """
import subprocess, sys
ballast = bytearray(b"x") * 400_000_000
child = [sys.executable, "-c", {child!r}]
print(subprocess.run(child, stdout=subprocess.PIPE, check=True, text=True).stdout)
"""


def test_a_phase_has_its_own_peak_whatever_came_before_it_and_whoever_started_the_process():
    child = _CHILD.format(project=str(PROJECT))
    (load, large, after, middle, last), of_process = json.loads(
        run_python(_FAT_PARENT.format(child=child))
    )
    if load is None:
        pytest.skip("this system has no VmHWM")
    assert large - load == pytest.approx(150 * MB, abs=EXACT)
    assert middle - load == pytest.approx(60 * MB, abs=EXACT)
    assert after - load == pytest.approx(0, abs=EXACT)
    assert last - load == pytest.approx(0, abs=EXACT)
    # `ru_maxrss`, which is not used, counts the parent's 400 MB, though the child never held more
    # than 200 MB.
    assert of_process >= 400 * MB
    assert large < 250 * MB


def test_a_jobs_record_has_the_memory_of_each_phase_though_its_parent_is_large(mnist_5k, tmp_path):
    ballast = bytearray(b"x") * (400 * MB)
    record = run_one("tests.support.takers:TakesAndGivesBack", mnist_5k, tmp_path)
    assert len(ballast) == 400 * MB
    assert record.status == "ok", record.details
    first, second, third = (
        [epoch.training.peak_rss_bytes, epoch.prediction.peak_rss_bytes] for epoch in record.epochs
    )
    if first[0] is None:
        pytest.skip("this system has no VmHWM")
    assert second[0] - first[0] == pytest.approx(150 * MB, abs=EXACT)
    assert third[0] - first[0] == pytest.approx(0, abs=EXACT)
    # The prediction needs more than its 60 MB; the training of 64 images needs less.
    assert first[1] - first[0] > 30 * MB
    assert second[1] - third[1] == pytest.approx(0, abs=EXACT)


def test_an_allocators_peak_is_that_of_steady_epochs_or_the_first_where_it_cannot_begin_anew():
    def of(*peaks, anew):
        return [DeviceMemory(allocator_peak_bytes=peak, began_anew=anew) for peak in peaks]

    assert _peak_of_training(of(90, anew=True)) == of(90, anew=True)[0]
    # The autotuner's 90 are in the first epoch only.
    assert _peak_of_training(of(90, 30, 50, 40, anew=True)) == DeviceMemory(
        allocator_peak_bytes=40, began_anew=True, first_epoch_bytes=90
    )
    # From the second on it holds a prediction.
    assert _peak_of_training(of(30, 90, 95, anew=False)) == of(30, anew=False)[0]


@pytest.mark.parametrize(("adapter", "peak"), [("Allocates", 70), ("AllocatesForGood", 500)])
def test_predictions_are_never_in_the_allocators_peak_and_what_came_before_only_if_it_must(
    adapter, peak, mnist_5k, tmp_path
):
    record = run_one(f"tests.support.takers:{adapter}", mnist_5k, tmp_path)
    assert record.device_memory == DeviceMemory(
        allocator_peak_bytes=peak,
        began_anew=adapter == "Allocates",
        first_epoch_bytes=70 if adapter == "Allocates" else None,
    )


# Takes 512 MB through the framework's own allocator, asks, gives it back, asks again.
_ALLOCATORS = {
    "torch": """
import torch
from backends.pytorch.device import device_memory
asked = lambda: device_memory(torch.device("cuda"))
def take():
    array = torch.ones(128_000_000, device="cuda")
    torch.cuda.synchronize()
""",
    "tensorflow": """
import tensorflow as tf
from backends.tensorflow.device import device_memory
from types import SimpleNamespace
for gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(gpu, True)
asked = lambda: device_memory(SimpleNamespace(device="cuda:0"))
def take():
    with tf.device("GPU:0"):
        array = tf.ones([128_000_000])
    assert float(array[0]) == 1.0
""",
    "jax": """
import jax
from backends.jax.device import device_memory
asked = lambda: device_memory(jax.devices("cuda")[0])
def take():
    jax.numpy.ones(128_000_000, "float32").block_until_ready()
""",
}
_ASK = """
import sys
sys.path.insert(0, {project!r})
{framework}
asked()
take()
taken = asked()
after = asked()
print(taken.allocator_peak_bytes, after.allocator_peak_bytes, int(taken.began_anew))
"""


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("name", list(_ALLOCATORS))
def test_every_allocator_sees_what_was_taken_and_begins_anew_if_it_says_so(name):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    python = Environments().python(name)
    assert python is not None, f"bench environment create {name}"
    code = _ASK.format(project=str(PROJECT), framework=_ALLOCATORS[name])
    taken, after, anew = map(int, run_python(code, python=str(python)).split())
    assert taken == pytest.approx(512 * MB, rel=0.02)
    assert bool(anew) == (name != "jax")
    assert after == pytest.approx(0 if anew else taken, abs=16 * MB)


_HELPER = """
import sys
for line in sys.stdin:
    sum(i * i for i in range(4_000_000))
    b"x" * 90_000_000
    print("done", flush=True)
"""
_ELSEWHERE = """
import json, subprocess, sys
sys.path.insert(0, {project!r})
from bench.worker import clock
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child = subprocess.Popen([sys.executable, "-c", {helper!r}], **pipes)
def ask():
    child.stdin.write(b"work\\n"), child.stdin.flush(), child.stdout.readline()
def phase():
    phase, _ = clock.measure("train", ask, lambda: None, clock.Clock())
    return [phase.cpu_seconds, phase.wall_seconds, phase.peak_rss_bytes]
phases = [phase()]
for processes in (lambda: [child.pid], lambda: None):
    clock.count_others(processes)
    phases.append(phase())
clock.count_others(lambda: [child.pid])
child.kill(), child.wait()
print(json.dumps([*phases, clock.cpu_seconds()]))
"""


def test_cpu_time_and_memory_are_those_of_the_other_processes_too_or_unknown():
    alone, both, unknown, gone = json.loads(
        run_python(_ELSEWHERE.format(project=str(PROJECT), helper=_HELPER))
    )
    if alone[2] is None:
        pytest.skip("this system has no VmHWM")
    # This process only waits for the child.
    assert alone[0] < 0.5 * both[0]
    # The child computes all the time of the call; a busy machine may give it half of a core.
    assert both[1] * 0.2 < both[0] < both[1] * 1.05
    assert both[2] > alone[2] + 90 * MB
    assert unknown[0] is unknown[2] is None
    assert unknown[1] > 0
    assert gone is None
