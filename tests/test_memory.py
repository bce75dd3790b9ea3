"""The memory instruments, each proven by a probe that takes a known amount and gives it back."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest

from backends.contract import DeviceMemory
from bench import memory
from bench.environments import PROJECT, Environments
from bench.machine import Gpu, Machine, this_machine
from bench.memory import DevicePeak, DeviceWatch
from bench.process import Files, Task, run_worker
from bench.record import Line
from bench.worker import _peak_of_training
from conftest import make_job, run_python
from test_ends import make_task, run_one

MB = 1_000_000
# The kernel counts resident pages per CPU in batches, exact to a few MB.
EXACT = 8 * MB

_CHILD = """
import json, resource, sys
sys.path.insert(0, {project!r})
from bench.measure import Clock, measure
def peak(name, size):
    return measure(name, lambda: bytearray(b"x") * size and None, lambda: None, Clock())[0].peak_rss_bytes
peaks = [peak("load", 1), peak("train", 150_000_000), peak("predict", 1), peak("train", 60_000_000), peak("predict", 1)]
print(json.dumps([peaks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""
_FAT_PARENT = """
import subprocess, sys
ballast = bytearray(b"x") * 400_000_000
print(subprocess.run([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, check=True, text=True).stdout)
"""


def test_a_phase_has_its_own_peak_whatever_came_before_it_and_whoever_started_the_process():
    child = _CHILD.format(project=str(PROJECT))
    (load, large, after, middle, last), of_process = json.loads(run_python(_FAT_PARENT.format(child=child)))
    if load is None:
        pytest.skip("this system has no VmHWM")
    assert large - load == pytest.approx(150 * MB, abs=EXACT)
    assert middle - load == pytest.approx(60 * MB, abs=EXACT)
    assert after - load == pytest.approx(0, abs=EXACT)
    assert last - load == pytest.approx(0, abs=EXACT)
    # The instrument that is not used: 400 MB of a parent, in a process that never held more than 200.
    assert of_process >= 400 * MB
    assert large < 250 * MB


def test_a_jobs_record_has_the_memory_of_each_phase_though_its_parent_is_large(mnist_5k, tmp_path):
    ballast = bytearray(b"x") * (400 * MB)
    record = run_one("tests.takers:TakesAndGivesBack", mnist_5k, tmp_path)
    assert len(ballast) == 400 * MB
    assert record.status == "ok", record.details
    first, second, third = ([epoch.training.peak_rss_bytes, epoch.prediction.peak_rss_bytes] for epoch in record.epochs)
    if first[0] is None:
        pytest.skip("this system has no VmHWM")
    assert second[0] - first[0] == pytest.approx(150 * MB, abs=EXACT)
    assert third[0] - first[0] == pytest.approx(0, abs=EXACT)
    assert first[1] - first[0] > 30 * MB  # the prediction needs more than the 60 MB, the training of 64 images less
    assert second[1] - third[1] == pytest.approx(0, abs=EXACT)


def test_instruments_that_are_not_there_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "none" / "either")
    assert memory.reset_peak() is False
    assert memory.peak_rss_bytes() is None
    for module in (None, fake_nvml(monkeypatch, gone=True)):  # pynvml that is not installed; no driver
        monkeypatch.setitem(sys.modules, "pynvml", module)
        watch = DeviceWatch("GPU-a")
        watch.look(1)
        assert watch.peak is None


def fake_nvml(monkeypatch, *, gone=False):
    """NVML's calls on a GPU; the tests say what is in use (`used`) and who holds what (`held`), None: not told."""
    module = types.ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    module.used, module.held, module.lists = 0, {}, True

    def handle(uuid):
        if gone:
            raise module.NVMLError("no driver")
        return uuid

    def processes(_):
        if not module.lists:
            raise module.NVMLError("Not Supported")
        return [types.SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in module.held.items()]

    def info(_):
        if module.used is None:
            raise module.NVMLError("Not Supported")
        return types.SimpleNamespace(used=module.used)

    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = handle
    module.nvmlDeviceGetComputeRunningProcesses = processes
    module.nvmlDeviceGetMemoryInfo = info
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


@pytest.fixture
def nvml(monkeypatch):
    return fake_nvml(monkeypatch)


@pytest.fixture
def family():
    """A worker with a helper, both in the worker's session, as the bench starts it; their process ids."""
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    helper = int(worker.stdout.readline())
    yield worker.pid, helper
    subprocess.run(["kill", str(helper)], check=False)
    worker.communicate(timeout=10)


def test_the_drivers_figure_is_the_highest_sum_of_the_worker_and_its_helpers_and_of_nobody_else(nvml, family):
    worker, helper = family
    stranger = 1
    nvml.used = 900
    watch = DeviceWatch("GPU-a")
    for held in ({worker: 100, stranger: 5000}, {worker: 300, helper: 40, stranger: 1}, {worker: 200}, {}):
        nvml.held, nvml.used = held, 10_000
        watch.look(worker)
    assert watch.peak == DevicePeak(peak_bytes=340, by="process")


@pytest.mark.parametrize("hidden", ["nobody is listed", "another name space's numbers", "not told", "no list"])
def test_where_processes_are_hidden_the_gpus_own_figure_is_taken_and_called_that(hidden, nvml, family):
    worker, helper = family
    nvml.held = {
        "nobody is listed": {},
        "another name space's numbers": {2**22 + 1: 700},
        "not told": {worker: 300, helper: None},
        "no list": {},
    }[hidden]
    nvml.lists = hidden != "no list"
    nvml.used = 900
    watch = DeviceWatch("GPU-a")
    for used in (1000, 1600, 1200, 950):
        nvml.used = used
        watch.look(worker)
    assert watch.peak == DevicePeak(peak_bytes=700, by="device")


@pytest.mark.parametrize("later", [900, 100, None])
def test_a_gpu_that_nobody_took_anything_of_has_no_figure(later, nvml):
    nvml.used = 900
    watch = DeviceWatch("GPU-a")
    nvml.used = later
    watch.look(2**22 + 1)
    assert watch.peak is None


def test_a_job_on_a_gpu_is_watched_from_before_its_start(nvml, mnist_5k, tmp_path):
    """The worker is no framework but a pause; what the driver says changes when it has started."""
    gpu = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")
    machine = Machine(name="m", system="s", cpu="c", logical_cpus=1, allowed_cpus=1, memory_bytes=1, gpus=(gpu,))
    task = Task(
        **{
            name: getattr(make_task("backends.reference:Reference", mnist_5k), name)
            for name in ("key", "entry", "python", "versions", "adapter", "adapter_checksum")
        },
        job=make_job(device="cuda:0"),
    )
    files = Files(**{name: tmp_path / name for name in ("assignment", "lines", "log")})
    looked = iter([400, 900, 700])
    monitored = nvml.nvmlDeviceGetMemoryInfo

    def info(handle):
        nvml.used = next(looked, 700)
        return monitored(handle)

    nvml.nvmlDeviceGetMemoryInfo = info
    ended = run_worker("this", task, task.job, files, machine, 60.0, Line)
    assert ended.peak == DevicePeak(peak_bytes=500, by="device")


def test_an_allocators_peak_is_the_largest_epochs_or_the_first_where_it_cannot_begin_anew():
    def of(peak, *, anew):
        return DeviceMemory(allocator_peak_bytes=peak, began_anew=anew)

    assert _peak_of_training(None, None) is None
    found = None
    for peak in (30, 50, 40):
        found = _peak_of_training(found, of(peak, anew=True))
    assert found == of(50, anew=True)
    found = None
    for peak in (30, 90, 95):  # from the second on it holds a prediction
        found = _peak_of_training(found, of(peak, anew=False))
    assert found == of(30, anew=False)


@pytest.mark.parametrize(("adapter", "peak"), [("Allocates", 70), ("AllocatesForGood", 500)])
def test_predictions_are_never_in_the_allocators_peak_and_what_came_before_only_if_it_must(
    adapter, peak, mnist_5k, tmp_path
):
    record = run_one(f"tests.takers:{adapter}", mnist_5k, tmp_path)
    assert record.device_memory == DeviceMemory(allocator_peak_bytes=peak, began_anew=adapter == "Allocates")


# What needs a GPU.

# 512 MB by the driver's own calls, no framework in between; says when it has taken and when it has given back.
_TAKES = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    assert code == 0, (name, code)
device, context, at = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
call("cuInit", 0)
call("cuDeviceGet", ctypes.byref(device), 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call("cuCtxSetCurrent", context)
for step in ("nothing", "taken", "given back"):
    if step == "taken":
        call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(512_000_000))
    if step == "given back":
        call("cuMemFree_v2", at)
    print(step, flush=True)
    sys.stdin.readline()
"""
_GPU_EXACT = 4 * MB  # it is given out in pages of 2 MiB


@pytest.mark.gpu
def test_both_of_the_drivers_figures_see_what_a_process_takes_and_gives_back():
    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    by_process, by_device = [], []
    watch = DeviceWatch(gpus[0].uuid)
    taker = subprocess.Popen(
        [sys.executable, "-c", _TAKES],
        env={"CUDA_VISIBLE_DEVICES": gpus[0].uuid},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for step in ("nothing", "taken", "given back"):
        assert taker.stdout.readline().strip() == step
        watch.look(taker.pid)
        by_process.append(watch._held(taker.pid))
        by_device.append(watch._used())
        taker.stdin.write("\n")
        taker.stdin.flush()
    taker.communicate(timeout=30)
    print(by_process, by_device, watch.peak)
    for nothing, taken, given_back in (by_device, by_process):
        if nothing is None:  # a container hides processes: then the peak says that it is the GPU's
            assert watch.peak.by == "device"
            continue
        assert taken - nothing == pytest.approx(512 * MB, abs=_GPU_EXACT)
        assert given_back - nothing == pytest.approx(0, abs=_GPU_EXACT)


# Takes 512 MB through the framework's own allocator, asks, gives it back, asks again.
_ALLOCATORS = {
    "torch": """
import torch
from backends.pytorch_device import device_memory
asked = lambda: device_memory(torch.device("cuda"))
def take():
    array = torch.ones(128_000_000, device="cuda")
    torch.cuda.synchronize()
""",
    "tensorflow": """
import tensorflow as tf
from backends.tensorflow_device import device_memory
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
from backends.jax_device import device_memory
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
