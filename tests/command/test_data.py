"""Tests `bench data`, and which data sets a run uses.

They are MNIST, the stand-ins for it, and data that is never used as MNIST.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from bench.command.trainings import trainings
from bench.data import archives, derived
from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from bench.records.files import PROJECT
from specs.loading import WORKLOADS, find_suite, find_workload
from tests.support.command import QUICK
from tests.support.records import make_record


def no_mirror(monkeypatch):
    mnist = replace(archives.ARCHIVES["mnist"], mirrors=("http://127.0.0.1:9/",))
    monkeypatch.setattr(archives, "ARCHIVES", {**archives.ARCHIVES, "mnist": mnist})


def test_data_are_fetched_listed_and_verified_and_damage_is_named(bench, monkeypatch, tmp_path):
    code, output, _ = bench("data", "fetch", "mnist-5k")
    assert code == 0
    assert "mnist-5k: 4,000 + 1,000 images in" in output
    code, output, _ = bench("data", "verify")
    assert code == 0
    assert "mnist: not found" in output
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
    code, _, errors = bench(
        "run", "softmax", "--backend", "reference", "--epochs", "1", "--threads", "1"
    )
    assert code == 0, errors
    assert "MNIST is not available, so this run uses mnist-5k" in errors
    assert set(pd.read_csv("results/softmax/epochs.csv")["dataset"]) == {"mnist-5k"}
    title = "softmax, on mnist-5k instead of mnist"
    assert Path("results/softmax/report.md").read_text().startswith(f"# {title}\n")
    assert f"<title>{title}</title>" in Path("results/softmax/report.html").read_text()
    code, _, errors = bench(
        "run", "softmax", "--backend", "reference", "--dataset", "mnist", "--run", "other"
    )
    assert code == 2
    assert "could not be downloaded" in errors


TINY = (
    *("run", "softmax", "--backend", "reference", "--threads", "1"),
    *("--epochs", "1", "--batch-size", "500"),
)


def make_archive(monkeypatch, folder):
    """Make an `mnist` of mnist-5k's images, as four files that no mirror has."""
    arrays = derived.read_mnist_5k()
    parts = ("train_images", "train_labels", "test_images", "test_labels")
    folder.mkdir(parents=True)
    checksums = []
    for name, part in zip(archives._NAMES, parts, strict=True):
        values = arrays[part][..., 0] if part.endswith("images") else arrays[part]
        header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
        # Reversed, so that it is not mnist-5k itself.
        content = gzip.compress(
            header + np.flip(values, 0).astype(np.uint8).tobytes(), compresslevel=1
        )
        (folder / name).write_bytes(content)
        checksums.append(hashlib.sha256(content).hexdigest())
    mnist = replace(
        archives.ARCHIVES["mnist"],
        files=dict(zip(archives._NAMES, checksums, strict=True)),
        mirrors=("http://127.0.0.1:9/",),
    )
    monkeypatch.setattr(archives, "ARCHIVES", {**archives.ARCHIVES, "mnist": mnist})
    made = materialise(
        "mnist", find_workload("softmax").input, Places(directory=folder, cache=folder / "cache")
    )
    monkeypatch.setattr(archives, "ARRAYS", {"mnist": made.checksum})


def data_sets(run):
    return {
        json.loads(path.read_text())["data"]["name"]
        for path in Path(f"results/{run}/jobs").glob("*.json")
    }


def test_arrays_in_the_cache_are_the_data_set_when_its_files_are_gone(bench, monkeypatch, tmp_path):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench(*TINY, "--data-dir", "files")[0] == 0
    kept = len(list(Path("results/softmax/jobs").glob("*.json")))
    code, _, errors = bench(*TINY, "--seeds", "0,1")  # another shell, without the folder's name
    assert code == 0, errors
    assert "not available" not in errors
    assert data_sets("softmax") == {"mnist"}
    # The first one was found again.
    assert len(list(Path("results/softmax/jobs").glob("*.json"))) == kept + 1
    code, output, _ = bench("data")
    assert re.search(r"mnist +60,000 .*\n.*\(found as arrays: \S+mnist-[0-9a-f]{16}\)", output)
    code, output, _ = bench("data", "fetch", "mnist")
    assert code == 0
    assert "mnist: 4,000 + 1,000 images" in output
    # They are made of those arrays.
    code, _, errors = bench(*TINY, "--dataset", "mnist-expanded", "--run", "expanded")
    assert code == 0, errors
    # a folder that the user names must have the files, whatever lies in the cache
    (tmp_path / "empty").mkdir()
    code, _, errors = bench(*TINY, "--data-dir", "empty")
    assert code == 2
    assert "missing train-images-idx3-ubyte.gz" in errors


