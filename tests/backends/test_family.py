"""Families of backends: ours, and one of another package that is installed beside ours."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from backends import registry
from backends.defaults_of import defaults_of
from backends.family import Entry, Environment, Family
from backends.registry import BACKENDS, ENGINES, ENVIRONMENTS, GAPS, package_of
from bench.records.run import read_run
from bench.worker.adapter import load_class
from tests.support.processes import run_python

PYTHON = f"toy={sys.executable}"  # NumPy is all that the toy needs
NEW = {
    "title": "new",
    "adapter": "toy_family.eager:Toy",
    "environment": "torch",
    "needs": ("torch",),
}


@pytest.fixture(scope="module", autouse=True)
def toy():
    if "toy" not in BACKENDS:
        pytest.fail("the toy family is not installed: python -m pip install tests/toy_family")


def test_the_toy_is_a_backend_as_ours_are(bench):
    code, out, _ = bench("list")
    assert code == 0
    assert any(line.split()[:1] == ["toy"] for line in out.splitlines())
    assert ENGINES["toy"] == "toy_family.engine:ToyEngine"
    assert "toy" in ENVIRONMENTS
    assert {default.setting for default in defaults_of("toy")} >= {"shuffling"}
    assert GAPS["toy"]["native mode"].kind == "never"


@pytest.mark.slow
def test_the_toy_is_verified_runs_and_stands_in_the_report_as_verified(bench, tmp_path):
    code, out, err = bench("verify", "--backend", "toy", "--python", PYTHON, "--threads", "1")
    assert code == 0, err
    assert "toy cpu  verified, " in err
    assert "1 of 1 verified equal on " in out
    [kept] = (tmp_path / "results" / "verifications").glob("toy.matched.cpu.*.json")
    arguments = ("--backend", "toy,reference", "--dataset", "mnist-5k", "--epochs", "1")
    code, out, err = bench("run", "softmax", *arguments, "--python", PYTHON, "--device", "cpu")
    assert code == 0, err
    assert "All backends are verified against the float64 reference on this machine." in out
    assert (tmp_path / "results" / "softmax" / "verifications" / kept.name).is_file()
    records, _ = read_run(tmp_path / "results" / "softmax")
    accuracies = {r.job.backend: r.epochs[-1].test_accuracy for r in records if r.status == "ok"}
    assert accuracies.keys() == {"toy", "reference"}
    assert accuracies["toy"] == accuracies["reference"]
    report = (tmp_path / "results" / "softmax" / "report.md").read_text()
    assert "| toy | 1 | 1 of 1 | 1 of 1 | 1 of 1, to " in report
    assert " of the tolerance | verified on this machine" in report
    assert "it is the reference" in report
    assert "the toy has no tutorial" in report


def test_a_worker_imports_the_package_of_an_adapter_and_nothing_that_lies_beside_it(tmp_path):
    for package in ("apart", "beside"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "apart" / "other.py").write_text("VALUE = 3\n")
    (tmp_path / "apart" / "adapter.py").write_text(
        "from apart.other import VALUE\nclass Adapter:\n    value = VALUE\n"
    )
    code = f"""
import importlib.util
from bench.worker.adapter import load_class
assert load_class("apart.adapter:Adapter", {str(tmp_path / "apart")!r}).value == 3
print(importlib.util.find_spec("beside"))
"""
    assert run_python(code).strip() == "None"


def test_our_own_adapters_need_no_folder():
    assert package_of("backends.reference.oracle:Reference") == ""
    assert package_of("toy_family.eager:Toy").endswith("toy_family")
    assert load_class("backends.reference.oracle:Reference").__name__ == "Reference"


def loaded(monkeypatch, family):
    """What the registry makes of an entry point that gives this, or raises it if it is an error."""

    def load():
        if isinstance(family, BaseException):
            raise family
        return family

    point = SimpleNamespace(name="new", value="elsewhere.family:FAMILY", load=load)
    monkeypatch.setattr(registry, "_registered", lambda: [point])
    families, left_out = registry._load()
    return len(families) - len(registry._OUR_FAMILIES), left_out


def test_a_family_that_fits_is_taken(monkeypatch):
    assert loaded(monkeypatch, Family(backends={"new": Entry(**NEW)})) == (1, [])


@pytest.mark.parametrize(
    ("family", "why"),
    [
        (ImportError("no module named x"), "ImportError: no module named x"),
        ("a word", "it is a str"),
        (Family(backends={"pytorch": Entry(**NEW)}), "names that are taken: pytorch"),
        (
            Family(
                backends={},
                environments={
                    "torch": Environment(
                        engine="toy_family.engine:ToyEngine", requirements=(), versions=()
                    )
                },
            ),
            "names that are taken: torch",
        ),
        (
            Family(backends={"new": Entry(**{**NEW, "environment": "nowhere"})}),
            "unknown environment, 'nowhere'",
        ),
        (Family(backends={"new": Entry(**NEW, variant_of="none")}), "variant of an unknown one"),
        (Family(backends={"new": Entry(**{**NEW, "adapter": "nowhere.x:Y"})}), "not a package"),
        (Family(backends={"new": Entry(**NEW, refuses="nowhere.x:y")}), "not a package"),
        (Family(backends={}, gaps=None), "AttributeError"),
        (Family(backends={}, gaps={"pytorch": {}}), "gaps of backends that it does not have"),
        (SystemExit(3), "SystemExit: 3"),
    ],
    ids=[
        "does not load",
        "no family",
        "taken backend",
        "taken environment",
        "no environment",
        "no plain one",
        "no package",
        "no package of what it refuses",
        "no mapping",
        "gaps of others",
        "ends Python",
    ],
)
def test_a_family_that_does_not_fit_is_left_out_and_named(monkeypatch, family, why):
    added, [sentence] = loaded(monkeypatch, family)
    assert added == 0
    assert sentence.startswith("the family 'new' (elsewhere.family:FAMILY) is left out: ")
    assert why in sentence


def test_the_command_says_what_was_left_out(bench, monkeypatch):
    monkeypatch.setattr("bench.command.cli.LEFT_OUT", ["the family 'new' is left out: why"])
    code, _, err = bench("list")
    assert code == 0
    assert "bench: the family 'new' is left out: why" in err


def test_entry_points_are_named_as_the_recipe_says():
    points = registry._registered()
    assert EntryPoint("toy", "toy_family.family:FAMILY", "framework_bench.families") in points
