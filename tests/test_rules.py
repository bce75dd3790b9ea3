"""The layers of packages, the limits of files and functions, and the imports of `--help`."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter

import pytest

from backends.registry import BACKENDS, ENVIRONMENTS
from bench.records.files import PROJECT
from tests.support.processes import run_python

# From the bottom to the top. A module belongs to the longest of these names that its own begins
# with; it imports its own package and what lies below, and nothing of those beside it.
LAYERS = (
    ("specs",),
    ("backends",),
    ("backends.reference", "backends.exports", "backends.far"),
    ("bench.worker", "bench.data"),  # a worker imports one adapter, by its name
    (
        *("backends.pytorch", "backends.tensorflow", "backends.jax", "backends.sklearn"),
        *("backends.spark", "backends.mxnet", "backends.chainer", "backends.theano"),
        *("backends.cntk", "backends.caffe"),
    ),
    ("backends.keras",),
    ("backends.registry",),
    ("backends.defaults_of",),
    ("bench.machine",),
    ("bench.records",),
    ("bench.statistics",),
    ("bench.runner",),
    ("bench.report.form",),
    ("bench.report.frame",),
    ("bench.report.run",),
    ("bench.report.chart",),
    ("bench.report.section",),
    ("bench.report.document",),
    ("bench.report.terminal", "bench.report.export"),
    ("bench.report",),
    ("bench.overview",),
    ("bench.command",),
    ("bench",),
)
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}
PLAIN = {"numpy", "msgspec"}
# What a package may import besides the standard library; the longest name counts here, too.
THIRD_PARTY = {
    "specs": PLAIN,
    "backends": PLAIN,
    "backends.exports.opencv": PLAIN | {"cv2"},
    "backends.chainer": PLAIN | {"chainer", "threadpoolctl"},
    "backends.keras": PLAIN | {"keras"},
    "backends.keras.experiments": PLAIN | {"torch"},
    "backends.keras.jax": PLAIN | {"keras", "jax"},
    "backends.keras.jax_native": PLAIN | {"keras", "jax"},
    "backends.keras.quickstart": PLAIN | {"keras", "tensorflow"},
    "backends.keras.tensorflow": PLAIN | {"keras", "tensorflow"},
    "backends.keras.tensorflow_native": PLAIN | {"keras", "tensorflow"},
    "backends.keras.torch": PLAIN | {"keras", "torch"},
    "backends.keras.torch_native": PLAIN | {"keras", "torch"},
    "backends.jax": PLAIN | {"jax"},
    "backends.mxnet": PLAIN | {"mxnet"},
    "backends.pytorch": PLAIN | {"torch"},
    "backends.pytorch.native": PLAIN | {"torch", "torchvision"},
    "backends.caffe": PLAIN | {"caffe"},
    "backends.cntk": PLAIN | {"cntk"},
    "backends.sklearn": PLAIN | {"sklearn", "threadpoolctl"},
    "backends.spark": PLAIN | {"py4j", "pyspark"},
    "backends.tensorflow": PLAIN | {"tensorflow"},
    "backends.theano": PLAIN | {"scipy", "theano"},
    "bench.worker": PLAIN,
    "bench.worker.energy": PLAIN | {"pynvml"},  # where an environment for GPUs has it
    "bench.data": PLAIN | {"pooch"},
    "bench.machine": {"msgspec", "psutil", "pynvml"},
    "bench.records": PLAIN,
    "bench.statistics": PLAIN | {"scipy"},
    "bench.runner": PLAIN,
    "bench.report": {
        *("altair", "jinja2", "markupsafe", "msgspec", "numpy", "pandas", "rich", "vl_convert"),
    },
    "bench.overview": {"markupsafe", "matplotlib", "msgspec", "numpy", "pandas"},
    "bench.command": {"msgspec", "rich"},
    "bench": set(),
}
HEAVY = (
    *("numpy", "torch", "tensorflow", "keras", "jax", "sklearn"),
    *("pandas", "altair", "matplotlib", "scipy", "rich"),
)
OURS = ("specs", "backends", "bench")
FILES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in OURS
    for path in sorted((PROJECT / package).rglob("*.py"))
}


def package_of(module, packages):
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next(name for name in names if name in packages)


def imports(tree):
    """All modules that a syntax tree may import; of `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports_of(module):
    return imports(ast.parse(FILES[module].read_text()))


def ours_of(module):
    """The files of ours that a file imports; of a package and one of its files the file."""
    found = {name for name in imports_of(module) if name in FILES} - {module}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module):
    own = package_of(module, LEVEL)
    for other in ours_of(module):
        theirs = package_of(other, LEVEL)
        assert theirs == own or LEVEL[theirs] < LEVEL[own], f"{module} imports {other}"


@pytest.mark.parametrize("module", FILES)
def test_a_package_imports_only_what_it_may(module):
    names = {name.partition(".")[0] for name in imports_of(module)}
    others = {name for name in names if name not in OURS and name not in sys.stdlib_module_names}
    assert others <= THIRD_PARTY[package_of(module, THIRD_PARTY)]


def test_no_files_import_each_other_in_a_circle():
    imported = {module: ours_of(module) for module in FILES}
    assert {*TopologicalSorter(imported).static_order()} == {*FILES}  # it raises at a circle


def test_every_form_of_an_import_is_read():
    text = "import a.b as c\nif True:\n    from d import (\n        e,  # one\n        f as g)\n"
    assert imports(ast.parse(text)) == {"a.b", "d", "d.e", "d.f"}


def test_no_folder_holds_more_than_a_stranger_can_look_through():
    folders = {path.parent for path in FILES.values()}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 16, folder
    assert (
        len([path for path in (PROJECT / "bench").iterdir() if (path / "__init__.py").is_file()])
        <= 9
    )


def lengths_of_functions():
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None
                body = node.body[1:] if documented else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                yield f"{module}.{node.name}", lines + (node.body[0].lineno - node.lineno)


def test_no_function_is_longer_than_a_screen():
    assert [name for name, lines in lengths_of_functions() if lines > 40] == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["list"], ["show", "cnn"], ["environment"]]
)
def test_help_and_lists_import_no_framework_and_nothing_heavy(arguments):
    code = f"""
import contextlib, io, sys
from bench.command.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({arguments!r})
print(sorted(set(sys.modules) & set({HEAVY!r})))
"""
    assert run_python(code).strip() == "[]"


def test_an_adapter_fits_a_screen_or_three():
    for name, backend in BACKENDS.items():
        for adapter in filter(None, (backend.adapter, backend.native)):
            module = adapter.partition(":")[0]
            if module in FILES:
                assert len(FILES[module].read_text().splitlines()) <= 200, name


def test_every_backend_runs_in_an_environment_that_exists():
    assert {backend.environment for backend in BACKENDS.values()} <= {*ENVIRONMENTS, "bench"}


def test_framework_versions_are_pinned():
    for environment in ENVIRONMENTS.values():
        for build in (None, *environment.cuda):
            assert all("==" in requirement for requirement in environment.packages(build))
