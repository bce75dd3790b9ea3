"""The report's section on sweeps over batch size and width."""

from __future__ import annotations

from msgspec.structs import replace

from bench.report.form.blocks import Chart, Table, Text
from bench.report.section import scaling
from specs.loading import find_workload
from specs.width import widened
from tests.support.records import UNSEEN, make_record, run_of

MLP = find_workload("mlp-relu")


def sweep(fixed, per_size, backend="reference", rounds=1, widths=(1,), sizes=(10, 50, 100, 500)):
    """Records of 1,000 examples with the given times per step.

    Wider models take proportionally longer per example.
    """
    records = []
    for turn in range(rounds):
        for width in widths:
            for size in sizes:
                job = {
                    "workload": widened(MLP, width),
                    "batch_size": size,
                    "round": turn,
                    "backend": backend,
                }
                key = f"{backend}-{width}-{size}-{turn}"
                seconds = 1000 / size * fixed + 1000 * per_size * width * (1 + 0.02 * turn)
                records.append(make_record(key, times=(9.0,) + (seconds,) * 3, **job))
    return records


def blocks_of(folder, *records):
    return scaling.section(run_of(*records, folder=folder))


def findings(blocks):
    return [
        block
        for block in blocks
        if isinstance(block, Table) and "work outweighs overhead" in block.columns
    ]


def test_the_report_says_where_each_backend_stops_being_bound_by_overhead(tmp_path):
    blocks = blocks_of(
        tmp_path,
        *sweep(6e-3, 1e-4),
        *sweep(1e-3, 1e-3, backend="jax"),
        *sweep(1.0, 1e-4, backend="pytorch"),
    )
    [table] = findings(blocks)
    told = {row[1]: row[2:] for row in table.rows}
    assert told["reference"] == ("6.00 ms", "100 µs", "0.00 %", "60", "from batch size 100 on")
    assert told["jax"][-2:] == ("-", "at every size that was run")
    assert told["pytorch"][-2:] == ("-", "not reached within the sweep")
    assert any(
        isinstance(block, Text) and "Provisional: one round" in block.text for block in blocks
    )
    [chart] = [block for block in blocks if isinstance(block, Chart)]
    assert [panel.title for panel in chart.panels] == [
        "width 1: images/s",
        "width 1: peak memory, GB",
    ]


def test_several_rounds_give_the_range_of_their_crossovers(tmp_path):
    blocks = blocks_of(tmp_path, *sweep(6e-3, 1e-4, rounds=3))
    [table] = findings(blocks)
    assert table.rows[0][5] == "59 (58 to 60)"
    assert not any(isinstance(block, Text) and "one round" in block.text for block in blocks)


def test_a_size_without_a_time_in_a_round_is_left_out_of_its_line(tmp_path):
    """Its job was disturbed. The two rounds of the other sizes give the line."""
    busy = replace(UNSEEN, other_cpu=0.5)
    records = [
        replace(record, disturbance=busy) if record.key == "reference-1-50-1" else record
        for record in sweep(6e-3, 1e-4, rounds=2)
    ]
    [table] = findings(blocks_of(tmp_path, *records))
    assert table.rows[0][2] == "6.00 ms"


def test_across_widths_the_sizes_are_the_operations_of_a_step(tmp_path):
    blocks = blocks_of(tmp_path, *sweep(6e-3, 1e-4, widths=(1, 2, 4)))
    by_batch, by_width = findings(blocks)
    assert [row[0] for row in by_batch.rows] == ["1", "2", "4"]
    assert by_batch.rows[0][-1] == "from batch size 100 on"
    assert by_batch.rows[2][-2:] == ("15", "from batch size 50 on")
    assert {row[0] for row in by_width.rows} == {"10", "50", "100", "500"}
    speeds = next(
        block for block in blocks if isinstance(block, Table) and "parameters" in block.columns
    )
    assert len(speeds.rows) == 12
    # 1,000 examples in 100 x 6 ms + 1,000 x 0.1 ms.
    assert speeds.rows[0] == (
        "1",
        "10",
        "185,300",
        "1,430",
    )


def test_without_a_sweep_the_report_says_nothing_of_it_and_with_two_sizes_what_to_type(tmp_path):
    assert blocks_of(tmp_path, make_record()) == []
    assert blocks_of(tmp_path, make_record(status="failed")) == []
    assert not list(tmp_path.iterdir())
    blocks = blocks_of(tmp_path, *sweep(6e-3, 1e-4, sizes=(10, 50)))
    assert findings(blocks) == []
    assert any(
        isinstance(block, Text) and "--batch-size 32,128,512,2048" in block.text for block in blocks
    )


def test_each_device_has_its_own_plot_and_memory_that_cannot_be_read_is_absent(tmp_path):
    gpu = [
        replace(one, job=replace(one.job, device="cuda:0"), key=f"g{one.key}")
        for one in sweep(6e-3, 1e-4)
    ]
    blocks = blocks_of(tmp_path, *sweep(6e-3, 1e-4), *gpu)  # without an allocator's figure
    assert len({block.name for block in blocks if isinstance(block, Chart)}) == 2
    memory = [
        block.rows[0][-1]
        for block in blocks
        if isinstance(block, Table) and "parameters" in block.columns
    ]
    assert sorted(memory[3::4]) == ["-", "0 MB"]  # the CPU's records hold 100 bytes


def test_models_of_one_name_that_are_not_each_others_widths_never_meet(tmp_path):
    other = replace(widened(MLP, 4), loss="mean_squared_error")
    assert (
        blocks_of(tmp_path, make_record("a", workload=MLP), make_record("b", workload=other)) == []
    )
    assert blocks_of(
        tmp_path, make_record("a", workload=MLP), make_record("b", workload=widened(MLP, 4))
    )


def test_ranks_are_compared_with_one_rank_and_with_one_node(tmp_path):
    """An epoch of 100 s; on two nodes of two GPUs 30 s, and 40 s with the same batch per rank."""
    seconds = {
        ("cuda:0", 128): 100.0,
        ("2xcuda:0", 128): 60.0,
        ("2x2xcuda:0", 128): 30.0,
        ("2x2xcuda:0", 512): 40.0,
    }
    records = [
        make_record(f"{device}{size}", times=(9.0,) + (each,) * 3, device=device, batch_size=size)
        for (device, size), each in seconds.items()
    ]
    table = scaling.ranks(run_of(*records, folder=tmp_path))[1]
    assert {row[2:5] + row[6:] for row in table.rows} == {
        ("2xcuda:0", "cuda:0", "128", "1.67x", "83 %", "-", "-"),
        ("2x2xcuda:0", "cuda:0", "128", "3.33x", "83 %", "-", "-"),
        ("2x2xcuda:0", "2xcuda:0", "128", "2.00x", "100 %", "-", "-"),
        ("2x2xcuda:0", "cuda:0", "512", "-", "-", "2.50x", "62 %"),
    }
