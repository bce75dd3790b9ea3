"""What drivers answer, with a library of our own under NVIDIA's real binding.

No answer ends a run: what is not told is None.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pynvml
import pytest

from bench.machine import room
from bench.machine.device import DevicesWatch, DeviceWatch
from bench.machine.host import this_machine
from bench.machine.needs import Needs
from bench.machine.nvml import OpenGpu, cpus_near, gpus
from bench.machine.watch import Watch
from bench.worker.energy import meters
from specs.errors import UserError
from tests.support import nvml
from tests.support.nvml import GIB, board, part, system

BOARD = "GPU-0000-board"
ME = os.getpid()  # also the session of a process that stands for the worker


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nvml")
    return {old: nvml.build(folder / str(old), old=old) for old in (False, True)}


@pytest.fixture
def driver(libraries, tmp_path, monkeypatch):
    return nvml.load(libraries[False], tmp_path / "answers", monkeypatch)


@pytest.fixture
def old_driver(libraries, tmp_path, monkeypatch):
    return nvml.load(libraries[True], tmp_path / "answers", monkeypatch)


@pytest.fixture
def worker():
    """A process with a session of its own, as a worker is."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def watched(worker, samples=1):
    watch = DeviceWatch(BOARD)
    for _ in range(samples):
        watch.sample(worker)
    return watch


def test_a_driver_that_tells_everything(driver):
    driver.answer(system(1), board(0))
    [gpu] = gpus(None)
    assert (gpu.device, gpu.uuid, gpu.name) == ("cuda:0", BOARD, "NVIDIA A100-SXM4-80GB")
    assert (gpu.memory_bytes, gpu.driver, gpu.partition) == (80 * GIB, "580.65.06", "")
    assert gpu.compute_capability == "8.0"


ANSWERS = {
    "no driver": [],
    "no count": [system("error 999")],
    "a count and no GPU": [system(4)],
    "no permission on any": [system(1), board(0, Handle="error 4")],
    "a GPU that is lost": [system(1), board(0, Handle="error 15")],
    "a GPU without a UUID": [system(1), board(0, UUID="error 999")],
    "divided, and no instance": [system(1), board(0, MigMode="1 1", MaxMigDeviceCount="7")],
    "divided, and it does not tell into how many": [system(1), board(0, MigMode="1 1")],
}


@pytest.mark.parametrize("answers", ANSWERS)
def test_without_a_gpu_that_can_be_used_there_is_none(answers, driver):
    driver.answer(*ANSWERS[answers])
    assert gpus(None) == ()


def test_a_gpu_that_this_process_may_not_use_has_no_number_as_cuda_counts(driver):
    driver.answer(system(3), board(0), board(1, Handle="error 4"), board(2))
    assert [(gpu.device, gpu.uuid) for gpu in gpus(None)] == [
        ("cuda:0", BOARD),
        ("cuda:1", "GPU-2222-board"),
    ]
    assert [gpu.uuid for gpu in gpus({"CUDA_VISIBLE_DEVICES": "1"})] == ["GPU-2222-board"]


def test_what_a_driver_does_not_tell_about_a_gpu_is_unknown_and_no_reason_to_stop(driver):
    told = {"Handle": "yes", "UUID": BOARD}
    driver.answer(["system.Count = 1"], [f"0.{name} = {value}" for name, value in told.items()])
    [gpu] = gpus(None)
    assert (gpu.name, gpu.memory_bytes, gpu.driver) == ("unnamed NVIDIA GPU", None, "")
    assert (gpu.compute_capability, gpu.partition) == ("", "")
    watch = watched(ME)
    assert watch.peak is watch.other_processes is watch.throttled is watch.clock is None
    state = watch.state
    assert state.power_limit_watts is state.sm_mhz is state.ecc is state.compute_mode is None
    assert state.nvlinks is None
    assert cpus_near(BOARD, 64) == []
    assert room.no_room(0, GIB, BOARD) == ""
    assert "no energy of this GPU" in meters("cuda:0", [BOARD])[0].counter.reason


