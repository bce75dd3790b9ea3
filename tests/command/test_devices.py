"""Which devices a command runs on, and runs on GPUs that a fake driver reports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from bench.command.setup import choose_devices, say_left_out
from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.files import PROJECT
from bench.records.run import read_run
from specs.errors import UserError
from tests.support import nvml
from tests.support.nvml import GIB, board, part, system

A100 = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=80 * GIB, driver="580")
H100 = replace(A100, index=2, uuid="GPU-c", name="H100")
SLICE = replace(A100, index=3, uuid="MIG-d", name="A100 MIG 1g.10gb", partition="1g.10gb", part=0)
GPUS = (A100, replace(A100, index=1, uuid="GPU-b"), H100, SLICE, replace(SLICE, part=2))


def machine_of(*gpus):
    return replace(this_machine(), gpus=gpus)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, ("cpu", "cuda:0", "cuda:2", "cuda:3:0")),
        (("cuda",), ("cuda:0", "cuda:1", "cuda:2", "cuda:3:0", "cuda:3:2")),
        (("gpu",), ("cuda:0", "cuda:1", "cuda:2", "cuda:3:0", "cuda:3:2")),
        (("cuda:1", "cpu"), ("cuda:1", "cpu")),
        (("cuda:3:2",), ("cuda:3:2",)),
    ],
)
def test_by_default_there_is_one_gpu_of_each_kind(chosen, expected):
    assert choose_devices(chosen, machine_of(*GPUS)) == expected


@pytest.mark.parametrize("name", ["cuda:3", "cuda:3:1", "cuda:9"])
def test_a_divided_board_and_a_slice_that_is_not_there_are_no_devices(name):
    with pytest.raises(UserError, match=f"no device '{name}'"):
        choose_devices((name,), machine_of(*GPUS))


def test_what_is_left_out_is_said_with_what_to_type(capsys):
    machine = machine_of(*GPUS)
    say_left_out(choose_devices(None, machine), machine)
    text = capsys.readouterr().err
    assert "cuda:1, cuda:3:2 left out: a GPU of the same kind is used" in text
    say_left_out(choose_devices(None, machine_of(A100)), machine_of(A100))
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drivers")
    return {old: nvml.build(folder / str(old), old=old).parent for old in (False, True)}


# `bench`, whose reference does not refuse a GPU.
PROGRAM = """
import sys
from bench.runner import jobs
from bench.command.cli import main
jobs.adapter_of = lambda *_: "tests.support.takers:OnAnyDevice"
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def bench(libraries, tmp_path):
    """A function: what `bench` does with a driver that gives these answers."""

    def run(answers, *arguments, old=False, **variables):
        (tmp_path / "answers").write_text("".join(f"{a}\n" for lines in answers for a in lines))
        inherited = {name: value for name, value in os.environ.items() if "CUDA" not in name}
        environment = {
            **inherited,
            "FAKE_NVML": str(tmp_path / "answers"),
            "LD_LIBRARY_PATH": str(libraries[old]),  # as the binding itself looks for it
            "FRAMEWORK_BENCH_CACHE": str(tmp_path / "cache"),
            **variables,
        }
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )

    return run


RUN = (
    *("run", "softmax", "--backend", "reference", "--threads", "1", "--turns", "0"),
    *("--dataset", "mnist-5k", "--epochs", "2", "--batch-size", "500"),
)
BUSY = {"Processes": f"children:{3 * GIB} 1:5", "TotalEnergyConsumption": "100 watts"}


