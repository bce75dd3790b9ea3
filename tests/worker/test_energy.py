"""Energy counters: what counts, what counts only once, and what is refused.

RAPL is tested on a tree of files, NVML with a fake and on a GPU.
"""

from __future__ import annotations

import os
import sys
import time
import types
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest

from backends.family import WORKER_CUDA_REQUIREMENTS
from backends.reference.oracle import Reference
from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.worker import energy
from bench.worker.assignment import Train
from bench.worker.clock import Clock, measure
from bench.worker.energy import NOTHING, Counter, Meter, Zone, meters
from bench.worker.lines import End, Epoch, Startup
from bench.worker.main import main
from tests.support.jobs import make_job
from tests.support.lines import read_lines

RANGE = 262_143_328_850  # microjoules; what Intel's servers say
LONG = 10.0  # seconds; long enough for every counter


def zone(folder: Path, name: str, microjoules: int, *, full: int = RANGE) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{full}\n")
    return folder / "energy_uj"


@pytest.fixture
def tree(tmp_path):
    """RAPL's files of a machine with two packages, with all that must not be added.

    Returns the two files that count.
    """
    (tmp_path / "intel-rapl").mkdir()  # the control type itself
    for name, folder in (
        ("core", "intel-rapl:0:0"),
        ("dram", "intel-rapl:1:0"),
        ("psys", "intel-rapl:2"),
        ("package-0", "intel-rapl-mmio:0"),
    ):
        zone(tmp_path / folder, name, 7_000_000)
    packages = [
        zone(tmp_path / f"intel-rapl:{n}", f"package-{n}", 1_000_000 * (n + 1)) for n in (0, 1)
    ]
    return tmp_path, packages


def phase_of(meter, work, seconds=LONG):
    """A phase that took the given time by its clock."""
    now = iter([0.0, seconds])
    clock = Clock(wall=lambda: next(now), cpu=lambda: 0.0, meter=meter)
    return measure("train", work, lambda: None, clock)[0]


def add(path: Path, microjoules: int) -> None:
    path.write_text(str(int(path.read_text()) + microjoules))


def test_both_packages_count_and_their_parts_the_platform_and_a_second_way_to_read_them_do_not(
    tree,
):
    folder, packages = tree
    meter, host = meters("cpu", [], folder)
    assert (meter.counter.name, meter.counter.reason) == ("RAPL: package-0, package-1", "")
    assert host == NOTHING

    def work():
        for path in folder.glob("*/energy_uj"):
            add(path, 100_000_000)
        add(packages[0], 20_000_000)

    phase = phase_of(meter, work)
    assert phase.energy_joules == pytest.approx(220.0)
    assert (phase.no_energy, phase.host_energy_joules) == ("", None)


def test_only_the_window_counts_and_not_the_life_of_the_process(tree):
    """A published benchmark sums power over the whole process, with its start."""
    folder, packages = tree
    meter, _ = meters("cpu", [], folder)
    phases = []
    for joules in (12, 15):
        add(packages[0], 5_000_000_000)  # the start, and evaluations between two epochs
        phases.append(
            phase_of(meter, lambda used=joules: [add(path, used * 1_000_000) for path in packages])
        )
    add(packages[1], 9_000_000_000)
    assert [phase.energy_joules for phase in phases] == [pytest.approx(24.0), pytest.approx(30.0)]


def test_the_counter_is_read_at_the_syncs_and_outside_the_seconds():
    events, wall = [], iter([0.0, LONG])
    values = iter([5.0, 8.5])
    meter = Meter(
        counter=Counter(name="c"),
        zones=(Zone(joules=lambda: events.append("joules") or next(values)),),
    )
    clock = Clock(wall=lambda: events.append("wall") or next(wall), cpu=lambda: 0.0, meter=meter)
    phase, _ = measure("train", lambda: events.append("work"), lambda: events.append("sync"), clock)
    assert events == ["sync", "joules", "wall", "work", "sync", "wall", "joules"]
    assert phase.energy_joules == 3.5


def test_a_counter_that_comes_round_goes_on(tree):
    folder, (first, second) = tree
    first.write_text(str(RANGE - 1_000_000))
    meter, _ = meters("cpu", [], folder)

    def work():
        first.write_text("4000000")
        add(second, 1_000_000)

    assert phase_of(meter, work).energy_joules == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("seconds", "change", "full", "reason"),
    [
        (
            500.0,
            1_000_000,
            RANGE,
            "too long for this counter, which may restart more than once in 437 s",
        ),
        (LONG, 0, RANGE, "did not move"),
        # Reset, as after a suspension: the counter did not restart after its range.
        (LONG, -500_000, RANGE, "jumped: more than 600 W"),
        (LONG, -500_000, None, "went backwards"),
        (LONG, 7_000_000_000, RANGE, "jumped: more than 600 W"),
        (LONG, None, RANGE, "could not be read"),
    ],
)
def test_a_bad_trace_has_no_figure_and_a_reason(seconds, change, full, reason, tree):
    folder, packages = tree
    if full is None:
        (packages[1].parent / "max_energy_range_uj").unlink()
    meter, _ = meters("cpu", [], folder)

    def work():
        add(packages[0], 3_000_000)
        packages[1].write_text("" if change is None else str(2_000_000 + change))

    phase = phase_of(meter, work, seconds)
    assert phase.energy_joules is None
    assert reason in phase.no_energy


