"""`bench compare --by` and `--price`: kinds of nodes side by side, with energy and price."""

from __future__ import annotations

import csv

import pytest
from msgspec.structs import replace

from bench.records.job import SlurmTask
from bench.worker.energy import Counter
from tests.support.clusters import on_node, write_cluster


def of_kind(number, name, seconds, watts=None, **job):
    """A record of a node with a GPU of this name; an epoch takes so many seconds."""
    made = on_node(number, seconds, **job)
    machine = replace(
        made.machine,
        name=f"{name}{number}",
        gpus=tuple(replace(gpu, name=name) for gpu in made.machine.gpus),
    )
    epochs = tuple(
        replace(
            epoch,
            training=replace(
                epoch.training, energy_joules=watts and watts * epoch.training.wall_seconds
            ),
        )
        for epoch in made.epochs
    )
    startup = replace(made.startup, energy=Counter(name="NVML", step_seconds=0.01))
    return replace(made, key=f"{made.key}{name}", machine=machine, epochs=epochs, startup=startup)


def table(folder):
    with (folder / "hardware.csv").open(newline="") as file:
        return {row["group"]: row for row in csv.DictReader(file)}


def compared(bench, tmp_path, records, *options):
    write_cluster(tmp_path / "all", records)
    code, output, errors = bench("compare", "all", *options, "--output", "out")
    assert (code, errors) == (0, "")
    return output, table(tmp_path / "out")


SLOW_AND_FAST = [
    *(of_kind(n, "A100", seconds, watts=300.0) for n, seconds in enumerate((2.0, 2.2, 9.0))),
    *(of_kind(n, "H100", 1.0, watts=500.0) for n in range(2)),
]


def test_kinds_of_gpus_are_compared_by_the_medians_of_their_nodes(bench, tmp_path):
    output, rows = compared(bench, tmp_path, SLOW_AND_FAST, "--by", "gpu")
    assert (rows["A100"]["nodes"], rows["H100"]["nodes"]) == ("3", "2")
    assert float(rows["A100"]["images_per_second"]) == pytest.approx(1000 / 2.2)
    assert float(rows["H100"]["images_per_joule"]) == pytest.approx(1000 / 500)
    # The first of two epochs takes three times as long; the target is reached in the second.
    assert float(rows["H100"]["seconds_to_target"]) == pytest.approx(4.0)
    assert float(rows["H100"]["joules_to_target"]) == pytest.approx(2000.0)
    assert "2.20x" in output  # images/s
    assert "cost" not in output


def test_a_price_gives_the_money_to_the_target(bench, tmp_path):
    prices = ("--price", "A100=1.5/h", "--price", "H100=4.00/h")
    output, rows = compared(bench, tmp_path, SLOW_AND_FAST, *prices)
    assert float(rows["H100"]["node_hours_to_target"]) == pytest.approx(4 / 3600)
    assert float(rows["H100"]["cost_to_target"]) == pytest.approx(4 * 4 / 3600)
    assert float(rows["A100"]["cost_to_target"]) == pytest.approx(1.5 * 8.8 / 3600)
    assert "1.21x" in output  # the cost of an image: 4.0 / 1.5 / 2.2


def test_what_did_not_reach_the_target_on_every_node_has_no_cost(bench, tmp_path):
    failed = of_kind(7, "H100", 1.0, status="failed")
    rows = compared(bench, tmp_path, [*SLOW_AND_FAST, failed], "--price", "H100=4/h")[1]
    assert rows["H100"]["cost_to_target"] == ""
    assert rows["H100"]["ok_jobs"] == "2"
    assert float(rows["H100"]["cost_per_image"]) > 0
    assert rows["A100"]["cost_per_image"] == ""


def test_runs_partitions_and_nodes_are_groups_too(bench, tmp_path):
    write_cluster(tmp_path / "old", SLOW_AND_FAST[:3])
    write_cluster(tmp_path / "new", SLOW_AND_FAST[3:])
    code, output, _ = bench("compare", "old", "new", "--price", "old=1/h", "--price", "new=2/h")
    assert code == 0
    assert "price/h" in output
    assert bench("compare", "old", "--by", "node", "--output", "nodes")[0] == 0
    assert set(table(tmp_path / "nodes")) == {"A1000", "A1001", "A1002"}

    def in_slurm(record):
        node = record.machine.name
        partition, job = node[:4].lower(), f"8{record.key[-5]}"
        task = SlurmTask(job=job, attempt=1, node=node, partition=partition, gpus="0")
        return replace(record, slurm=task)

    output, rows = compared(bench, tmp_path, map(in_slurm, SLOW_AND_FAST), "--price", "h100=2/h")
    assert set(rows) == {"a100", "h100"}
    assert "queue" in output
    assert "job ids" in output
    assert "No price was given for a100." in output


@pytest.mark.parametrize("price", ["A100", "A100=2.1", "A100=0/h", "=2/h", "A100=x/h"])
def test_a_price_is_a_name_and_an_amount_per_hour(bench, price):
    code, _, errors = bench("compare", "all", "--price", price)
    assert code == 2
    assert "expected NAME=PRICE/h, e.g. a100=2.10/h" in errors


def test_a_price_of_no_group_is_refused(bench, tmp_path):
    write_cluster(tmp_path / "all", SLOW_AND_FAST)
    code, _, errors = bench("compare", "all", "--price", "H200=1/h")
    assert code == 2
    assert "no gpu of this name\n  expected: one of A100, H100" in errors


def test_a_job_on_several_nodes_costs_all_of_them(bench, tmp_path):
    records = [of_kind(0, "H100", 1.0), of_kind(1, "H100", 1.0, device="4x1xcuda:0")]
    compared(bench, tmp_path, records, "--by", "gpu", "--price", "H100=3600/h")
    with (tmp_path / "out" / "hardware.csv").open(newline="") as file:
        rows = {row["job_nodes"]: row for row in csv.DictReader(file)}
    for name in ("node_hours_to_target", "cost_to_target", "cost_per_image"):
        assert float(rows["4"][name]) == pytest.approx(4 * float(rows["1"][name]))
