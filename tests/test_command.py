"""The command as a user meets it: what it says of bad input, and what it makes of good."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from bench import sources
from bench.data import materialise
from bench.environments import PROJECT
from bench.sources import Places
from specs.loading import WORKLOADS, find_workload

QUICK = (
    "softmax",
    "--device",
    "cpu",
    "--backend",
    "reference",
    "--dataset",
    "mnist-5k",
    "--epochs",
    "2",
    "--batch-size",
    "500",
)

# arguments: what the message must contain; every one of these exits with 2 and leaves nothing behind
BAD = {
    "unknown suite": (("run", "qiuck"), ["no suite or workload is named 'qiuck'", "quick, smoke", "bench list"]),
    "unknown command": (("rnu",), ["invalid choice", "run"]),
    "unknown option": (("run", "smoke", "--epoch-count", "3"), ["unrecognized arguments: --epoch-count"]),
    "unknown backend": (("run", "smoke", "--backend", "pytroch"), ["'pytroch'", "keras-tensorflow", "mean 'pytorch'"]),
    "unknown device": ((*("run", *QUICK), "--device", "cuda:7"), ["no device 'cuda:7'", "one of cpu"]),
    "unknown data set": (("run", "softmax", "--backend", "reference", "--dataset", "minst"), ["'minst'", "'mnist'?"]),
    "no epochs": (("run", *QUICK, "--epochs", "0"), ["found '0'", "from 1 to 999999"]),
    "a million epochs": (("run", *QUICK, "--epochs", "1000001"), ["found '1000001'", "from 1 to 999999"]),
    "a batch of nothing": (("run", *QUICK, "--batch-size", "0"), ["found '0'", "from 1 to 999999"]),
    "a batch larger than the data": (("run", *QUICK, "--batch-size", "4001"), ["4,001", "mnist-5k", "at most 4,000"]),
    "a batch that is no number": (("run", *QUICK, "--batch-size", "32,x"), ["found '32,x'", "as 1,4,16"]),
    "one of several batches too large": (
        ("run", *QUICK, "--batch-size", "32,4001"),
        ["4,001", "a smaller --batch-size"],
    ),
    "no width": (("run", *QUICK, "--width", "0"), ["found '0'", "whole numbers from 1"]),
    "nothing to widen": (("run", *QUICK, "--width", "1,4"), ["softmax: it has no hidden dense layer", "--width 1"]),
    "too wide": (
        ("run", "mlp-relu", *QUICK[1:], "--width", "1,999"),
        ["mlp-relu-x999", "27,901,760,320 parameters", "at most 1,000,000,000", "a smaller --width"],
    ),
    "a run that is a path": (("run", *QUICK, "--run", "../x"), ["'../x'", "a name, not a path"]),
    "seeds that are not": (("run", *QUICK, "--seeds", "1,a"), ["'1,a'", "0,1,2"]),
    "too many threads": (("run", *QUICK, "--threads", "4096"), ["--threads 4096", "allows"]),
    "an interpreter that is not": (("run", *QUICK, "--python", "torch=/no/python"), ["/no/python", "no such file"]),
    "an interpreter of nothing": (("run", *QUICK, "--python", "troch=/bin/sh"), ["'troch'", "mean 'torch'"]),
    "an interpreter without a path": (("run", *QUICK, "--python", "torch"), ["ENVIRONMENT=/path/to/python"]),
    "no such folder of data": (("run", "softmax", "--backend", "reference", "--data-dir", "/no/where"), ["/no/where"]),
    "no such run": (("report", "results/nothing"), ["results/nothing: holds no run", "bench run makes one"]),
    "no such workload": (("show", "softmux"), ["'softmax'?"]),
    "no such file": (("run", "mine.json"), ["mine.json: cannot be read"]),
    "an unknown mode": (("run", *QUICK, "--mode", "own"), ["found 'own'", "matched,native"]),
    "no native mode": (("run", *QUICK, "--mode", "native"), ["none of reference has a native mode"]),
    "nothing to prove": (("prove", "--backend", "jaxx"), ["'jaxx'", "mean 'jax'"]),
    "no native mode to prove": (("prove", "--backend", "reference", "--mode", "native"), ["has a native mode"]),
    "no such contract": (("contract", "--backend", "pytroch"), ["mean 'pytorch'"]),
    "no such environment": (("environment", "create", "pytorch"), ["'pytorch'", "tensorflow, torch"]),
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


def test_a_backend_that_is_not_installed_is_told_with_the_line_to_type(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("bench.environments.ENVIRONMENTS_FOLDER", tmp_path / "none")
    monkeypatch.setattr("bench.environments.Environments.__init__.__defaults__", (None, tmp_path / "none"))
    code, _, errors = bench("run", "smoke", "--backend", "pytorch")
    assert code == 2
    assert "the backend 'pytorch' is not installed" in errors
    assert "hint: bench environment create torch" in errors
    code, _, errors = bench("run", "smoke")
    assert code == 2
    assert "no framework is installed\n  hint: bench environment create" in errors


def test_an_interpreter_without_the_framework_is_told_before_anything_runs(bench):
    code, _, errors = bench("run", "smoke", "--backend", "pytorch", "--python", f"torch={sys.executable}")
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
    (tmp_path / "mine.json").write_text(json.dumps({**spec, "input": {"shape": [14, 14, 1], "classes": 10}}))
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
    assert "it tells 5 classes apart, but mnist-5k has 10" in errors


def test_synthetic_images_that_no_memory_holds_are_refused(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["input"]["shape"] = [900, 900, 3]
    spec["layers"][-1]["units"] = 10
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    code, _, errors = bench("run", "mine.json", "--backend", "reference", "--dataset", "synthetic")
    assert code == 2
    assert "an image of (900, 900, 3) takes 2,430,000 bytes" in errors
    assert "images of at most 2,327,272 bytes" in errors


def no_mirror(monkeypatch):
    mnist = replace(sources.ARCHIVES["mnist"], mirrors=("http://127.0.0.1:9/",))
    monkeypatch.setattr(sources, "ARCHIVES", {**sources.ARCHIVES, "mnist": mnist})


def test_data_are_fetched_listed_and_verified_and_damage_is_named(bench, monkeypatch, tmp_path):
    code, output, _ = bench("data", "fetch", "mnist-5k")
    assert code == 0
    assert "mnist-5k: 4,000 + 1,000 images in" in output
    code, output, _ = bench("data", "verify")
    assert code == 0
    assert "mnist: not there" in output
    assert ": ok" in output
    [path] = (tmp_path / "cache" / "arrays").glob("*/train_labels.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    code, output, _ = bench("data", "verify")
    assert code == 1
    assert "damaged; the next run makes it again" in output
    no_mirror(monkeypatch)
    code, _, errors = bench("data", "fetch", "mnist")
    assert code == 1
    assert "mnist could not be downloaded" in errors
    code, _, errors = bench("data", "verify", "mnist")
    assert code == 1
    assert errors.count("cannot be read") == 4
    code, _, errors = bench("data", "verify", "mnist-expanded")
    assert code == 2
    assert "has no files of its own" in errors
    code, _, errors = bench("data", "fetch", "minst")
    assert code == 2
    assert "did you mean 'mnist'?" in errors


def test_without_mnist_the_run_says_so_and_uses_its_stand_in(bench, monkeypatch, tmp_path):
    no_mirror(monkeypatch)
    code, _, errors = bench("run", "softmax", "--backend", "reference", "--epochs", "1")
    assert code == 0, errors
    assert "MNIST is not available, so this run uses mnist-5k" in errors
    assert set(pd.read_csv("results/softmax/epochs.csv")["dataset"]) == {"mnist-5k"}
    title = "softmax, on mnist-5k instead of mnist"
    assert Path("results/softmax/report.md").read_text().startswith(f"# {title}\n")
    assert f"<title>{title}</title>" in Path("results/softmax/report.html").read_text()
    code, _, errors = bench("run", "softmax", "--backend", "reference", "--dataset", "mnist", "--run", "other")
    assert code == 2
    assert "could not be downloaded" in errors


TINY = ("run", "softmax", "--backend", "reference", "--epochs", "1", "--batch-size", "500")


def make_archive(monkeypatch, folder):
    """An `mnist` of mnist-5k's images in four files of the original form; no mirror has them."""
    arrays = sources.read_mnist_5k()
    parts = ("train_images", "train_labels", "test_images", "test_labels")
    folder.mkdir(parents=True)
    checksums = []
    for name, part in zip(sources._NAMES, parts, strict=True):
        values = arrays[part][..., 0] if part.endswith("images") else arrays[part]
        header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
        content = gzip.compress(header + np.flip(values, 0).astype(np.uint8).tobytes())  # not mnist-5k itself
        (folder / name).write_bytes(content)
        checksums.append(hashlib.sha256(content).hexdigest())
    mnist = replace(
        sources.ARCHIVES["mnist"],
        files=dict(zip(sources._NAMES, checksums, strict=True)),
        mirrors=("http://127.0.0.1:9/",),
    )
    monkeypatch.setattr(sources, "ARCHIVES", {**sources.ARCHIVES, "mnist": mnist})
    made = materialise("mnist", find_workload("softmax").input, Places(directory=folder, cache=folder / "cache"))
    monkeypatch.setattr(sources, "ARRAYS", {"mnist": made.checksum})