@pytest.mark.parametrize("joules", [0, 1])
def test_a_window_that_is_shorter_than_a_step_keeps_what_was_counted(joules, tree):
    """Its sum with others is right; 1 J in 1 ms may be two steps at 500 W, and is no jump."""
    folder, packages = tree
    meter, _ = meters("cpu", [], folder)
    phase = phase_of(meter, lambda: add(packages[0], joules * 1_000_000), seconds=0.001)
    assert phase.energy_joules == pytest.approx(joules)
    assert phase.no_energy == ""


def test_without_a_counter_the_reason_is_told_once_and_with_the_place():
    meter, _ = meters("cpu", [], Path("/nowhere"))
    assert meter.counter == Counter(reason="no RAPL under `/sys/class/powercap`")
    phase = phase_of(meter, lambda: None)
    assert (phase.energy_joules, phase.no_energy) == (None, "")


def test_the_platforms_counter_alone_is_not_taken_for_the_cpus(tmp_path):
    zone(tmp_path / "intel-rapl:0", "psys", 1)
    assert "no RAPL" in meters("cpu", [], tmp_path)[0].counter.reason


def test_what_only_root_may_read_is_refused_with_what_an_administrator_can_type():
    with TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder, as_root = Path(name), os.geteuid() == 0
        folder.chmod(0o755)
        zone(folder / "intel-rapl:0", "package-0", 1)
        zone(folder / "intel-rapl:1", "package-1", 1).chmod(0o400 if as_root else 0)
        try:
            if as_root:
                os.seteuid(65534)  # nobody: the kernel itself refuses
            counter = meters("cpu", [], folder)[0].counter
        finally:
            if as_root:
                os.seteuid(0)
    assert counter.name == ""
    assert "since Linux 5.10" in counter.reason
    assert "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in counter.reason


def test_an_unreadable_number_is_a_reason_and_not_a_crash(tree):
    folder, packages = tree
    packages[0].write_text("not a number")
    assert "RAPL cannot be read" in meters("cpu", [], folder)[0].counter.reason


def fake_nvml(monkeypatch, millijoules, *, error=None):
    """NVML's three calls; the counter gives `millijoules`, one after another."""
    module = types.ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    values = iter(millijoules)

    def total(handle):
        assert handle in ("GPU-a handle", "GPU-b handle")
        if error:
            raise module.NVMLError(error)
        return next(values)

    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = "{} handle".format
    module.nvmlDeviceGetTotalEnergyConsumption = total
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_a_gpus_energy_is_nvmls_and_the_cpus_stand_beside_it(tree, monkeypatch):
    folder, packages = tree
    fake_nvml(monkeypatch, [0, 2_000_000, 2_750_000])
    meter, host = meters("cuda:0", ["GPU-a"], folder)
    assert meter.counter == Counter(name="NVML: the whole GPU board", step_seconds=0.1)
    now = iter([0.0, 6.0])
    clock = Clock(wall=lambda: next(now), cpu=lambda: 0.0, meter=meter, host_meter=host)
    work = lambda: [add(path, 1_000_000) for path in packages]  # noqa: E731
    phase, _ = measure("train", work, lambda: None, clock)
    assert (phase.energy_joules, phase.host_energy_joules) == (750.0, 2.0)


def test_the_energies_of_the_gpus_of_several_ranks_are_added(monkeypatch):
    fake_nvml(monkeypatch, [0, 0, 2_000_000, 5_000_000, 2_750_000, 5_500_000])
    meter, _ = meters("2xcuda", ["GPU-a", "GPU-b"], Path("/nowhere"))
    assert meter.counter.name == "NVML: the whole boards of 2 GPUs"
    assert phase_of(meter, lambda: None, LONG).energy_joules == 1250.0


@pytest.mark.parametrize(
    ("values", "seconds", "reason"),
    [
        ([0, 100, 100], LONG, "did not move"),
        ([0, 400, 100], LONG, "went backwards"),
    ],
)
def test_a_bad_trace_of_a_gpu_has_no_figure(values, seconds, reason, monkeypatch):
    fake_nvml(monkeypatch, values)
    phase = phase_of(meters("cuda:0", ["GPU-a"], Path("/nowhere"))[0], lambda: None, seconds)
    assert phase.energy_joules is None
    assert reason in phase.no_energy