@pytest.mark.parametrize("code", [1, 2, 3, 4, 9, 12, 13, 15, 16, 17, 18, 20, 25, 26, 777, 999])
def test_every_error_of_every_function_is_an_unknown(code, driver, worker):
    """The handle is given, and everything else fails in one way."""
    kept = ("0.Handle", "0.UUID")
    names = [line.partition(" = ")[0] for line in board(0) if not line.startswith(kept)]
    driver.answer(["0.Handle = yes", f"0.UUID = {BOARD}"], [f"{n} = error {code}" for n in names])
    watch = Watch([0], device := DevicesWatch([BOARD]))
    device.sample(worker)
    load = watch.end()
    assert load.gpu_processes is load.gpu_throttled is load.gpu_clock is None
    assert (device.peak, device.state.power_limited, device.state.reasons) == (None, None, ())
    assert meters("cuda:0", [BOARD])[0].counter.name == ""


def test_a_binding_that_is_newer_than_the_driver_is_no_reason_to_stop(old_driver, worker):
    old_driver.answer(system(1), board(0, ThrottleReasons="64"))
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    with pytest.raises(pynvml.NVMLLibraryMismatchError):  # which is no NVMLError
        pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    watch = DeviceWatch(BOARD)
    old_driver.answer(system(1), board(0, MemoryInfo=f"{80 * GIB} {3 * GIB}", ThrottleReasons="64"))
    watch.sample(worker)
    assert (watch.peak.peak_bytes, watch.peak.by) == (2 * GIB, "device")
    assert (watch.other_processes, watch.throttled) == (None, True)  # the reasons by the old name


@pytest.mark.parametrize("pid", [4294967295, 4194305, 0])
def test_a_process_id_that_cannot_be_is_another_process_and_no_error(pid, driver, worker):
    driver.answer(system(1), board(0, Processes=f"{pid}:5000 {worker}:700"))
    watch = watched(worker)
    assert (watch.peak.peak_bytes, watch.peak.by) == (700, "process")
    assert watch.other_processes == 1


@pytest.mark.parametrize(
    ("processes", "shared", "expected"),
    [
        ("", "", None),  # a container hides them
        ("1:300 7:900", "", None),  # it gives the numbers of the host
        ("error 4", "error 4", None),
        ("error 3", "WORKER:700", 0),
        ("WORKER:700", "", 0),
        ("WORKER:700 1:300", "", 1),
        ("WORKER:700 1:300", "WORKER:700 1:300", 1),  # in both lists
        ("WORKER:700 WAITING:100", "", 0),  # a backend that waits for its turn
    ],
)
def test_others_are_counted_where_the_worker_itself_is_seen(
    processes, shared, expected, driver, worker
):
    waiting = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        lists = [
            text.replace("WORKER", str(worker)).replace("WAITING", str(waiting.pid))
            for text in (processes, shared)
        ]
        driver.answer(system(1), board(0, Processes=lists[0], MPSProcesses=lists[1]))
        watch = DeviceWatch(BOARD, [waiting.pid])
        watch.sample(worker)
        assert watch.other_processes == expected
    finally:
        waiting.kill()
        waiting.wait()


def test_the_server_of_mps_is_not_another_process(driver, worker, tmp_path):
    server = tmp_path / "nvidia-cuda-mps-server"  # the kernel keeps the first 15 characters
    server.symlink_to("/bin/sleep")
    with subprocess.Popen([server, "60"]) as process:
        while Path(f"/proc/{process.pid}/comm").read_text() != "nvidia-cuda-mps\n":
            time.sleep(0.01)  # it has its name a moment after its start
        listed = f"{worker}:700 {process.pid}:50"
        driver.answer(system(1), board(0, Processes=listed))
        try:
            assert watched(worker).other_processes == 0
        finally:
            process.kill()


