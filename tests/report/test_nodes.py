"""`bench nodes`: which node of a cluster is slow, computes wrongly, or has another fault."""

from __future__ import annotations

import csv

import altair as alt
import numpy as np
import pytest
from msgspec.structs import replace

from bench.machine.disturbance import Disturbance
from bench.records.job import SlurmTask
from bench.report.chart.nodes import nodes_chart
from bench.report.frame.nodes import nodes_frame, sessions_of
from bench.statistics.nodes.slow import compare_nodes
from tests.support.clusters import (
    BACKENDS,
    STATE,
    WORKLOADS,
    cluster,
    gpu,
    on_node,
    write_cluster,
)
from tests.support.fleets import Fleet, relative
from tests.support.records import run_of


def rows_of(folder):
    with (folder / "nodes" / "nodes.csv").open(newline="") as file:
        return {row["node"]: row for row in csv.DictReader(file)}


def nodes(bench, tmp_path, records, *options):
    """The exit code, the output, and the rows by node."""
    run = write_cluster(tmp_path / "all", records)
    code, output, errors = bench("nodes", "all", *options)
    assert not errors
    return code, output, rows_of(run)


def test_a_slow_node_is_named_and_the_exit_code_is_1(bench, tmp_path):
    records = cluster(rounds=8, slow={7: 1.06}, workloads=("softmax", "cnn"))
    code, output, rows = nodes(bench, tmp_path, records)
    assert code == 1
    assert "12 nodes of NVIDIA H100" in output
    assert "1 to drain: gpu007" in output
    assert [name for name, row in rows.items() if row["sick"] == "True"] == ["gpu007"]
    low, high = (float(rows["gpu007"][end]) for end in ("low", "high"))
    assert 1.01 < low < 1.06 < high < 1.11
    page = (tmp_path / "all" / "nodes" / "report.md").read_text()
    assert "> - gpu007: slow by " in page
    assert "](plots/nodes.png)" in page
    assert (tmp_path / "all" / "nodes" / "report.html").is_file()


def test_a_node_that_is_slow_on_one_workload_is_named_with_it(bench, tmp_path):
    records = cluster(rounds=12, workloads=("softmax", "cnn"), backends=("jax",), noise=0.01)
    slow = cluster(1, 12, slow={0: 1.3}, workloads=("cnn",), backends=("jax",), noise=0.01)
    by_key = {record.key: record for record in [*records, *slow]}
    code, _, rows = nodes(bench, tmp_path, by_key.values())
    assert code == 1
    assert rows["gpu000"]["faults"].startswith("slow on cnn alone, by ")
    assert {name for name, row in rows.items() if row["sick"] == "True"} == {"gpu000"}


def test_the_chart_of_a_fleet_is_valid_and_names_the_slow_node():
    standings = compare_nodes(Fleet().sessions(np.random.default_rng(0), 20, slow=0.1))
    chart = nodes_chart({"H100": standings})
    [panel] = chart.panels
    alt.Chart.from_dict(panel.spec, validate=True)
    rows = panel.spec["datasets"]["rows"]
    assert [row["name"] for row in rows] == [""] * 11 + ["n0"]
    assert [row["ratio"] for row in rows] == sorted(row["ratio"] for row in rows)
    assert nodes_chart({}) is None


def test_names_in_the_chart_of_a_large_fleet_do_not_overlap():
    sessions = Fleet(400).sessions(np.random.default_rng(0), 20, slow=0.1, slow_nodes=12)
    [panel] = nodes_chart({"H100": compare_nodes(sessions)}).panels
    rows = panel.spec["datasets"]["rows"]
    places = sorted(row["name_at"] for row in rows if row["name"])
    assert len(places) == 8
    span = max(row["high"] for row in rows) - min(row["low"] for row in rows)
    pixels = np.diff(places) * panel.spec["height"] / span
    assert pixels.min() >= 13  # the text has 11


def test_a_large_fleet_has_a_short_table_and_all_nodes_below(bench, tmp_path):
    few = {"workloads": ("softmax",), "backends": ("jax",)}
    _, _, rows = nodes(bench, tmp_path, cluster(30, 3, slow={29: 1.5}, **few))
    assert len(rows) == 30
    page = (tmp_path / "all" / "nodes" / "report.md").read_text()
    first, all_nodes = page.split("All 30 nodes")
    assert first.count("\n| gpu") == 20
    assert "and 10 nodes more, " in first
    assert all_nodes.count("\n| gpu") == 30


def test_the_simulation_has_the_sessions_of_the_command():
    """Else `tests.support.fleets` says nothing about it."""
    random, fleet = np.random.default_rng(0), Fleet(5)
    logs = fleet.logs(random, fleet.speeds(random), 3)
    of = {f"w{number}": name for number, name in enumerate(WORKLOADS)}
    records = [
        on_node(
            node,
            float(np.exp(logs[workload, node, round_, backend])),
            workload=WORKLOADS[workload],
            backend=BACKENDS[backend],
            round=round_,
        )
        for workload, node, round_, backend in np.ndindex(logs.shape)
    ]
    run = run_of(*records)
    found = sessions_of(nodes_frame(run.records, run.jobs))
    for workload, by_node in relative(logs).items():
        for node, values in by_node.items():
            theirs = found[of[workload]][f"gpu00{node[1:]}"]
            assert np.sort(theirs) == pytest.approx(np.sort(values), abs=1e-6)


