"""The rules of the house: imports point down, and asking for help imports no framework."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from backends.registry import BACKENDS, ENVIRONMENTS
from bench.environments import PROJECT
from tests.support.processes import run_python

OURS = ("specs", "backends", "bench")
FRAMEWORK_PACKAGES = ("numpy", "torch", "tensorflow", "keras", "jax", "pandas", "matplotlib", "scipy", "rich")
# What our own code may import besides the standard library, by floor.
THIRD_PARTY = {
    "specs": {"numpy", "msgspec"},
    "backends": {"numpy", "msgspec"},
    "bench": {"numpy", "msgspec", "psutil", "pynvml", "pooch", "rich", "scipy"},
    "bench/report": {"msgspec", "pandas", "matplotlib", "rich"},
}
# What an adapter's file may import, by how its name begins; Keras runs on three engines, and each file knows one.
FAMILIES = {
    "keras": {"keras"},
    "keras_tensorflow": {"keras", "tensorflow"},
    "keras_jax": {"keras", "jax"},
    "keras_torch": {"keras", "torch"},
    "pytorch": {"torch"},
    "pytorch_native": {"torch", "torchvision"},
    "tensorflow": {"tensorflow"},
    "tensorflow_native": {"tensorflow", "keras"},
    "jax": {"jax"},
}
# What a worker imports of ours must run on NumPy, the decoder and the standard library alone.
WORKER_NAMES = (
    "worker",
    "proving",
    "limiting",
    "trials",
    "telling",
    "conformance",
    "conformance_dropout",
    "cases",
    "tolerances",
    "data",
    "sources",
    "files",
    "energy",
    "measure",
    "memory",
    "nvml",
    "disturbance",
    "machine",
    "record",
)


def sources() -> list[Path]:
    return [path for package in OURS for path in sorted((PROJECT / package).rglob("*.py"))]


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module)
    return found


def packages(path: Path, **options) -> set[str]:
    return {name.partition(".")[0] for name in imports(path, **options)}


def third_party(names: set[str]) -> set[str]:
    import sys

    return {name for name in names if name not in OURS and name not in sys.stdlib_module_names}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_point_down(path):
    floor = path.relative_to(PROJECT).parts[0]
    above = OURS[OURS.index(floor) + 1 :]
    assert not packages(path) & set(above)
    if floor == "backends":
        begins = [name for name in FAMILIES if path.stem.startswith(name)]
        allowed = THIRD_PARTY["backends"] | FAMILIES.get(max(begins, key=len, default=""), set())
    elif path.parent.name == "report":
        allowed = THIRD_PARTY["bench/report"]
    else:
        allowed = THIRD_PARTY[floor]
    assert third_party(packages(path)) <= allowed


@pytest.mark.parametrize("name", WORKER_NAMES)
def test_what_a_worker_imports_needs_only_numpy_and_the_decoder(name):
    assert third_party(packages(PROJECT / "bench" / f"{name}.py", top_level_only=True)) <= {"numpy", "msgspec"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"], ["show", "cnn"], ["environment"]])
def test_help_and_lists_import_no_framework_and_nothing_heavy(arguments):
    code = f"""
import contextlib, io, sys
from bench.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({arguments!r})
print(sorted(set(sys.modules) & set({FRAMEWORK_PACKAGES!r})))
"""
    assert run_python(code).strip() == "[]"


def test_every_family_has_a_file_of_its_own():
    stems = [path.stem for path in sources()]
    assert all(any(stem.startswith(family) for stem in stems) for family in FAMILIES)


def test_an_adapter_fits_a_screen_or_three_and_is_registered_under_an_environment_that_exists():
    for name, backend in BACKENDS.items():
        for adapter in filter(None, (backend.adapter, backend.native)):
            path = PROJECT / (adapter.partition(":")[0].replace(".", "/") + ".py")
            assert len(path.read_text().splitlines()) <= 150, name
        assert backend.environment in {*ENVIRONMENTS, "bench"}


def test_framework_versions_are_pinned():
    for environment in ENVIRONMENTS.values():
        assert all("==" in requirement for requirement in environment.requirements + environment.cuda_requirements)
