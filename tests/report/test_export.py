"""Records in the formats of other programs: pytest-benchmark's JSON, CSV and JUnit XML."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from msgspec.structs import replace
from pytest_benchmark.logger import Logger
from pytest_benchmark.stats import Stats
from pytest_benchmark.storage.file import FileStorage

from bench.records.stored import write
from bench.report.export.junit import junit
from bench.report.export.pytest_benchmark import pytest_benchmark
from bench.statistics.gate import CheckResult, check
from tests.support.gate import result
from tests.support.records import make_record, run_of


def test_escape_sequences_in_a_reason_leave_the_xml_readable():
    run = [replace(result(0.9, status="failed"), reason="\x1b[1mbad\x1b[0m \x07news")]
    suite = ET.fromstring(junit(CheckResult(results=tuple(check(run, [result(0.98)]))), "x"))
    assert suite[0][0].get("message") == r"failed: seed 0: failed: bad \u0007news"


def test_junit_has_a_case_per_cell_and_a_failure_per_fall():
    verdicts = check(
        [result(0.9), result(0.98, workload="cnn")], [result(0.98), result(0.98, workload="cnn")]
    )
    suite = ET.fromstring(junit(CheckResult(results=tuple(verdicts)), "a & b"))
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("a & b", "2", "1")
    [failed] = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("accuracy.softmax", "pytorch cpu")


def test_control_characters_in_a_backends_name_leave_the_xml_readable():
    run = [result(0.98, backend="x\x01y\uffff")]
    title = "a\x02b\udcff"  # a folder's name may have bytes that are no text
    suite = ET.fromstring(junit(CheckResult(results=tuple(check(run, run))), title))
    assert (suite.get("name"), suite[0].get("name")) == (r"a\u0002b\udcff", r"x\u0001y\uffff cpu")


def benchmarks(*records):
    return {
        one["name"]: one for one in json.loads(pytest_benchmark(run_of(*records)))["benchmarks"]
    }


def test_steady_epochs_of_all_jobs_are_a_backends_rounds():
    found = benchmarks(
        make_record("a", times=(9.0, 1.0, 2.0, 3.0)),
        make_record("b", seed=1, times=(9.0, 4.0, 5.0, 6.0)),
        make_record("c", backend="pytorch"),
        make_record("d", backend="keras-jax", status="failed"),
    )
    assert list(found) == ["softmax[reference]", "softmax[pytorch]"]
    one = found["softmax[reference]"]
    assert one["stats"]["data"] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert one["group"] == found["softmax[pytorch]"]["group"]
    assert one["fullname"] != found["softmax[pytorch]"]["fullname"]
    extra = one["extra_info"]
    assert (extra["seeds"], extra["rounds"], extra["threads"], extra["device"]) == (
        [0, 1],
        [0],
        1,
        "cpu",
    )


@pytest.mark.parametrize("changes", [{"threads": 2}, {"batch_size": 64}, {"data": "e"}])
def test_what_is_not_the_same_group_never_has_the_same_name(changes):
    records = [
        make_record("a"),
        replace(make_record("b", **changes), started="2026-01-02T00:00:00Z"),
    ]
    names = [
        one["fullname"] for one in json.loads(pytest_benchmark(run_of(*records)))["benchmarks"]
    ]
    assert len(set(names)) == 2


@pytest.mark.parametrize("count", range(1, 12))
def test_every_figure_is_pytest_benchmarks_own(count):
    times = (1.0, *(((7 * n) % 11 + 1) ** 2 / 10 for n in range(count)))
    found = benchmarks(make_record(times=times, accuracies=(0.5,) * len(times)))[
        "softmax[reference]"
    ]["stats"]
    theirs = Stats()
    for seconds in times[1:]:
        theirs.update(seconds)
    expected = theirs.as_dict()
    assert {name: found[name] for name in expected} == {
        name: value if isinstance(value, str) else pytest.approx(value)
        for name, value in expected.items()
    }
    assert found["iterations"] == 1


def test_pytest_benchmark_compares_an_exported_run(bench, tmp_path):
    for record in (make_record("a"), make_record("b", backend="pytorch")):
        write(tmp_path / "run" / "jobs", record)
    for option in (["--pytest-benchmark"], ["--format", "pytest-benchmark"]):
        code, _, _ = bench("export", "run", *option, "--output", "run.json")
        assert code == 0
        command = [sys.executable, "-m", "pytest_benchmark", "compare", "run.json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "softmax[pytorch]" in done.stdout
        assert "softmax[reference]" in done.stdout
    [(_, content)] = FileStorage(tmp_path / "store", Logger(Logger.QUIET)).load(
        str(tmp_path / "run.json")
    )
    assert content["machine_info"]["node"] == "m"
    assert content["commit_info"]["id"] == "unknown"


def test_records_of_several_machines_name_them_all():
    one = make_record("a")
    other = replace(make_record("b"), machine=replace(one.machine, name="other"))
    found = json.loads(pytest_benchmark(run_of(one, other)))
    assert found["machine_info"]["node"] == "m, other"
    assert [machine["name"] for machine in found["machine_info"]["machines"]] == ["m", "other"]
    assert len({one["fullname"] for one in found["benchmarks"]}) == 2


def made(day, seconds, backend="pytorch", **changes):
    """A record of a day, whose steady epochs take so many seconds."""
    record = make_record(
        f"{backend}{day}", times=(9.0, *(seconds,) * 3), backend=backend, round=0, **changes
    )
    return replace(record, started=f"2026-01-{day:02}T08:00:00Z")


def test_a_run_in_benchers_format_has_latency_in_nanoseconds_and_images_per_second(bench, tmp_path):
    for record in (made(1, 2.0), made(2, 4.0, "jax"), made(3, 1.0, "keras-jax", status="failed")):
        write(tmp_path / "run" / "jobs", record)
    code, output, _ = bench("export", "run", "--format", "bencher")
    assert code == 0
    found = json.loads(output)
    assert [name.rpartition("/")[2] for name in found] == ["softmax[pytorch]", "softmax[jax]"]
    measures = next(iter(found.values()))
    assert measures["latency"] == {"value": 2e9}
    assert measures["throughput"] == {"value": 500.0}
    assert measures["test-accuracy"] == {"value": 0.7}
    assert "epoch-joules" not in measures  # not known
    assert all(len(name) <= 1024 for name in found)


def test_benchers_bounds_are_the_interval_of_the_time(bench, tmp_path):
    for number in range(8):
        record = make_record(f"k{number}", times=(9.0, *(2.0 + number / 10,) * 3), round=number)
        write(tmp_path / "run" / "jobs", record)
    [measures] = json.loads(bench("export", "run", "--format", "bencher")[1]).values()
    latency, throughput = measures["latency"], measures["throughput"]
    assert latency["lower_value"] < latency["value"] < latency["upper_value"]
    assert throughput["upper_value"] == pytest.approx(1000 / latency["lower_value"] * 1e9)


def test_runs_are_exported_as_series_in_the_order_of_time(bench, tmp_path):
    for day in (3, 1, 2):
        write(tmp_path / f"day{day}" / "jobs", made(day, float(day)))
    write(tmp_path / "day2" / "jobs", made(2, 5.0, "jax"))
    write(tmp_path / "day3" / "jobs", made(3, 5.0, "jax", status="failed"))
    code, output, _ = bench(
        *("export", "day3", "day1", "day2", "--format", "otava", "--output", "series")
    )
    assert code == 0
    assert "2 series" in output
    tests = json.loads((tmp_path / "series" / "otava.yaml").read_text())["tests"]
    by_backend = {name.split(".")[1]: test for name, test in tests.items()}
    test = by_backend["pytorch"]
    assert {name: m["direction"] for name, m in test["metrics"].items()} == {
        "epoch_seconds": -1,
        "images_per_second": 1,
        "test_accuracy": 1,
    }
    rows = pd.read_csv(test["file"])
    assert rows[test["time_column"]].tolist() == [f"2026-01-0{n}T08:00:00Z" for n in (1, 2, 3)]
    assert rows["epoch_seconds"].tolist() == [1.0, 2.0, 3.0]
    assert rows["run"].tolist() == ["day1", "day2", "day3"]
    assert not rows.isna().any(axis=None)
    assert {*test["attributes"]} <= {*rows.columns}
    assert len(pd.read_csv(by_backend["jax"]["file"])) == 1


def test_other_formats_take_one_run(bench, tmp_path):
    write(tmp_path / "run" / "jobs", made(1, 2.0))
    code, _, errors = bench("export", "run", "run", "--format", "csv")
    assert code == 2
    assert "--format csv exports one run" in errors
