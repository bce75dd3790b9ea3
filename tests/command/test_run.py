"""Tests `bench run`.

Bad input is reported before anything runs; real runs make tables, plots, limits and sweeps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from specs.loading import WORKLOADS
from tests.support.command import QUICK

# arguments: what the message must contain; every one of these exits with 2 and leaves nothing
# behind
BAD = {
    "unknown suite": (
        ("run", "qiuck"),
        ["no suite or workload is named 'qiuck'", "quick, smoke", "did you mean 'quick'?"],
    ),
    "unknown command": (("rnu",), ["no command is named 'rnu'", "did you mean 'run'?"]),
    "list with a hole": (
        ("run", "smoke", "--backend", "pytorch,,jax"),
        ["found 'pytorch,,jax'", "names separated by single commas", "bench run --help"],
    ),
    "list with an end": (("verify", "--backend", "pytorch,"), ["found 'pytorch,'"]),
    "a dry run that installs": (
        ("run", "smoke", "--install", "--dry-run"),
        ["--dry-run: not allowed with argument --install"],
    ),
    "no GPU": (
        (*("run", *QUICK), "--device", "gpu"),
        ["there is no NVIDIA GPU on", "nvidia-smi"],
    ),
    "unknown option": (
        ("run", "smoke", "--epoch-count", "3"),
        ["unrecognized arguments: --epoch-count"],
    ),
    "unknown backend": (
        ("run", "smoke", "--backend", "pytroch"),
        ["'pytroch'", "keras-tensorflow", "mean 'pytorch'"],
    ),
    "unknown device": (
        (*("run", *QUICK), "--device", "cuda:7"),
        ["no device 'cuda:7'", "one of cpu"],
    ),
    "unknown data set": (
        ("run", "softmax", "--backend", "reference", "--dataset", "minst"),
        ["'minst'", "'mnist'?"],
    ),
    "no epochs": (("run", *QUICK, "--epochs", "0"), ["found '0'", "from 1 to 999999"]),
    "a million epochs": (
        ("run", *QUICK, "--epochs", "1000001"),
        ["found '1000001'", "from 1 to 999999"],
    ),
    "a batch of nothing": (("run", *QUICK, "--batch-size", "0"), ["found '0'", "from 1 to 999999"]),
    "a batch larger than the data": (
        ("run", *QUICK, "--batch-size", "4001"),
        ["4,001", "mnist-5k", "at most 4,000"],
    ),
    "a batch that is no number": (
        ("run", *QUICK, "--batch-size", "32,x"),
        ["found '32,x'", "e.g. 1,4,16"],
    ),
    "one of several batches too large": (
        ("run", *QUICK, "--batch-size", "32,4001"),
        ["4,001", "a smaller --batch-size"],
    ),
    "no width": (("run", *QUICK, "--width", "0"), ["found '0'", "whole numbers from 1"]),
    "nothing to widen": (
        ("run", *QUICK, "--width", "1,4"),
        ["softmax: it has no hidden dense layer", "--width 1"],
    ),
    "too wide": (
        ("run", "mlp-relu", *QUICK[1:], "--width", "1,999"),
        [
            "mlp-relu-x999",
            "27,901,760,320 parameters",
            "at most 1,000,000,000",
            "a smaller --width",
        ],
    ),
    "a run that is a path": (("run", *QUICK, "--run", "../x"), ["'../x'", "a name, not a path"]),
    "seeds that are not": (("run", *QUICK, "--seeds", "1,a"), ["'1,a'", "0,1,2"]),
    "too many threads": (("run", *QUICK, "--threads", "4096"), ["--threads 4096", "allows"]),
    "an interpreter that is not": (
        ("run", *QUICK, "--python", "torch=/no/python"),
        ["/no/python", "no such file"],
    ),
    "an interpreter of nothing": (
        ("run", *QUICK, "--python", "troch=/bin/sh"),
        ["'troch'", "mean 'torch'"],
    ),
    "an interpreter without a path": (
        ("run", *QUICK, "--python", "torch"),
        ["ENVIRONMENT=/path/to/python"],
    ),
    "no such folder of data": (
        ("run", "softmax", "--backend", "reference", "--data-dir", "/no/where"),
        ["/no/where"],
    ),
    "no such run": (
        ("report", "results/nothing"),
        ["results/nothing: is not a results folder", "bench run makes one"],
    ),
    "no such workload": (("show", "softmux"), ["'softmax'?"]),
    "no such file": (("run", "mine.json"), ["mine.json: cannot be read"]),
    "an unknown mode": (("run", *QUICK, "--mode", "own"), ["found 'own'", "matched,native"]),
    "no native mode": (
        ("run", *QUICK, "--mode", "native"),
        ["none of reference has a native mode"],
    ),
    "nothing to verify": (("verify", "--backend", "jaxx"), ["'jaxx'", "mean 'jax'"]),
    "no native mode to verify": (
        ("verify", "--backend", "reference", "--mode", "native"),
        ["has a native mode"],
    ),
    "no such contract": (("defaults", "--backend", "pytroch"), ["mean 'pytorch'"]),
    "no such environment": (
        ("environment", "create", "pytorch"),
        ["'pytorch'", "torch, tensorflow, jax"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_plainly_with_exit_code_2(case, bench, tmp_path):
    arguments, parts = BAD[case]
    code, _, errors = bench(*arguments)
    assert code == 2
    assert "Traceback" not in errors
    for part in parts:
        assert part in errors
    assert not list(tmp_path.glob("results/*/jobs/*.json"))


def test_a_backend_that_is_not_installed_is_told_with_the_line_to_type(
    bench, monkeypatch, tmp_path
):
    monkeypatch.setattr("bench.runner.environments.environments_folder", lambda: tmp_path / "none")
    code, _, errors = bench("run", "smoke", "--backend", "pytorch")
    assert code == 2
    assert "the backend 'pytorch' is not installed" in errors
    assert "hint: bench environment create torch" in errors
    code, _, errors = bench("run", "smoke")
    assert code == 2
    assert "no framework is installed\n  hint: bench environment create" in errors


def test_an_interpreter_without_the_framework_is_told_before_anything_runs(bench):
    code, _, errors = bench(
        "run", "smoke", "--backend", "pytorch", "--python", f"torch={sys.executable}"
    )
    assert code == 2
    assert "torch not installed there" in errors


def test_a_results_folder_that_cannot_be_written_is_told_before_anything_runs(bench, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, errors = bench("run", *QUICK, "--results", "file")
    assert code == 2
    assert "cannot be written" in errors
    assert "--results" in errors


def test_a_shape_that_does_not_fit_its_data_is_told(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    (tmp_path / "mine.json").write_text(
        json.dumps({**spec, "input": {"shape": [14, 14, 1], "classes": 10}})
    )
    code, _, errors = bench("run", "mine.json", "--backend", "reference", "--dataset", "mnist-5k")
    assert code == 2
    assert "its input is (14, 14, 1), but the images of mnist-5k are (28, 28, 1)" in errors
    assert "--dataset synthetic" in errors


def test_more_classes_than_the_model_tells_apart_are_told(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["input"]["classes"] = spec["layers"][-1]["units"] = 5
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    code, _, errors = bench("run", "mine.json", "--backend", "reference", "--dataset", "mnist-5k")
    assert code == 2
    assert "it has 5 classes, but mnist-5k has 10" in errors


def test_synthetic_images_that_no_memory_holds_are_refused(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["input"]["shape"] = [900, 900, 3]
    spec["layers"][-1]["units"] = 10
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    code, _, errors = bench("run", "mine.json", "--backend", "reference", "--dataset", "synthetic")
    assert code == 2
    assert "images of (900, 900, 3) are too large: 2,430,000 bytes each" in errors
    assert "images of at most 2,327,272 bytes" in errors


@pytest.mark.usefixtures("whole")
def test_a_run_prints_a_table_and_leaves_report_tables_and_plots(bench):
    code, output, errors = bench("run", *QUICK, "--run", "mine")
    assert code == 0, errors
    assert "softmax" in output
    assert "reference" in output
    folder = Path("results/mine")
    assert {path.name for path in folder.iterdir()} == {
        "command.txt",
        "jobs",
        "learned",
        "limits",
        "plots",
        "report.html",
        "report.md",
        "epochs.csv",
        "summary.csv",
    }
    plots = {path.name for path in (folder / "plots").iterdir()}
    [roofline] = {name.partition(".")[0] for name in plots if name.startswith("roofline-cpu-")}
    names = ("speed", "accuracy", "time-to-accuracy", "curves", "memory", "start-up", roofline)
    assert plots == {f"{name}.{ending}" for name in names for ending in ("pdf", "png", "svg")}
    page = (folder / "report.md").read_text()
    assert f"`bench run {' '.join(QUICK)} --run mine`" in page
    assert all(f"](plots/{name}.png)" in page for name in names)
    summary = pd.read_csv(folder / "summary.csv").iloc[0]
    epochs = pd.read_csv(folder / "epochs.csv")
    assert summary["test_accuracy"] == epochs["test_accuracy"].iloc[-1]
    # published defect: a rate from the mean of one thing and the volume of another
    assert summary["train_examples_per_second"] * summary["epoch_seconds"] == pytest.approx(4000)


def test_a_failed_job_is_a_row_and_exit_code_1(bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code, output, _ = bench("run", *QUICK)
    assert code == 0
    path = next(Path("results/softmax/jobs").glob("*.json"))
    record = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {**record, "status": "diverged", "reason": "epoch 1: running loss nan", "epochs": []}
        )
    )
    code, output, _ = bench("run", *QUICK)
    assert code == 1
    assert "diverged" in output
    assert "running loss nan" in output
    page = Path("results/softmax/report.md").read_text()
    assert "| softmax | reference | **diverged** |" in page
    assert page.count("| softmax |") == 1
    code, output, _ = bench("run", *QUICK, "--retry")
    assert code == 0


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (4, "an older")])
def test_records_of_another_version_are_named_and_left_out_by_every_command(bench, version, age):
    Path("results/softmax/jobs").mkdir(parents=True)
    path = Path("results/softmax/jobs/x.json")
    path.write_text(f'{{"format": {version}}}')
    reason = f"{path}: of {age} version (format {version}, expected 5), left out"
    code, _, errors = bench("report", "results/softmax")
    assert code == 2
    assert reason in errors
    assert "none of its records can be read" in errors
    code, _, errors = bench("run", *QUICK)
    assert code == 0
    assert errors.count(reason) == 1
    assert bench("report", "results/softmax")[2].count(reason) == 1
    assert path.read_text() == f'{{"format": {version}}}'


def test_a_half_written_record_is_named_left_out_and_made_again(bench):
    bench("run", *QUICK)
    path = next(Path("results/softmax/jobs").glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])
    code, _, errors = bench("report", "results/softmax")
    assert code == 2
    assert "none of its records can be read" in errors
    code, output, _ = bench("run", *QUICK)
    assert code == 0
    assert "reference" in output
    Path("results/softmax/jobs/half.json").write_text('{"format": 5, "key"')
    code, output, errors = bench("report", "results/softmax")
    assert code == 0
    assert "half.json: damaged, left out" in errors
    assert "reference" in output


def test_a_fault_of_the_file_system_shows_no_traceback(bench, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "results/softmax")

    monkeypatch.setattr("bench.command.report.write_run_report", full)
    code, _, errors = bench("report", "results/softmax")
    assert code == 1
    assert "No space left on device: 'results/softmax'" in errors


def test_batch_norm_of_a_last_batch_of_one_is_refused(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["layers"].insert(1, {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-3})
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    for size in ("1333", "1"):  # 4,000 = 3 x 1,333 + 1
        arguments = (
            "run",
            "mine.json",
            "--backend",
            "reference",
            "--dataset",
            "mnist-5k",
            "--batch-size",
            size,
        )
        code, _, errors = bench(*arguments)
        assert code == 2
        assert "a batch of mnist-5k has one example; batch norm on a vector" in errors


def test_a_run_whose_backends_disagree_ends_with_exit_code_1_and_says_so_last(bench):
    assert bench("run", *QUICK)[0] == 0
    [path] = Path("results/softmax/jobs").glob("*.json")
    record = json.loads(path.read_text())
    other = {**record, "key": "other", "job": {**record["job"], "backend": "other"}}
    path.with_name("other.json").write_text(json.dumps(other))
    assert bench("run", *QUICK)[0] == 0
    first = {**record["epochs"][0], "running_loss": 2 * record["epochs"][0]["running_loss"]}
    path.with_name("other.json").write_text(
        json.dumps({**other, "epochs": [first, record["epochs"][1]]})
    )
    code, output, errors = bench("run", *QUICK)
    assert code == 1
    assert output.splitlines()[-1].startswith("2 of 2 results disagree with the other backends: ")
    assert "DISAGREES" in errors  # the job's own line, though the other was run by another command


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_a_run_measures_its_limits_once_and_says_so(bench, tmp_path):
    command = (
        "run",
        "softmax",
        "--backend",
        "reference",
        "--dataset",
        "mnist-5k",
        "--threads",
        "1",
        "--epochs",
    )
    code, _, errors = bench(*command, "1")
    assert code == 0, errors
    assert errors.count("peak rates bench cpu  matmul ") == 1
    [path] = (tmp_path / "results" / "softmax" / "limits").iterdir()
    before = path.read_bytes()
    assert json.loads(before)["status"] == "ok"
    assert "Bottlenecks" in (tmp_path / "results" / "softmax" / "report.html").read_text()
    code, _, errors = bench(*command, "2")
    assert code == 0
    assert "peak rates" not in errors
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_a_sweep_is_every_workload_at_every_width_and_batch_size_and_keeps_backends_together(
    bench,
):
    code, output, errors = bench(
        *(
            "run",
            "mlp-relu",
            "--backend",
            "reference",
            "--dataset",
            "mnist-5k",
            "--epochs",
            "1",
            "--device",
            "cpu",
        ),
        *("--batch-size", "1000,2000,4000,1000", "--width", "1,2"),
    )
    assert code == 0, errors
    lines = [
        line.split("]")[1].split(" reference")[0].strip()
        for line in errors.splitlines()
        if line.startswith("[") and "peak rates" not in line
    ]
    assert lines == [
        f"mlp-relu{x} batch {size}" for x in ("", "-x2") for size in (1000, 2000, 4000)
    ]
    assert "mlp-relu-x2 batch 4000" in output
    page = Path("results/mlp-relu/report.md").read_text()
    assert page.count("## Batch size and width") == 1
    assert "](plots/sweep-1-mlp-relu.png)" in page


def test_a_dry_run_says_what_would_run_and_leaves_nothing(bench, tmp_path):
    code, _, errors = bench("run", "smoke", "--backend", "reference", "--dry-run")
    assert code == 0
    text = " ".join(errors.split())
    assert "smoke: 3 jobs; softmax, mlp-relu, cnn in 1 backend, on cpu" in text
    assert "data set mnist-5k" in text
    assert "min" in text
    assert not (tmp_path / "results").exists()
    bench("run", *QUICK)
    _, _, errors = bench("run", *QUICK, "--dry-run")
    assert "softmax: 1 job, 1 of them finished;" in " ".join(errors.split())


def test_the_expected_time_includes_turns_of_jobs_that_have_finished(bench):
    """Two workers are started again (20 s), and take 70 s of turns each."""
    assert bench("run", *QUICK, "--backend", "reference,toy", "--turns", "0")[0] == 0
    _, _, errors = bench("run", *QUICK, "--backend", "reference,toy", "--turns", "70", "--dry-run")
    assert "2 jobs, 2 of them finished" in errors
    assert "about 3 min" in errors
    _, _, errors = bench("run", *QUICK, "--turns", "70", "--dry-run")
    assert "less than a minute" in errors  # a backend alone takes no turns


def test_a_suite_may_name_batch_sizes_and_equal_jobs_are_run_once(bench):
    command = ("run", "overview", "--backend", "reference", "--dataset", "mnist-5k", "--dry-run")
    _, _, errors = bench(*command)
    assert "overview: 10 jobs;" in errors
    # The two short trainings of softmax, of one and of all images, become one.
    _, _, errors = bench(*command, "--batch-size", "64")
    assert "overview: 9 jobs;" in errors


@pytest.mark.usefixtures("whole")
def test_the_page_is_written_after_each_workload(bench):
    _, _, errors = bench("run", *QUICK, "--batch-size", "200,400")
    lines = errors.splitlines()
    [so_far] = [number for number, line in enumerate(lines) if "results so far" in line]
    assert "report.html" in lines[so_far]
    assert "[1/2]" in lines[so_far - 1]
    assert "[2/2]" in lines[so_far + 1]