def test_a_healthy_cluster_has_exit_code_0_and_its_rounds_are_judged(bench, tmp_path):
    code, output, rows = nodes(bench, tmp_path, cluster(rounds=2, workloads=("softmax",)))
    assert code == 0
    assert {row["sick"] for row in rows.values()} == {"False"}
    assert "Too few rounds (2) to detect a node that is slower by 5 %: they detect none" in output
    assert ". Use `--rounds " in output
    assert "too few rounds" in output
    code, output, _ = nodes(
        bench, tmp_path, cluster(rounds=2, workloads=("softmax",)), "--find=60%"
    )
    assert "slower by 60 %: they detect none" in output


def test_a_node_whose_weights_differ_is_sick_without_being_slow(bench, tmp_path):
    records = cluster(rounds=2, workloads=("softmax",))
    records = [
        replace(record, weights_checksum="else")
        if (record.machine.name, record.job.backend) == ("gpu003", "jax")
        else record
        for record in records
    ]
    code, output, rows = nodes(bench, tmp_path, records)
    assert code == 1
    assert "11 nodes equal to the last bit in 1 training (jax on softmax, seed 0); gpu003" in output
    assert rows["gpu003"]["faults"] == "weights differ from 11 nodes (jax on softmax, seed 0)"


@pytest.mark.parametrize("other", ["version", "seed"])
def test_weights_of_other_versions_or_seeds_are_not_compared(bench, tmp_path, other):
    records = [
        replace(
            on_node(n, seed=int(n == 0 and other == "seed"), bits=f"{n == 0}"),
            versions={"torch": "2.12" if n == 0 and other == "version" else "2.13"},
        )
        for n in range(6)
    ]
    code, _, rows = nodes(bench, tmp_path, records)
    assert code == 0
    expected = "unlike most: torch 2.12" if other == "version" else ""
    assert rows["gpu000"]["remarks"] == expected


def test_rounds_that_do_not_count_are_in_no_session():
    """By their turns, jobs of busy rounds have a time, too."""
    records = cluster(nodes=4, rounds=3, workloads=("softmax",), backends=("jax",))
    run = run_of(*records)
    frame = nodes_frame(run.records, run.jobs)
    assert {len(of) for of in sessions_of(frame)["softmax"].values()} == {3}
    busy = frame.assign(counts=(frame["node"] != "gpu001") | (frame["round"] > 0))
    assert len(sessions_of(busy)["softmax"]["gpu001"]) == 2
    factor = np.where(frame["node"] == "gpu002", 2.0, 1.0)
    slow = sessions_of(frame.assign(epoch_seconds=frame["epoch_seconds"] * factor))
    added = slow["softmax"]["gpu002"] - sessions_of(frame)["softmax"]["gpu002"]
    assert added == pytest.approx(np.log(2), abs=0.05)


BUSY = Disturbance(
    other_cpu=0.0, steal=0.0, frequency=1.0, gpu_processes=2, gpu_throttled=False, gpu_clock=1.0
)


@pytest.mark.parametrize(
    ("state", "fault", "remark"),
    [
        ({"uncorrected_errors": 3}, "3 uncorrected memory errors", ""),
        ({"remapped_rows": 2}, "", "2 remapped rows"),
        ({"corrected_errors": 5}, "", "5 corrected memory errors"),
        ({"reasons": ("power limit",)}, "", ""),
        ({"power_limit_watts": 300.0}, "", "power limit 300 W (others: 400 W)"),
        ({"sm_mhz": 1500.0}, "", "clock 1500 MHz (others: 1980)"),
        ({"temperature_celsius": 84}, "", "84 °C (others: 61)"),
        ({"pcie_width": 8}, "", "PCIe width 8 (others: 16)"),
        ({"nvlinks": 12}, "", "active NVLinks 12 (others: 18)"),
        (
            {"reasons": ("hardware thermal slowdown",)},
            "",
            "hardware thermal slowdown in 1 of 1 jobs",
        ),
    ],
)
def test_what_the_driver_says_of_one_node_is_a_finding(bench, tmp_path, state, fault, remark):
    records = [on_node(n, state=replace(STATE, **(state if n == 2 else {}))) for n in range(5)]
    code, output, rows = nodes(bench, tmp_path, records)
    assert code == bool(fault)
    assert (rows["gpu002"]["faults"], rows["gpu002"]["remarks"]) == (fault, remark)
    assert {row["faults"] + row["remarks"] for name, row in rows.items() if name != "gpu002"} == {
        ""
    }
    assert (fault or remark) in output