@pytest.mark.parametrize(
    ("answers", "variables", "devices"),
    [
        ([], {}, "cpu;"),
        ([system(1), board(0)], {}, "cpu, cuda:0 (NVIDIA A100-SXM4-80GB);"),
        ([system(2), board(0), board(1, Handle="error 4")], {}, "cpu, cuda:0 (NVIDIA A100"),
        ([system(1), board(0, Name="error 999")], {}, "cpu, cuda:0 (unnamed NVIDIA GPU);"),
        ([system(1), board(0)], {"CUDA_VISIBLE_DEVICES": ""}, "cpu;"),
        ([system(1), board(0)], {"CUDA_VISIBLE_DEVICES": "7"}, "=7 names no GPU"),
        (
            [system(1), board(0, MigMode="1 1", MaxMigDeviceCount="7"), part(2, 0, "1g.10gb")],
            {},
            "cpu, cuda:0:2 (NVIDIA A100-SXM4-80GB MIG 1g.10gb);",
        ),
    ],
)
def test_the_list_has_the_devices_of_every_driver(answers, variables, devices, bench):
    done = bench(answers, "list", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert devices in done.stdout


def record_of(done, folder):
    assert done.returncode == 0, done.stderr
    [record], [] = read_run(folder / "softmax")
    assert record.status == "ok"
    return record


@pytest.mark.slow
def test_a_run_on_a_gpu_from_the_driver_to_the_page(bench, tmp_path):
    answers = [system(1), board(0, ThrottleReasons="4", **BUSY)]
    done = bench(answers, *RUN, "--device", "cuda:0", "--results", str(tmp_path))
    record = record_of(done, tmp_path)
    assert record.key.startswith("softmax.reference.cuda0.")
    assert [gpu.uuid for gpu in record.machine.gpus] == ["GPU-0000-board"]
    assert (record.gpu.uuid, record.gpu.power_limited) == ("GPU-0000-board", 1.0)
    assert (record.device_peak_bytes, record.device_peak_by) == (3 * GIB, "process")
    load = record.disturbance
    assert (load.gpu_processes, load.gpu_throttled, load.gpu_clock) == (1, False, None)
    assert record.startup.energy.name == "NVML: the whole GPU board"
    for epoch in record.epochs:  # 100 W; the fake's counter has steps of 1 ms, and 0.1 J
        seconds = epoch.training.wall_seconds
        assert epoch.training.energy_joules == pytest.approx(100 * seconds, abs=0.5)
    page = (tmp_path / "softmax" / "report.md").read_text()
    assert "| cuda:0: NVIDIA A100-SXM4-80GB |" in page
    assert "| 400 W |" in page


@pytest.mark.slow
def test_a_run_on_a_slice_of_a_gpu(bench, tmp_path):
    divided = board(0, MigMode="1 1", MaxMigDeviceCount="7", **BUSY)
    answers = [system(1), divided, part(2, 0, "1g.10gb", Processes=f"children:{GIB}")]
    done = bench(
        *(answers, *RUN, "--device", "cuda:0:2", "--results", str(tmp_path)),
        CUDA_VISIBLE_DEVICES="MIG-02-slice",
    )
    record = record_of(done, tmp_path)
    assert record.job.device == "cuda:0:2"
    assert (record.device_peak_bytes, record.disturbance.gpu_processes) == (GIB, 0)
    assert "slice of a GPU (MIG)" in record.startup.energy.reason
    assert "NVIDIA A100-SXM4-80GB MIG 1g.10gb" in (tmp_path / "softmax/report.md").read_text()


@pytest.mark.slow
def test_a_driver_that_tells_only_errors_ends_no_run(bench, tmp_path):
    """It is also older than the binding, and its library lacks functions."""
    kept = ("0.Handle", "0.UUID")
    names = [line.partition(" = ")[0] for line in board(0) if not line.startswith(kept)]
    answers = [["system.Count = 1"], ["0.Handle = yes", "0.UUID = GPU-x"]]
    answers.append([f"{name} = error 999" for name in names])
    done = bench(answers, *RUN, "--device", "cuda:0", "--results", str(tmp_path), old=True)
    record = record_of(done, tmp_path)
    assert (record.device_peak_bytes, record.disturbance.gpu_processes) == (None, None)
    assert "NVML reports no energy of this GPU" in record.startup.energy.reason


@pytest.mark.slow
def test_words_that_name_no_gpu_never_become_a_run_on_the_cpu(bench, tmp_path):
    answers, results = [system(1), board(0)], ("--results", str(tmp_path))
    done = bench(answers, *RUN, *results, CUDA_VISIBLE_DEVICES="MIG-77-slice")
    assert done.returncode == 2
    assert "CUDA_VISIBLE_DEVICES=MIG-77-slice names no GPU of this machine" in done.stderr
    assert not (tmp_path / "softmax").exists()
    command = (*RUN, "--device", "cpu", "--dry-run", *results)
    assert bench(answers, *command, CUDA_VISIBLE_DEVICES="MIG-77-slice").returncode == 0


FIRST_OF_TWO = {"SLURM_JOB_NUM_NODES": "2", "SLURM_NODEID": "0"}


@pytest.mark.parametrize(
    ("name", "variables", "expected"),
    [
        ("2x1xcpu", FIRST_OF_TWO, "2x1xcpu"),
        ("2x2xcuda", FIRST_OF_TWO, "2x2xcuda:0"),
        ("2x1xgpu", {**FIRST_OF_TWO, "SLURM_JOB_NUM_NODES": "3"}, "2x1xcuda:0"),
        ("3x1xcpu", FIRST_OF_TWO, "node 0 of 2 Slurm nodes; expected node 0 of 3"),
        ("2x1xcpu", {**FIRST_OF_TWO, "SLURM_NODEID": "1"}, "runs on node 1 of 2"),
        ("2x1xcpu", {"SLURM_JOB_NUM_NODES": "2"}, "of 0 Slurm nodes"),  # where salloc was typed
        ("2x3xcuda", FIRST_OF_TWO, "ranks per node"),
        ("2x1xcuda:1", FIRST_OF_TWO, "at each node's first GPU"),
    ],
)
def test_nodes_train_together_on_the_first_of_them(name, variables, expected, monkeypatch):
    for variable in FIRST_OF_TWO:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    try:
        found = " ".join(choose_devices((name,), machine_of(*GPUS)))
    except UserError as error:
        found = f"{error.problem}; expected {error.expected}"
    assert expected in found