def data_sets(run):
    return {json.loads(path.read_text())["data"]["name"] for path in Path(f"results/{run}/jobs").glob("*.json")}


def test_arrays_in_the_cache_are_the_data_set_when_its_files_are_gone(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench(*TINY, "--data-dir", "files")[0] == 0
    kept = len(list(Path("results/softmax/jobs").glob("*.json")))
    code, _, errors = bench(*TINY, "--seeds", "0,1")  # another shell, without the folder's name
    assert code == 0, errors
    assert "not available" not in errors
    assert data_sets("softmax") == {"mnist"}
    assert len(list(Path("results/softmax/jobs").glob("*.json"))) == kept + 1  # the first was found again
    code, output, _ = bench("data")
    assert re.search(r"mnist +60,000 .*\n.*\(there as arrays: \S+mnist-[0-9a-f]{16}\)", output)
    code, output, _ = bench("data", "fetch", "mnist")
    assert code == 0
    assert "mnist: 4,000 + 1,000 images" in output
    code, _, errors = bench(*TINY, "--dataset", "mnist-expanded", "--run", "expanded")  # made of those arrays
    assert code == 0, errors
    # a folder that the user names must have the files, whatever lies in the cache
    (tmp_path / "empty").mkdir()
    code, _, errors = bench(*TINY, "--data-dir", "empty")
    assert code == 2
    assert "not there" in errors


def test_arrays_that_are_not_known_to_be_mnists_are_not_mnist(bench, monkeypatch, tmp_path):
    """A folder that is named for its own content, as another user of a shared cache could make."""
    make_archive(monkeypatch, tmp_path / "files")
    assert bench("data", "fetch", "mnist", "--data-dir", "files")[0] == 0
    monkeypatch.setattr(sources, "ARRAYS", {"mnist": "0" * 64})
    code, _, errors = bench(*TINY)
    assert code == 0
    assert "MNIST is not available" in errors


def test_the_title_names_every_data_set_that_was_replaced(bench, monkeypatch, tmp_path):
    no_mirror(monkeypatch)
    expanded = expanded_too(tmp_path)
    for command in (TINY, expanded):
        assert bench(*command)[0] == 0
    title = "# softmax, on mnist-5k instead of mnist, mnist-expanded\n"
    assert Path("results/softmax/report.md").read_text().startswith(title)


def test_damaged_arrays_in_the_cache_are_no_data_set(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench("data", "fetch", "mnist", "--data-dir", "files")[0] == 0
    [folder] = (tmp_path / "cache" / "arrays").glob("mnist-*")
    labels = (folder / "train_labels.npy").read_bytes()
    (folder / "train_labels.npy").write_bytes(labels[:-1] + b"\x09")
    code, _, errors = bench(*TINY)
    assert code == 0
    assert "MNIST is not available, so this run uses mnist-5k" in errors
    assert data_sets("softmax") == {"mnist-5k"}


def test_a_run_that_began_with_mnist_never_goes_on_with_its_stand_in(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench(*TINY, "--data-dir", "files")[0] == 0
    shutil.rmtree(tmp_path / "cache")
    before = sorted(Path("results/softmax/jobs").iterdir())
    for more in ((), ("--seeds", "1"), ("--dataset", "mnist-5k"), ("--dataset", "synthetic")):
        code, _, errors = bench(*TINY, *more)
        assert code == 2, more
        assert f"{Path('results/softmax')} began with mnist (" in errors
        assert "--run NAME" in errors
        assert "so this run uses" not in errors
    code, _, errors = bench("run", "mlp-relu", *TINY[2:], "--run", "softmax")  # another workload of that run
    assert code == 2
    assert sorted(Path("results/softmax/jobs").iterdir()) == before
    code, _, errors = bench(*TINY, "--run", "other")
    assert code == 0
    assert data_sets("other") == {"mnist-5k"}


def expanded_too(folder):
    """A suite's other workload: softmax by another name, on `mnist-expanded`."""
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["recipe"]["dataset"] = "mnist-expanded"
    (folder / "expanded.json").write_text(json.dumps({**spec, "name": "expanded"}))
    return ("run", "expanded.json", *TINY[2:], "--run", "softmax")


def test_the_stand_in_is_taken_for_all_data_sets_that_it_replaces_or_for_none(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    expanded = expanded_too(tmp_path)
    assert bench(*TINY)[0] == 0
    assert bench(*expanded, "--data-dir", "files")[0] == 0  # MNIST came after the run had begun
    assert data_sets("softmax") == {"mnist-5k"}
    shutil.rmtree("results")
    assert bench(*TINY, "--data-dir", "files")[0] == 0
    shutil.rmtree(tmp_path / "cache")  # and here it is gone
    for more in ((), ("--dataset", "mnist-5k")):
        code, _, errors = bench(*expanded, *more)
        assert code == 2
        assert "began with mnist (" in errors
    assert data_sets("softmax") == {"mnist"}
    assert bench(*expanded, "--data-dir", "files")[0] == 0
    assert data_sets("softmax") == {"mnist", "mnist-expanded"}


def test_a_run_that_began_with_the_stand_in_goes_on_with_it_when_mnist_is_there(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench(*TINY)[0] == 0
    code, _, errors = bench(*TINY, "--seeds", "0,1", "--data-dir", "files")
    assert code == 0
    assert "this run began with mnist-5k and goes on with it; for mnist: --run NAME" in errors
    assert data_sets("softmax") == {"mnist-5k"}
    code, _, errors = bench(*TINY, "--dataset", "mnist", "--data-dir", "files")
    assert code == 2
    assert "began with mnist-5k" in errors
    assert bench(*TINY, "--run", "whole", "--data-dir", "files")[0] == 0
    assert data_sets("whole") == {"mnist"}
    assert Path("results/whole/report.md").read_text().startswith("# whole\n")


def test_mnist_that_was_pointed_to_and_is_damaged_is_never_replaced(bench, tmp_path):
    for name in sources._NAMES:
        (tmp_path / name).write_bytes(b"")
    code, _, errors = bench("run", "softmax", "--backend", "reference", "--data-dir", str(tmp_path))
    assert code == 2
    assert "corrupt or truncated" in errors


def test_a_run_prints_a_table_and_leaves_report_tables_and_plots(bench):
    code, output, errors = bench("run", *QUICK, "--run", "mine")
    assert code == 0, errors
    assert "softmax" in output
    assert "reference" in output
    folder = Path("results/mine")
    assert {path.name for path in folder.iterdir()} == {
        "jobs",
        "limits",
        "plots",
        "report.html",
        "report.md",
        "epochs.csv",
        "summary.csv",
    }
    plots = {path.name for path in (folder / "plots").iterdir()}
    [roofline] = {name.partition(".")[0] for name in plots if name.startswith("roofline-cpu-")}
    names = ("curves", "epoch-time", "throughput", "memory", roofline)
    assert plots == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    page = (folder / "report.md").read_text()
    assert all(f"](plots/{name}.png)" in page for name in names)
    summary = pd.read_csv(folder / "summary.csv").iloc[0]
    epochs = pd.read_csv(folder / "epochs.csv")
    assert summary["test_accuracy"] == epochs["test_accuracy"].iloc[-1]
    # published defect: a rate from the mean of one thing and the volume of another
    assert summary["train_examples_per_second"] * summary["epoch_seconds"] == pytest.approx(4000)


def test_the_accuracy_table_goes_between_two_marks_of_a_file(bench, tmp_path):
    bench("run", *QUICK, "--run", "mine")
    begin, end = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"
    (tmp_path / "page.md").write_text(f"before\n\n{begin}\nold\n{end}\n\nafter\n")
    code, *_ = bench("report", "results/mine", "--into", "page.md", "--suite", "smoke")
    assert code == 0
    text = (tmp_path / "page.md").read_text()
    assert text.startswith(f"before\n\n{begin}\n\n| workload |")
    assert "| cnn | - | - | not run |" in text
    assert text.endswith(f"|\n\n{end}\n\nafter\n")
    assert "old" not in text
    (tmp_path / "page.md").write_bytes(b"\xff\xfe")
    code, _, errors = bench("report", "results/mine", "--into", "page.md")
    assert code == 2
    assert "a Markdown file in UTF-8" in errors
    code, _, errors = bench("report", "results/mine", "--suite", "smoke")
    assert code == 2
    assert "--suite without --into" in errors
    (tmp_path / "page.md").write_text("no marks")
    code, _, errors = bench("report", "results/mine", "--into", "page.md")
    assert code == 2
    assert begin in errors
    assert (tmp_path / "page.md").read_text() == "no marks"


def test_a_report_is_a_pure_function_of_its_records(bench):
    bench("run", *QUICK, "--run", "mine")
    files = ["report.html", "report.md", "epochs.csv", "summary.csv", "plots/curves.svg", "plots/epoch-time.svg"]
    before = {name: Path("results/mine", name).read_bytes() for name in files}
    for name in files:
        Path("results/mine", name).unlink()
    code, *_ = bench("report", "results/mine")
    assert code == 0
    assert {name: Path("results/mine", name).read_bytes() for name in files} == before


def test_a_failed_job_is_a_row_and_exit_code_1(bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code, output, _ = bench("run", *QUICK)
    assert code == 0
    path = next(Path("results/softmax/jobs").glob("*.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "status": "diverged", "reason": "epoch 1: running loss nan", "epochs": []}))
    code, output, _ = bench("run", *QUICK)
    assert code == 1
    assert "diverged" in output
    assert "running loss nan" in output
    page = Path("results/softmax/report.md").read_text()
    assert "| softmax | 2 | - | diverged |" in page
    assert page.count("| softmax |") == 1
    code, output, _ = bench("run", *QUICK, "--retry")
    assert code == 0


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (4, "an older")])
def test_a_run_that_holds_records_of_another_version_is_refused_before_anything_runs(bench, version, age):
    Path("results/softmax/jobs").mkdir(parents=True)
    Path("results/softmax/jobs/x.json").write_text(f'{{"format": {version}}}')
    for arguments in (("run", *QUICK), ("report", "results/softmax")):
        code, _, errors = bench(*arguments)
        assert code == 2
        assert f"x.json: format {version}" in errors
        assert f"{age} version of framework-bench" in errors
    assert [path.name for path in Path("results/softmax/jobs").glob("*.json")] == ["x.json"]


def test_a_half_written_record_is_named_left_out_and_made_again(bench):
    bench("run", *QUICK)
    path = next(Path("results/softmax/jobs").glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])
    code, _, errors = bench("report", "results/softmax")
    assert code == 2
    assert "no job has ended yet" in errors
    code, output, _ = bench("run", *QUICK)
    assert code == 0
    assert "reference" in output
    Path("results/softmax/jobs/half.json").write_text('{"format": 5, "key"')
    code, output, errors = bench("report", "results/softmax")
    assert code == 0
    assert "half.json: damaged, left out" in errors
    assert "reference" in output


def test_a_fault_of_the_file_system_shows_no_traceback(bench, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "results/softmax")

    monkeypatch.setattr("bench.reading.write_run_report", full)
    code, _, errors = bench("report", "results/softmax")
    assert code == 1
    assert "No space left on device: 'results/softmax'" in errors


def test_lists_and_pages_of_help_name_what_there_is(bench):
    _, output, _ = bench("list")
    output_of_list = output
    for name in ("quick", "smoke", "course", "cnn", "mlp-relu", "softmax", "pytorch", "keras-tensorflow", "mnist-5k"):
        assert name in output
    _, output, _ = bench("show", "cnn")
    assert "1,192,042" in output
    assert "99.23 %" in output
    assert "untested: mps" in output_of_list
    code, output, _ = bench("data")
    assert code == 0
    assert "not there" in output


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m bench list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "suites\n"
    assert done.stderr == ""


def test_batch_norm_of_a_last_batch_of_one_is_refused(bench, tmp_path):
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["layers"].insert(1, {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-3})
    (tmp_path / "mine.json").write_text(json.dumps(spec))
    for size in ("1333", "1"):  # 4,000 = 3 x 1,333 + 1
        arguments = ("run", "mine.json", "--backend", "reference", "--dataset", "mnist-5k", "--batch-size", size)
        code, _, errors = bench(*arguments)
        assert code == 2
        assert "a batch of mnist-5k has one example, which batch norm on a vector" in errors


def test_a_prepared_machine_needs_no_network(tmp_path):
    """A network namespace of its own has no way out, not even to itself: what is fetched once is enough."""
    if subprocess.run(["unshare", "--net", "--map-root-user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us make a network namespace")
    bench = f"{sys.executable} -m bench"
    variables = {**os.environ, "FRAMEWORK_BENCH_CACHE": str(tmp_path / "cache")}
    subprocess.run(f"{bench} data fetch mnist-5k", shell=True, check=True, env=variables, cwd=PROJECT)
    command = f"{bench} run {' '.join(QUICK)} --results {tmp_path}"
    cut_off = ["unshare", "--net", "--map-root-user", "sh", "-c", command]
    done = subprocess.run(cut_off, capture_output=True, text=True, env=variables, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "softmax" / "report.html").is_file()


def test_a_run_whose_backends_disagree_ends_with_exit_code_1_and_says_so_last(bench):
    assert bench("run", *QUICK)[0] == 0
    [path] = Path("results/softmax/jobs").glob("*.json")
    record = json.loads(path.read_text())
    other = {**record, "key": "other", "job": {**record["job"], "backend": "other"}}
    path.with_name("other.json").write_text(json.dumps(other))
    assert bench("run", *QUICK)[0] == 0
    first = {**record["epochs"][0], "running_loss": 2 * record["epochs"][0]["running_loss"]}
    path.with_name("other.json").write_text(json.dumps({**other, "epochs": [first, record["epochs"][1]]}))
    code, output, errors = bench("run", *QUICK)
    assert code == 1
    assert output.splitlines()[-1].startswith("2 of 2 results disagree with the other backends: ")
    assert "DISAGREES" in errors  # the job's own line, though the other was run by another command
