"""The facts about a machine's GPUs, with a driver of our own under NVIDIA's real binding."""

from __future__ import annotations

import json

import pytest

from bench.machine import gpu_facts as facts_module
from bench.machine import gpu_programs as programs
from bench.machine.gpu_facts import Probe, ProgramError, UnknownError, gpu_facts
from bench.machine.host import this_machine
from tests.support import nvml
from tests.support.nvml import board, part, system

ENERGY = "cuda:0: steps of its energy counter, "
LISTS = "cuda:0: NVML's lists that have the worker"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library, tmp_path, monkeypatch):
    monkeypatch.setattr(facts_module, "_POLL_SECONDS", 0.1)
    return nvml.load(library, tmp_path / "answers", monkeypatch)


def found(run=None, folder=None, environments=("torch",)):
    """The facts by name; `run` and `folder` answer for the frameworks' environments."""

    def missing(*_):
        raise UnknownError("it is not installed")

    probe = Probe(run=run or missing, folder=folder or missing)
    return {fact.name: fact.value for fact in gpu_facts(this_machine({}), environments, probe)}


def worker(**changes):
    """What the program on a GPU prints."""
    answers = {
        "seen": "NVIDIA A100, 79.1 GiB",
        "lists": ["nvmlDeviceGetMPSComputeRunningProcesses"],
        "launch": {"near": 4e-6, "far": 7.5e-6},
        "energy": [[10.0 + 0.1 * step, 1000 + 30000 * step] for step in range(6)],
    }
    return json.dumps({**answers, **changes})


def answering(**answers):
    """A `Probe.run` that answers each program."""
    by_program = {
        programs.ON_GPU: worker(),
        programs.UUIDS: json.dumps(["GPU-0000-board"]),
        **dict.fromkeys(programs.COMPILING.values(), "1.693"),
        programs.JAX_ON_CPU: "3.0 on [CpuDevice(id=0)]",
        **answers,
    }
    return lambda _name, program, _arguments, _variables: by_program[program]


def test_without_a_driver_every_fact_is_unknown_for_a_reason_and_nothing_is_started(
    driver, monkeypatch
):
    driver.answer(["system.Count = error 9"])

    def start(*_):
        raise AssertionError("a program was started")

    values = found(run=start)
    assert len(values) >= 12
    for name, value in values.items():
        assert value.startswith("unknown: "), name
        assert len(value) > len("unknown: ...")


def test_a_board_that_tells_everything(driver):
    driver.answer(system(1), board(0, TotalEnergyConsumption="300 watts"))
    values = found(answering())
    assert values["driver, and the newest CUDA that it supports"] == "580.65.06, CUDA 13.0"
    assert values["MIG mode of each board"] == "0: off"
    assert values["GPUs by number, in CUDA and in NVML"] == "the same: 1"
    assert values["cuda:0: what a worker sees"] == "NVIDIA A100, 79.1 GiB"
    assert values[LISTS] == "MPSComputeRunningProcesses"
    assert values[ENERGY + "under load"] == "100.0 ms and 30.00 J (median), at most 100.0 ms"
    assert values["cuda:0: microseconds of a small operation, by CPUs"] == "4.0 near, 7.5 far"
    assert values["jax: compiles exp, tanh and log for a GPU"] == "yes: 1.693"
    # The library's counter moves every millisecond, by 0.3 J.
    milliseconds, joules = values[ENERGY + "without load"].split(" (")[0].split(" ms and ")
    assert 0.5 < float(milliseconds) < 20
    assert 0.2 < float(joules.removesuffix(" J")) < 6


def test_what_a_driver_or_a_worker_does_not_tell_is_unknown_with_its_words(driver):
    driver.answer(system(1), board(0, TotalEnergyConsumption=None, MigMode=None))
    values = found(answering(**{programs.ON_GPU: worker(lists=[], energy="no pynvml")}))
    assert values["MIG mode of each board"] == "0: does not exist"
    assert values[ENERGY + "without load"] == "unknown: the driver tells no energy"
    assert values[ENERGY + "under load"] == "unknown: no pynvml"
    assert values[LISTS].startswith("none")
    driver.answer(system(1), board(0))  # its counter stands still
    assert found()[ENERGY + "without load"] == "unknown: 0 steps in 0.1 s"
    assert found()["cuda:0: what a worker sees"] == "unknown: it is not installed"


def test_a_program_that_fails_says_no_where_the_question_is_whether_it_works(driver, tmp_path):
    driver.answer(system(1), board(0))

    def run(name, *_):
        raise ProgramError(f"{name}: libdevice not found")

    values = found(run, folder=lambda _: tmp_path)
    assert values["jax: compiles exp, tanh and log for a GPU"] == "no: jax: libdevice not found"
    assert values["jax: a job on the CPU, in its environment for GPUs"].startswith("no: jax: ")
    assert values["cuda:0: what a worker sees"] == "unknown: torch: libdevice not found"


def test_another_order_of_boards_in_cuda_is_said(driver):
    driver.answer(system(2), board(0), board(1))
    given = []

    def run(name, program, arguments, variables):
        given.append(variables)
        uuids = json.dumps(["GPU-1111-board", "GPU-0000-board"])
        return answering(**{programs.UUIDS: uuids})(name, program, arguments, variables)

    assert found(run)["GPUs by number, in CUDA and in NVML"] == (
        "different: CUDA has GPU-1111-board, GPU-0000-board;"
        " NVML has GPU-0000-board, GPU-1111-board"
    )
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert {**order, "CUDA_VISIBLE_DEVICES": "0,1"} in given
    # Two boards of one kind: the program runs on the first only.
    alone = {**order, "CUDA_VISIBLE_DEVICES": "GPU-0000-board"}
    assert [each for each in given if each["CUDA_VISIBLE_DEVICES"].startswith("GPU")] == [alone] * 4


def test_a_slice_is_given_to_the_worker_and_has_no_counter(driver):
    driver.answer(system(1), board(0, MigMode="1 1", MaxMigDeviceCount="1"), part(0, 0, "1g.10gb"))
    values = found(answering())
    assert values["MIG mode of each board"] == "0: on"
    assert values["cuda:0:0: what a worker sees"] == "NVIDIA A100, 79.1 GiB"
    assert values["cuda:0:0: steps of its energy counter, without load"] == (
        "unknown: a slice of a GPU has no counter"
    )
    assert values["GPUs by number, in CUDA and in NVML"].startswith("unknown: ")


def test_the_size_on_disk_is_that_of_the_files(driver, tmp_path):
    driver.answer(["system.Count = error 9"])
    (tmp_path / "lib").mkdir()
    for name in ("a", "lib/b"):
        (tmp_path / name).write_bytes(b"")
        with (tmp_path / name).open("r+b") as file:
            file.truncate(100_000_000)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert found(folder=lambda _: tmp_path)["torch: size on disk"] == "0.2 GB"


@pytest.mark.parametrize(
    "program", [programs.UUIDS, programs.ON_GPU, programs.JAX_ON_CPU, *programs.COMPILING.values()]
)
def test_every_program_is_python(program):
    compile(program, "program", "exec")
