"""The driver's figures of a device's memory, with a fake NVML and on a GPU."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from msgspec.structs import replace

from bench.machine.device import DevicePeak, DeviceWatch
from bench.machine.host import Machine, this_machine
from bench.machine.nvml import Gpu
from bench.runner.process import Worker
from bench.worker import memory
from tests.support.jobs import make_job
from tests.support.tasks import make_task

MB = 1_000_000


def test_instruments_that_are_not_there_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROCESSES", tmp_path / "none")
    assert memory.reset_peak() is False
    assert memory.peak_rss_bytes() is None
    # pynvml is not installed; there is no driver.
    for module in (None, fake_nvml(monkeypatch, gone=True)):
        monkeypatch.setitem(sys.modules, "pynvml", module)
        watch = DeviceWatch("GPU-a")
        watch.sample(1)
        assert watch.peak is None


def fake_nvml(monkeypatch, *, gone=False):
    """A fake of NVML's calls on a GPU.

    Tests set the memory in use (`used`) and that of each process (`held`); None: not known.
    """
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
        return [
            types.SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in module.held.items()
        ]

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
    """The process ids of a worker and its helper.

    Both are in the worker's session, as the bench starts it.
    """
    code = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60']);"
        " print(p.pid, flush=True); p.wait()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    helper = int(worker.stdout.readline())
    yield worker.pid, helper
    subprocess.run(["kill", str(helper)], check=False)
    worker.communicate(timeout=10)


def test_the_drivers_figure_is_the_highest_sum_of_the_worker_and_its_helpers_and_of_nobody_else(
    nvml, family
):
    worker, helper = family
    stranger = 1
    nvml.used = 900
    watch = DeviceWatch("GPU-a")
    for held in (
        {worker: 100, stranger: 5000},
        {worker: 300, helper: 40, stranger: 1},
        {worker: 200},
        {},
    ):
        nvml.held, nvml.used = held, 10_000
        watch.sample(worker)
    assert watch.peak == DevicePeak(peak_bytes=340, by="process")


@pytest.mark.parametrize(
    "hidden", ["nobody is listed", "another name space's numbers", "not told", "no list"]
)
def test_where_processes_are_hidden_the_gpus_own_figure_is_taken_and_called_that(
    hidden, nvml, family
):
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
        watch.sample(worker)
    assert watch.peak == DevicePeak(peak_bytes=700, by="device")


@pytest.mark.parametrize("later", [900, 100, None])
def test_a_gpu_that_nobody_took_anything_of_has_no_figure(later, nvml):
    nvml.used = 900
    watch = DeviceWatch("GPU-a")
    nvml.used = later
    watch.sample(2**22 + 1)
    assert watch.peak is None


@pytest.mark.parametrize("device", ["cuda:1", "2xcuda:0"])
def test_every_gpu_of_a_job_is_watched_from_before_its_start(device, nvml, mnist_5k, tmp_path):
    """The worker only waits; the driver's figure changes after it has started."""
    gpu = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")
    machine = Machine(
        name="m",
        system="s",
        cpu="c",
        logical_cpus=1,
        allowed_cpus=1,
        memory_bytes=1,
        gpus=(gpu, replace(gpu, index=1, uuid="GPU-b")),
    )
    job = make_job(device=device)
    task = replace(make_task("backends.reference.oracle:Reference", mnist_5k), job=job)
    looked = iter([400, 900, 700])
    monitored = nvml.nvmlDeviceGetMemoryInfo

    def info(handle):
        nvml.used = next(looked, 700) if handle == "GPU-b" else 100
        return monitored(handle)

    nvml.nvmlDeviceGetMemoryInfo = info
    with Worker(task, tmp_path, machine) as worker:
        ended = worker.result(60.0, lambda lines: None)
    assert ended.peak == DevicePeak(peak_bytes=500, by="device")


# 512 MB by the driver's own calls, no framework in between; says when it has taken and when it has
# given back.
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
        watch.sample(taker.pid)
        held = [each.usedGpuMemory for each in watch._processes() if each.pid == taker.pid]
        by_process.append(held[0] if held else None)
        by_device.append(watch._used_bytes())
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
