"""The section on machines and settings: what it says of a framework in a Python of its own."""

from __future__ import annotations

from msgspec.structs import replace

from bench.machine.gpu_state import GpuState
from bench.machine.nvml import Gpu
from bench.report.form.blocks import Table, Text
from bench.report.section.environment import gpu_blocks, section, transports
from tests.support.records import blocks_of, make_record, run_of


def far(record, *seconds):
    """The record, with these transports of its epochs."""
    epochs = [
        replace(epoch, training=replace(epoch.training, transport_seconds=value))
        for epoch, value in zip(record.epochs, seconds, strict=True)
    ]
    return replace(record, epochs=tuple(epochs))


def test_the_time_of_a_transport_is_said_once_per_backend_and_of_no_other():
    old = {"backend": "cntk", "round": 1}
    records = [
        make_record(),
        far(
            make_record(key="a", times=(3.0, 4.0), accuracies=(0.5, 0.6), backend="cntk"),
            0.01,
            0.03,
        ),
        far(make_record(key="b", times=(5.0,), accuracies=(0.5,), **old), 0.02),
    ]
    [text] = blocks_of(Text, section(run_of(*records)))
    assert "`cntk` trains in another process" in text.text
    assert "All its epochs took 12.0 s there." in text.text
    assert "took 60.0 ms more" in text.text


def test_nothing_is_said_of_frameworks_in_the_worker_itself():
    assert transports([make_record()]) == []


GPU = Gpu(
    index=0,
    uuid="GPU-12345678-aaaa",
    name="NVIDIA H100",
    memory_bytes=85 * 10**9,
    driver="580.65",
    compute_capability="9.0",
)


def on(gpu, state, key="k"):
    record = make_record(key, device=gpu.device)
    return replace(record, machine=replace(record.machine, gpus=(gpu,)), gpu=state)


def test_the_state_of_each_gpu_is_a_row_of_all_its_jobs():
    states = (
        GpuState(
            uuid=GPU.uuid,
            cuda="13.0",
            power_limit_watts=700.0,
            power_limited=limited,
            reasons=reasons,
            sm_mhz=clock,
            most_sm_mhz=1980,
            temperature_celsius=celsius,
            ecc=True,
            corrected_errors=celsius,
            uncorrected_errors=0,
            remapped_rows=0,
            persistent=True,
            compute_mode="default",
            pcie_generation=5,
            pcie_width=16,
            nvlinks=18,
        )
        for limited, reasons, clock, celsius in (
            (0.2, ("power limit",), 1900.0, 60),
            (0.4, ("power limit", "power brake"), 1500.0, 70),
            (0.9, (), 1700.0, 65),
        )
    )
    records = [on(GPU, state, str(n)) for n, state in enumerate(states)]
    [table] = blocks_of(Table, gpu_blocks(records))
    [row] = [dict(zip(table.columns, cells, strict=True)) for cells in table.rows]
    assert row == {
        "machine": "m",
        "GPU": "cuda:0: NVIDIA H100",
        "UUID": "GPU-12345678",
        "memory": "85.00 GB",
        "compute capability": "9.0",
        "driver": "580.65 (CUDA 13.0)",
        "power limit": "700 W",
        "at its power limit": "40 %",
        "clock": "1700 of 1980 MHz",
        "lowered by": "power limit, power brake",
        "hottest": "70 °C",
        "ECC errors": "0 uncorrected, 70 corrected",
        "remapped rows": "0",
        "link": "PCIe 5 x16, 18 NVLinks",
        "modes": "default, persistent",
    }
    assert table in section(run_of(*records))


def test_a_gpu_whose_driver_tells_nothing_has_a_row_and_a_machine_without_one_no_table():
    other = replace(GPU, uuid="GPU-b", memory_bytes=None, driver="", compute_capability="")
    [table] = blocks_of(Table, gpu_blocks([on(GPU, None), on(other, GpuState(uuid="GPU-b"), "b")]))
    assert [row[:3] for row in table.rows] == [
        ("m", "cuda:0: NVIDIA H100", "GPU-12345678"),
        ("m", "cuda:0: NVIDIA H100", "GPU-b"),
    ]
    assert gpu_blocks([make_record()]) == []


def test_variables_that_were_given_and_those_that_were_left_out_are_told():
    record = replace(make_record(), variables=("XLA_FLAGS=--a",), dropped=("OMP_PROC_BIND",))
    made = section(run_of(record, make_record(key="b", round=1)))
    [text] = blocks_of(Text, made)
    assert (
        "were not passed to the frameworks, because they change what is measured: `OMP_PROC_BIND`"
        in (text.text)
    )
    versions = blocks_of(Table, made)[1]
    assert any("XLA_FLAGS --a" in row[1] for row in versions.rows)