def test_a_gpu_without_a_counter_a_worker_without_pynvml_and_other_devices_say_why(monkeypatch):
    fake_nvml(monkeypatch, [], error="Not Supported")
    assert "no energy of this GPU: Not Supported" in meters("cuda:0", ["GPU-a"])[0].counter.reason
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it fails
    assert "pip install nvidia-ml-py" in meters("cuda:0", ["GPU-a"])[0].counter.reason
    assert meters("mps", [])[0].counter.reason == "no counter of mps is known"


def test_where_there_is_no_driver_nvml_itself_says_so():
    if this_machine().gpus:
        pytest.skip("this machine has an NVIDIA GPU")
    assert "no energy of this GPU" in meters("cuda:0", ["GPU-a"])[0].counter.reason


def test_a_worker_reads_nvml_as_the_bench_does():
    assert WORKER_CUDA_REQUIREMENTS[0] in (PROJECT / "constraints.txt").read_text().splitlines()


class Counted(Reference):
    """It uses 100 J to start, 6 J and 60 ms per epoch's training, and 1 J per prediction."""

    file: Path

    def __init__(self, job):
        add(self.file, 100_000_000)
        super().__init__(job)

    def train_epoch(self, order, masks=None):
        time.sleep(0.06)
        add(self.file, 6_000_000)
        return super().train_epoch(order[:64], masks)

    def predict(self, images):
        add(self.file, 1_000_000)
        return super().predict(images)


def test_a_job_tells_the_joules_of_its_epochs_and_which_counter_said_so(
    tmp_path, mnist_5k, monkeypatch
):
    file = zone(tmp_path / "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr(Counted, "file", file, raising=False)
    monkeypatch.setattr(energy, "meters", lambda device, gpus: meters(device, gpus, tmp_path))
    job = make_job(epochs=3, batch_size=500)
    assignment = Train(
        job=job,
        adapter=f"{__name__}:Counted",
        data=str(mnist_5k.folder),
        train_evaluated=100,
        references=str(tmp_path / "references"),
    )
    (tmp_path / "assignment").write_bytes(msgspec.json.encode(assignment))
    main(str(tmp_path / "assignment"), str(tmp_path / "lines"), "a")
    told = read_lines(tmp_path / "lines", "a")
    assert [line.status for line in told if isinstance(line, End)] == ["ok"]
    [startup] = [line for line in told if isinstance(line, Startup)]
    assert (startup.energy.name, startup.host_energy) == ("RAPL: package-0", None)
    epochs = [line for line in told if isinstance(line, Epoch)]
    assert [epoch.training.energy_joules for epoch in epochs] == [pytest.approx(6.0)] * 3


@pytest.mark.gpu
def test_a_gpus_counter_moves_only_forwards_and_as_fast_as_power_says():
    import pynvml

    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    meter, _ = meters("cuda:0", gpus[0].uuid)
    if not meter.counter.name:
        pytest.skip(meter.counter.reason)
    handle = pynvml.nvmlDeviceGetHandleByUUID(gpus[0].uuid)
    readings, watts = [], []
    began = time.monotonic()
    while time.monotonic() - began < 50 * meter.counter.step_seconds:
        readings.append(meter.read())
        watts.append(pynvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
        time.sleep(0.01)
    seconds = time.monotonic() - began
    joules, reason = meter.used(readings[0], meter.read(), seconds)
    assert reason == ""
    assert all(before <= after for before, after in pairwise(readings))
    steps = [n for n, (before, after) in enumerate(pairwise(readings)) if after > before]
    print(
        f"{joules / seconds:.1f} W counted, {np.mean(watts):.1f} W sampled; {len(steps)} steps in"
        f" {seconds:.2f} s"
    )
    # The driver's power is a mean over the last second.
    assert joules / seconds == pytest.approx(np.mean(watts), rel=0.2)
    longest = max(np.diff(steps)) * seconds / len(readings)
    assert longest <= 2 * energy._NVML_STEP_SECONDS  # a look may be late


@pytest.mark.parametrize("device", ["2x1xcpu", "2x1xcuda:0"])
def test_the_energy_of_one_of_several_nodes_is_not_that_of_the_job(tmp_path, device):
    zone(tmp_path / "intel-rapl:0", "package-0", 1)
    for meter in meters(device, ["GPU-a"], tmp_path):
        assert meter.zones == ()
    assert "other nodes" in meters(device, ["GPU-a"], tmp_path)[0].counter.reason