def test_what_all_nodes_have_is_no_finding(bench, tmp_path):
    state = replace(STATE, power_limit_watts=300.0, temperature_celsius=84)
    records = [
        on_node(n, state=state, backend=backend, status=status)
        for n in range(5)
        for backend, status in (("pytorch", "ok"), ("jax", "failed"))
    ]
    code, _, rows = nodes(bench, tmp_path, records)
    assert code == 0
    assert {row["faults"] + row["remarks"] for row in rows.values()} == {""}


def test_jobs_that_fail_on_one_node_alone_are_its_fault_unless_others_ended_them(bench, tmp_path):
    status = {1: "failed", 2: "killed"}
    records = [on_node(n, status=status.get(n, "ok")) for n in range(6)]
    code, _, rows = nodes(bench, tmp_path, records)
    assert code == 1
    assert rows["gpu001"]["faults"] == "1 failed (pytorch on softmax)"
    assert rows["gpu002"]["remarks"] == "1 killed (pytorch on softmax)"
    assert rows["gpu002"]["sick"] == "False"


def test_what_slurm_ended_is_a_fault_only_if_the_node_failed(bench, tmp_path):
    states = {1: "NODE_FAIL", 2: "PREEMPTED"}
    task = SlurmTask(job="1", attempt=1, node="gpu", partition="p", gpus="")
    records = [
        replace(
            on_node(n, status="killed" if n in states else "ok"),
            slurm=replace(task, state=states.get(n, "")),
        )
        for n in range(6)
    ]
    rows = nodes(bench, tmp_path, records)[2]
    assert rows["gpu001"]["faults"] == "1 NODE_FAIL (pytorch on softmax)"
    assert rows["gpu002"]["remarks"] == "1 PREEMPTED (pytorch on softmax)"


def test_jobs_that_a_node_lacks_are_a_remark(bench, tmp_path):
    records = [on_node(n, round=r) for n in range(5) for r in (0, 1) if (n, r) != (3, 1)]
    rows = nodes(bench, tmp_path, records)[2]
    assert rows["gpu003"]["remarks"] == "1 jobs (others: 2)"
    assert rows["gpu001"]["remarks"] == ""


def test_busy_rounds_are_counted_and_left_out(bench, tmp_path):
    records = cluster(rounds=10, workloads=("softmax",), backends=("jax",))
    records = [
        replace(record, disturbance=BUSY)
        if record.machine.name == "gpu004" and record.job.round < 3
        else record
        for record in records
    ]
    rows = nodes(bench, tmp_path, records)[2]
    assert (rows["gpu004"]["busy_jobs"], rows["gpu004"]["sessions"]) == ("3", "7")
    assert rows["gpu004"]["remarks"] == "busy in 3 of 10 jobs (2 other processes on its GPU)"
    assert (rows["gpu005"]["busy_jobs"], rows["gpu005"]["sessions"]) == ("0", "10")


def test_each_gpu_of_a_machine_is_a_node_by_its_uuid(bench, tmp_path):
    records = [
        on_node(n, index=index, state=replace(STATE, uncorrected_errors=int(n == index == 1)))
        for n in range(3)
        for index in (0, 1)
    ]
    rows = nodes(bench, tmp_path, records)[2]
    assert {name for name, row in rows.items() if row["sick"] == "True"} == {"gpu001 cuda:1"}
    assert len(rows) == 6
    # A scheduler calls each GPU cuda:0.
    records = [replace(on_node(n), key=f"a{n}") for n in range(2)]
    other = replace(gpu("gpu000", 5), index=0)
    again = replace(records[0], key="b", machine=replace(records[0].machine, gpus=(other,)))
    again = replace(again, job=replace(again.job, round=1))
    write_cluster(tmp_path / "other", [*records, again])
    assert bench("nodes", "other")[0] == 0
    assert {name.partition(" ")[0] for name in rows_of(tmp_path / "other")} == {"gpu000", "gpu001"}
    assert len(rows_of(tmp_path / "other")) == 3


def test_kinds_of_nodes_are_fleets_of_their_own(bench, tmp_path):
    records = [on_node(n) for n in range(4)] + [on_node(n, 30.0, device="cpu") for n in range(4)]
    code, output, _ = nodes(bench, tmp_path, records)
    assert code == 0
    assert output.count("4 nodes of ") == 2


def test_what_cannot_be_compared_is_told_with_exit_code_2(bench, tmp_path):
    write_cluster(tmp_path / "one", [on_node(0)])
    code, _, errors = bench("nodes", "one")
    assert code == 2
    assert "no two nodes of one kind" in errors
    assert bench("nodes", "nothing")[0] == 2
    write_cluster(tmp_path / "two", [on_node(0), on_node(1)])
    code, _, errors = bench("nodes", "two", "--find", "1%")
    assert code == 2
    assert "more than 2%" in errors
    code, _, errors = bench("nodes", "two", "--output", "two")
    assert code == 2
    assert "is a run, whose report would be overwritten" in errors


def test_a_job_on_several_nodes_says_nothing_of_one(bench, tmp_path):
    together = [on_node(n, 3.0, device="2x1xcuda:0", status="failed") for n in range(3)]
    code, _, rows = nodes(bench, tmp_path, [*cluster(nodes=4), *together])
    assert code == 0
    assert len(rows) == 4