def test_arrays_that_are_not_known_to_be_mnists_are_not_mnist(bench, monkeypatch, tmp_path):
    """The folder's name fits its content, as another user of a shared cache could make it."""
    make_archive(monkeypatch, tmp_path / "files")
    assert bench("data", "fetch", "mnist", "--data-dir", "files")[0] == 0
    monkeypatch.setattr(archives, "ARRAYS", {"mnist": "0" * 64})
    code, _, errors = bench(*TINY)
    assert code == 0
    assert "MNIST is not available" in errors


def test_the_title_names_every_data_set_that_was_replaced(bench, monkeypatch, tmp_path):
    no_mirror(monkeypatch)
    expanded = expanded_too(tmp_path)
    for command in (TINY, expanded):
        assert bench(*command)[0] == 0
    title = "# softmax, on mnist-5k instead of mnist and mnist-expanded\n"
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
    # Another workload of that run.
    code, _, errors = bench("run", "mlp-relu", *TINY[2:], "--run", "softmax")
    assert code == 2
    assert sorted(Path("results/softmax/jobs").iterdir()) == before
    code, _, errors = bench(*TINY, "--run", "other")
    assert code == 0
    assert data_sets("other") == {"mnist-5k"}


def expanded_too(folder):
    """A suite with a second workload: softmax under another name, on `mnist-expanded`."""
    spec = json.loads((WORKLOADS / "softmax.json").read_text())
    spec["recipe"]["dataset"] = "mnist-expanded"
    (folder / "expanded.json").write_text(json.dumps({**spec, "name": "expanded"}))
    return ("run", "expanded.json", *TINY[2:], "--run", "softmax")


def test_the_stand_in_is_taken_for_all_data_sets_that_it_replaces_or_for_none(
    bench, monkeypatch, tmp_path
):
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


def test_a_run_that_began_with_the_fallback_continues_with_it_when_mnist_is_there(
    bench, monkeypatch, tmp_path
):
    make_archive(monkeypatch, tmp_path / "files")
    assert bench(*TINY)[0] == 0
    code, _, errors = bench(*TINY, "--seeds", "0,1", "--data-dir", "files")
    assert code == 0
    kept = "this run began with mnist-5k and continues with it (files is not used); to use mnist"
    assert f"{kept}: --run NAME" in errors
    assert data_sets("softmax") == {"mnist-5k"}
    code, _, errors = bench(*TINY, "--dataset", "mnist", "--data-dir", "files")
    assert code == 2
    assert "began with mnist-5k" in errors
    assert bench(*TINY, "--run", "whole", "--data-dir", "files")[0] == 0
    assert data_sets("whole") == {"mnist"}
    assert Path("results/whole/report.md").read_text().startswith("# whole\n")


def test_mnist_that_was_pointed_to_and_is_damaged_is_never_replaced(bench, tmp_path):
    for name in archives._NAMES:
        (tmp_path / name).write_bytes(b"")
    code, _, errors = bench("run", "softmax", "--backend", "reference", "--data-dir", str(tmp_path))
    assert code == 2
    assert "corrupt or truncated" in errors


@pytest.mark.slow
def test_a_prepared_machine_needs_no_network(tmp_path):
    """What was fetched once is enough for a run.

    The run is in a network namespace of its own, without any network, not even the loopback.
    """
    if subprocess.run(
        ["unshare", "--net", "--map-root-user", "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("this system does not let us make a network namespace")
    bench = f"{sys.executable} -m bench"
    variables = {**os.environ, "FRAMEWORK_BENCH_CACHE": str(tmp_path / "cache")}
    subprocess.run(
        f"{bench} data fetch mnist-5k", shell=True, check=True, env=variables, cwd=PROJECT
    )
    command = f"{bench} run {' '.join(QUICK)} --results {tmp_path}"
    cut_off = ["unshare", "--net", "--map-root-user", "sh", "-c", command]
    done = subprocess.run(
        cut_off, capture_output=True, text=True, env=variables, cwd=PROJECT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "softmax" / "report.html").is_file()


def test_each_workload_keeps_the_data_set_that_it_began_with(tmp_path):
    """The suite trains softmax on the same data set before it; that hides nothing."""
    earlier = [make_record(workload="mlp-relu", data="another")]
    options = Namespace(dataset=None, width=(1,), batch_size=None, epochs=None)
    places = Places(directory=None, cache=tmp_path)
    with pytest.raises(DataError, match=r"results began with another \(another\)"):
        trainings(options, find_suite("smoke"), places, Path("results"), earlier)
    assert len(trainings(options, find_suite("smoke"), places, Path("results"), [])) == 3