def test_a_helper_of_the_worker_is_the_worker(driver):
    code = (
        "import subprocess as s; p = s.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        helper = int(process.stdout.readline())
        driver.answer(system(1), board(0, Processes=f"{process.pid}:700 {helper}:50"))
        watch = watched(process.pid)
        subprocess.run(["kill", str(helper)], check=True)
    assert (watch.peak.peak_bytes, watch.other_processes) == (750, 0)


# A parent and its worker in a container: their process IDs are not those that the driver knows.
_CONTAINED = """
import subprocess, sys
from bench.machine.device import DeviceWatch
worker = subprocess.Popen(["sleep", "60"], start_new_session=True)
watch = DeviceWatch("GPU-0000-board")
print("ready", flush=True)
sys.stdin.readline()
watch.sample(worker.pid)
print(watch.peak.by, watch.peak.peak_bytes, watch.other_processes, worker.pid)
worker.kill()
"""


def test_in_a_container_the_hosts_process_ids_are_not_taken_for_ours(libraries, driver):
    contained = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*contained, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a name space of process IDs")
    driver.answer(system(1), board(0))
    with subprocess.Popen(
        [*contained, sys.executable, "-c", _CONTAINED],
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries[False].parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as container:
        assert container.stdout.readline() == "ready\n"
        children = psutil.Process(container.pid).children(recursive=True)
        [host] = [child.pid for child in children if child.name() == "sleep"]
        listed = f"{host}:{5 * GIB} 1:7"
        driver.answer(system(1), board(0, Processes=listed, MemoryInfo=f"{80 * GIB} {4 * GIB}"))
        by, peak, others, inside = container.communicate("\n", timeout=60)[0].split()
    assert (by, int(peak), others) == ("device", 3 * GIB, "None")
    assert int(inside) != host


def test_the_memory_of_processes_that_windows_does_not_tell_is_the_boards(driver, worker):
    driver.answer(system(1), board(0, Processes=f"{worker}"))
    watch = DeviceWatch(BOARD)
    driver.answer(system(1), board(0, Processes=f"{worker}", MemoryInfo=f"{80 * GIB} {2 * GIB}"))
    watch.sample(worker)
    assert (watch.peak.by, watch.other_processes) == ("device", 0)


def test_the_state_of_a_gpu_under_load(driver, worker):
    """Four samples: idle, at full clock, at the power limit, and slowed down by heat."""
    driver.answer(system(1), board(0))
    watch = DeviceWatch(BOARD)
    for reasons, clock, degrees in ((1, 210, 35), (0, 1400, 60), (4, 1200, 70), (0x40, 700, 90)):
        answers = {"ThrottleReasons": reasons, "ClockInfo_1": clock, "Temperature_0": degrees}
        driver.answer(system(1), board(0, **answers))
        watch.sample(worker)
    state = watch.state
    assert (state.uuid, state.cuda, state.power_limit_watts) == (BOARD, "13.0", 400.0)
    assert state.power_limited == pytest.approx(1 / 3)
    assert state.reasons == ("power limit", "hardware thermal slowdown")
    assert (state.sm_mhz, state.most_sm_mhz, state.memory_mhz) == (1200.0, 1410, 1593.0)
    assert (state.temperature_celsius, state.ecc, state.remapped_rows) == (90, True, 3)
    assert (state.corrected_errors, state.uncorrected_errors) == (12, 0)
    assert (state.persistent, state.compute_mode) == (True, "default")
    assert (state.pcie_generation, state.pcie_width, state.nvlinks) == (4, 16, 2)
    assert watch.throttled is True
    assert watch.clock == pytest.approx(1050 / 1400)  # of 1400 and 700: the power limit is usual


@pytest.mark.parametrize(
    ("second", "slowest_mhz", "expected"),  # other processes, throttled, clock
    [
        ({}, 1410, (0, False, 1.0)),
        ({"Processes": "WORKER:700 1:5 7:5"}, 1410, (2, False, 1.0)),
        ({"Processes": ""}, 1410, (None, False, 1.0)),  # good on one, unknown on the other
        ({"ThrottleReasons": "64"}, 1410, (0, True, 1.0)),
        ({"ThrottleReasons": "error 3"}, 1410, (0, None, 1.0)),
        ({}, 705, (0, False, 0.75)),
    ],
)
def test_of_a_jobs_gpus_the_worst_one_counts(second, slowest_mhz, expected, driver, worker):
    answers = {"Processes": "WORKER:700", **second}
    answers["Processes"] = answers["Processes"].replace("WORKER", str(worker))
    driver.answer(system(2), board(0), board(1))
    watch = Watch([0], device := DevicesWatch([BOARD, "GPU-1111-board"]))
    for mhz in (1410, slowest_mhz):
        boards = (board(0, Processes=f"{worker}:300"), board(1, ClockInfo_1=mhz, **answers))
        driver.answer(system(2), *boards)
        device.sample(worker)
    load = watch.end()
    assert (load.gpu_processes, load.gpu_throttled, load.gpu_clock) == expected
    assert device.peak.peak_bytes == (700 if answers["Processes"] else 300)
    assert device.state.uuid == BOARD


def test_a_job_without_a_gpu_has_no_figures_of_one():
    device = DevicesWatch([])
    device.sample(ME)
    assert device.peak is device.state is device.other_processes is device.throttled is None


SLICES = [part(0, 0, "1g.10gb"), part(3, 0, "2g.20gb", MemoryInfo=f"{20 * GIB} {GIB}")]
DIVIDED = [system(2), board(0, MigMode="1 1", MaxMigDeviceCount="7"), *SLICES, board(1)]


def test_slices_are_named_and_never_taken_for_their_board(driver):
    driver.answer(*DIVIDED)
    found = gpus(None)
    assert [gpu.device for gpu in found] == ["cuda:0:0", "cuda:0:3", "cuda:1"]
    first, second, whole = found
    assert (first.uuid, first.board, first.partition) == ("MIG-00-slice", BOARD, "1g.10gb")
    assert second.name == "NVIDIA A100-SXM4-80GB MIG 2g.20gb"
    assert (first.memory_bytes, second.memory_bytes) == (10 * GIB, 20 * GIB)
    assert (whole.uuid, whole.partition, whole.part) == ("GPU-1111-board", "", None)
    assert {gpu.compute_capability for gpu in found} == {"8.0"}


def test_a_slice_whose_name_has_no_profile_is_still_no_board(driver):
    named = part(0, 0, "", Name="NVIDIA A100-SXM4-80GB")
    driver.answer(system(1), board(0, MigMode="1 1", MaxMigDeviceCount="7"), named)
    [gpu] = gpus(None)
    assert gpu.name == "NVIDIA A100-SXM4-80GB MIG of unknown size"


def test_a_slice_has_its_own_memory_and_processes_its_boards_clocks_and_no_energy(driver, worker):
    driver.answer(*DIVIDED)
    watch = DeviceWatch("MIG-03-slice")
    used = part(3, 0, "2g.20gb", MemoryInfo=f"{20 * GIB} {4 * GIB}", Processes=f"{worker}:900 1:1")
    divided = board(0, MigMode="1 1", ThrottleReasons="64", Processes="1:1 2:1 3:1")
    driver.answer(system(1), divided, used)
    watch.sample(worker)
    assert (watch.peak.peak_bytes, watch.other_processes, watch.throttled) == (900, 1, True)
    assert (watch.state.power_limit_watts, watch.state.sm_mhz) == (400.0, 1410.0)
    reason = "not told for a slice of a GPU (MIG): NVML counts the whole board"
    assert meters("cuda:0:3", ["MIG-03-slice"])[0].counter.reason == reason


@pytest.mark.parametrize(
    ("words", "order", "expected"),
    [
        (None, "", ["cuda:0", "cuda:1", "cuda:2"]),
        ("", "", []),
        ("0", "", ["cuda:0"]),
        ("1,0", "", ["cuda:1", "cuda:0"]),
        (" 1 , 0 ", "", ["cuda:1", "cuda:0"]),
        ("1gpu", "", ["cuda:1"]),
        ("GPU-00", "", ["cuda:0"]),
        ("GPU-2222-board,GPU-0000-board", "", ["cuda:2", "cuda:0"]),
        ("0,-1,1", "", ["cuda:0"]),
        ("0,7,1", "", ["cuda:0"]),
        ("0,,1", "", ["cuda:0"]),
        ("0,GPU-1111-board", "", ["cuda:0"]),
        ("GPU-00,1", "", ["cuda:0"]),
        ("-1", "", []),
        ("NoDevFiles", "", []),
        ("7", "", "names no GPU of this machine"),
        ("GPU-", "", "names no GPU of this machine"),  # it names three
        ("GPU-9", "", "names no GPU of this machine"),
        ("MIG-9", "", "names no GPU of this machine"),
        ("A100", "", "names no GPU of this machine"),
        ("0,0", "", "names a GPU twice"),
        ("GPU-00,GPU-0000-board", "", "names a GPU twice"),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(words, order, expected, driver):
    driver.answer(system(3), board(0), board(1), board(2))
    _check(words, order, expected)


@pytest.mark.parametrize(
    ("words", "order", "expected"),
    [
        ("0", "PCI_BUS_ID", ["cuda:0"]),
        ("0,1", "", ["cuda:0", "cuda:1"]),  # all of them, in any order
        ("GPU-11", "", ["cuda:1"]),
        ("0", "", "CUDA numbers GPUs of different models by their speed"),
        ("1", "FASTEST_FIRST", "CUDA numbers GPUs of different models by their speed"),
    ],
)
def test_numbers_among_different_models_are_not_guessed(words, order, expected, driver):
    driver.answer(system(2), board(0, Name="NVIDIA T1000"), board(1))
    _check(words, order, expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("MIG-03-slice", ["cuda:0:3"]),
        ("MIG-00", ["cuda:0:0"]),
        ("MIG-03-slice,MIG-00-slice", ["cuda:0:3", "cuda:0:0"]),
        ("0", ["cuda:0:0", "cuda:0:3"]),
        ("GPU-0000", ["cuda:0:0", "cuda:0:3"]),
        ("1", ["cuda:1"]),
        ("MIG-", "names no GPU of this machine"),
        ("MIG-77-slice", "names no GPU of this machine"),
    ],
)
def test_slices_are_named_by_their_uuids_and_all_of_a_board_by_its_own(words, expected, driver):
    driver.answer(*DIVIDED)
    _check(words, "", expected)


def _check(words, order, expected):
    variables = {} if words is None else {"CUDA_VISIBLE_DEVICES": words}
    if order:
        variables["CUDA_DEVICE_ORDER"] = order
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            gpus(variables)
    else:
        assert [gpu.device for gpu in this_machine(variables).gpus] == expected


def test_words_for_a_gpu_on_a_machine_without_a_driver_are_no_reason_to_train_on_the_cpu(driver):
    driver.answer()
    with pytest.raises(UserError, match="names no GPU of this machine"):
        gpus({"CUDA_VISIBLE_DEVICES": "0"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [("2", [1]), ("8000000000000001 1", [0, 63, 64]), ("error 3", []), ("0", [])],
)
def test_the_cpus_near_a_gpu_are_read_from_words_of_64(words, expected, driver):
    driver.answer(system(1), board(0, CpuAffinity=words))
    assert cpus_near(BOARD, 128) == expected


def test_a_gpu_that_only_one_process_may_use_has_no_room_for_another(driver):
    driver.answer(system(1), board(0, ComputeMode="3"))
    assert "compute mode is exclusive" in room.no_room(0, 0, BOARD)
    driver.answer(system(1), board(0, MemoryInfo=f"{8 * GIB} {6 * GIB}"))
    assert "2.0 GiB are free" in room.no_room(0, 2 * GIB, BOARD)


def test_a_job_that_needs_more_than_is_free_on_its_gpu_cannot_fit(driver):
    driver.answer(system(1), board(0, MemoryInfo=f"{8 * GIB} {6 * GIB}"))
    assert room.cannot_fit(Needs(0, 2 * GIB), BOARD) == ""
    reason = room.cannot_fit(Needs(0, 3 * GIB), BOARD)
    assert reason == "needs at least 3.22 GB of the GPU's memory, 2.15 GB are free"
    driver.answer(system(1), board(0, MemoryInfo="error 3"))  # not known
    assert room.cannot_fit(Needs(0, 3 * GIB), BOARD) == ""


def test_a_gpu_that_is_gone_answers_nothing(driver):
    driver.answer(system(1), board(0))
    gpu = OpenGpu("GPU-9")
    assert (gpu.is_open, gpu.ask("nvmlDeviceGetName")) == (False, None)
    assert DeviceWatch("GPU-9").state is None
