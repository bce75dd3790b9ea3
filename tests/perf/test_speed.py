"""Measures the CPU time of the bench itself with `nox -s perf`.

Otherwise each test runs once, on few records.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import msgspec
import pytest

from backends.registry import DEFAULT_BACKENDS
from bench.records.files import PROJECT
from bench.records.job import Record
from bench.records.run import read_run
from bench.records.stored import read_file, write
from bench.report.frame.epochs import epochs_frame
from bench.report.nodes import Nodes
from specs.loading import find_workload
from specs.shapes import infer_shapes
from tests.perf.records import make_records, write_records
from tests.perf.replay_clock import CLOCK
from tests.support.clusters import cluster, write_cluster
from tests.support.processes import run_python

MANY, FEW = 50_000, 300
cpu_time = pytest.mark.benchmark(timer=time.process_time, group="cpu seconds")


@pytest.fixture(autouse=True)
def load_average(benchmark):
    """Add the machine's load to the results."""
    benchmark.extra_info["load_average"] = os.getloadavg()[0]


def children_cpu_seconds():
    """CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def count(pytestconfig):
    """The number of records: many if benchmarks are enabled."""
    return MANY if pytestconfig.getoption("benchmark_enable") else FEW


@pytest.fixture(scope="module")
def run(count, tmp_path_factory):
    """The folder of a run with `count` synthetic records."""
    folder = tmp_path_factory.mktemp("runs") / "many"
    write_records(folder, count)
    return folder


@cpu_time
def test_a_workload_is_decoded_and_its_shapes_checked(benchmark):
    assert benchmark(find_workload, "cnn").name == "cnn"


@cpu_time
def test_shapes_are_inferred(benchmark):
    assert len(benchmark(infer_shapes, find_workload("cnn"))) == len(find_workload("cnn").layers)


@cpu_time
def test_a_record_is_written(benchmark, tmp_path):
    [record] = make_records(1)
    benchmark(write, tmp_path, record)
    assert read_file(tmp_path / f"{record.key}.json", Record) == record


@cpu_time
def test_a_record_is_read(benchmark, tmp_path):
    [record] = make_records(1)
    write(tmp_path, record)
    assert benchmark(read_file, tmp_path / f"{record.key}.json", Record) == record


@cpu_time
def test_many_records_become_a_frame(benchmark, count):
    # Each as if read from a file: none shares a part with another.
    records = [
        msgspec.json.decode(msgspec.json.encode(record), type=Record)
        for record in make_records(count)
    ]
    benchmark.extra_info["records"] = count
    frame = benchmark.pedantic(epochs_frame, (records,), rounds=3)
    assert frame["key"].nunique() == count


@cpu_time
def test_many_records_are_read_from_files(benchmark, run, count):
    benchmark.extra_info["records"] = count
    records, damaged = benchmark.pedantic(read_run, (run,), rounds=3)
    assert (len(records), damaged) == (count, [])


def report_of(run):
    """Make a report in a new process; returns its wall seconds and peak memory in bytes."""
    code = f"""
import time
started = time.perf_counter()
from pathlib import Path
from bench.report.page import write_report
from bench.worker.memory import peak_rss_bytes
write_report(Path({str(run)!r}))
print(time.perf_counter() - started, peak_rss_bytes())
"""
    wall, peak = run_python(code).split()
    return float(wall), int(peak)


@pytest.mark.slow
@pytest.mark.benchmark(timer=children_cpu_seconds, group="cpu seconds")
def test_many_records_become_a_whole_report(benchmark, run, count):
    wall, peak = benchmark.pedantic(report_of, (run,), rounds=3)
    benchmark.extra_info |= {"records": count, "wall_seconds": wall, "peak_rss_bytes": peak}
    assert (run / "report.html").stat().st_size < 10e6  # small enough for a browser


@cpu_time
def test_nodes_are_compared(benchmark, pytestconfig, tmp_path):
    nodes = 400 if pytestconfig.getoption("benchmark_enable") else 4
    records = cluster(nodes, 5, backends=DEFAULT_BACKENDS)
    folder = write_cluster(tmp_path / "all", records)
    benchmark.extra_info |= {"nodes": nodes, "records": len(records)}
    found = benchmark.pedantic(Nodes, (folder, 0.05), rounds=1)
    assert len(found.fleets[0].nodes) == nodes


@pytest.mark.benchmark(timer=children_cpu_seconds, group="cpu seconds")
@pytest.mark.parametrize("command", ["--help", "list"])
def test_the_command_answers(benchmark, command):
    done = benchmark.pedantic(
        subprocess.run,
        ([sys.executable, "-m", "bench", command],),
        {"cwd": PROJECT, "check": True, "capture_output": True},
        rounds=10,
    )
    assert done.stdout


@pytest.mark.slow
@pytest.mark.benchmark(timer=CLOCK.now, group="cpu seconds of a job of 20 epochs beyond its phases")
@pytest.mark.parametrize(
    "backend",
    [
        "reference",
        pytest.param("pytorch", marks=pytest.mark.framework),
        pytest.param("keras-tensorflow", marks=pytest.mark.framework),
    ],
)
def test_a_job_costs_little_beyond_its_phases(benchmark, backend, tmp_path):
    epochs, rounds = ("20", "5") if benchmark.enabled else ("1", "1")
    before = children_cpu_seconds()
    options = f"--backend {backend} --device cpu --threads 1 --dataset mnist-5k --epochs {epochs}"
    command = [sys.executable, "-m", "bench", "run", "softmax", *options.split()]
    command += ["--rounds", rounds, "--results", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    used = children_cpu_seconds() - before
    records, _ = read_run(tmp_path / "softmax")
    CLOCK.replay(benchmark, [beyond_phases(record) for record in records])
    jobs = sum(record.cpu_seconds for record in records)
    benchmark.extra_info["the command's own, with the report"] = used - jobs


def beyond_phases(record):
    """CPU seconds of a worker outside its phases: the cost of the bench."""
    assert record.status == "ok", record.reason
    phases = [*record.startup.phases]
    for epoch in record.epochs:
        # The evaluation of training examples has no phase; it is as expensive as the prediction.
        share = record.startup.train_evaluated / record.data.test_examples
        phases += [epoch.training, *[epoch.prediction] * (1 + round(share))]
    return record.cpu_seconds - sum(phase.cpu_seconds for phase in phases)
