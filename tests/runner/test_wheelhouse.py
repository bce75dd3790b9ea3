"""A wheelhouse: what is packed where there is a network is installed where there is none."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from backends.registry import ENVIRONMENTS
from bench.command.parser import make_parser
from bench.machine.cuda import Hardware
from bench.runner import environments as runner_environments
from bench.runner.cluster import packing, wheelhouse
from bench.runner.cluster.wheelhouse import Entry, Target, Wheel, Wheelhouse, target_of
from bench.runner.environments import Environments, InstallError, stamp_of
from tests.support.wheels import only_index, write_wheel

MANIFEST = "framework-bench.json"
SCIKIT_LEARN = ENVIRONMENTS["scikit-learn"]
# A clone whose wheel is built by itself, as building ours needs a network.
_PROJECT = """\
[project]
name = "framework-bench"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """\
from pathlib import Path
from wheels import write_wheel

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return write_wheel(Path(folder), "framework-bench", "0.1.0").name
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone of the bench, as far as it is packed, with environments of its own."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PROJECT)
    (folder / "backend.py").write_text(_BACKEND)
    (folder / "constraints.txt").write_text("")
    shutil.copy(sys.modules["tests.support.wheels"].__file__, folder)
    for module in (runner_environments, packing):
        monkeypatch.setattr(module, "PROJECT", folder)
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in which pip, and only there, looks for packages; it has those of scikit-learn."""
    folder = only_index(tmp_path / "index", monkeypatch)
    for requirement in SCIKIT_LEARN.packages():
        write_wheel(folder, *requirement.split("=="))
    return folder


@pytest.mark.slow
def test_what_is_packed_is_installed_without_an_index(bench, clone, index, tmp_path):
    house = tmp_path / "house"
    numpy = next(index.glob("numpy-*"))
    numpy.rename(tmp_path / numpy.name)
    code, _, errors = bench("environment", "pack", "house", "scikit-learn")
    assert (code, [*house.iterdir()]) == (2, [])  # neither a manifest nor a part of it
    assert "numpy" in errors
    (tmp_path / numpy.name).rename(numpy)
    code, out, _ = bench("environment", "pack", "house", "scikit-learn")
    assert code == 0
    assert "scikit-learn: 4 wheels, 0.00 GB, for CPython 3." in out
    assert (house / "framework_bench-0.1.0-py3-none-any.whl").is_file()
    assert Wheelhouse(house).names() == ["scikit-learn", "bench"]

    shutil.rmtree(index)
    wheel = house / numpy.name
    content = wheel.read_bytes()
    wheel.write_bytes(content.replace(b"Version: 2", b"Version: 3"))
    code, _, errors = bench("environment", "create", "--from", "house")
    assert code == 2
    assert "DO NOT MATCH THE HASHES" in errors
    assert Environments().python("scikit-learn") is None
    wheel.write_bytes(content)
    code, out, _ = bench("environment", "create", "--from", "house")
    assert code == 0
    assert f"scikit-learn: 4 wheels of {house}, 0.00 GB; on disk about 0.0 GB" in out
    assert Environments().python("scikit-learn").is_relative_to(clone)
    assert Environments().versions("scikit-learn")["numpy"] == "2.4.6"
    code, out, _ = bench("environment", "create", "--from", "house")
    assert (code, out) == (0, "scikit-learn: already installed\n")


@pytest.fixture
def house(tmp_path):
    """A wheelhouse with an empty file for scikit-learn, and for PyTorch on GPUs with CUDA 12.6."""
    made, empty = Wheelhouse(tmp_path / "house", may_be_new=True), "0" * 64
    kinds = {"scikit-learn": (SCIKIT_LEARN, None), "torch": (TORCH, TORCH.cuda[1])}
    for name, (spec, build) in kinds.items():
        file = f"{name.replace('-', '_')}-1-py3-none-any.whl"
        entry = Entry(
            environment=name,
            stamp=stamp_of(spec, build),
            target=target_of(sys.executable),
            wheels=(file,),
        )
        made.add(entry, {file: Wheel(name=name, version="1", size_bytes=0, sha256=empty)})
        (made.folder / file).touch()
    return made


TORCH = ENVIRONMENTS["torch"]
H100_580 = Hardware("580.65.06", ((9, 0),), "x86_64", "Linux")


def test_the_build_for_gpus_is_one_that_was_packed(house, tmp_path, monkeypatch):
    """A better one fits the driver, too."""
    made = []
    monkeypatch.setattr(
        runner_environments,
        "_make",
        lambda name, spec, build, folder, packed, **_: (
            folder.mkdir(),
            made.append((build, [*packed.wheels])),
        ),
    )
    monkeypatch.setattr(Environments, "_check_cuda", lambda *_: None)
    environments = Environments(folder=tmp_path, wheelhouse=Wheelhouse(house.folder))
    assert environments.create("torch", cuda=H100_580, say=print)
    assert made == [(TORCH.cuda[1], ["torch-1-py3-none-any.whl"])]


def test_what_is_not_packed_is_refused_before_anything_is_made(house, tmp_path):
    environments = Environments(folder=tmp_path / "made", wheelhouse=Wheelhouse(house.folder))
    with pytest.raises(InstallError) as raised:
        environments.create("torch", cuda=None, say=print)
    assert "has no wheels of torch for CPUs, with torch==2.13.0, " in raised.value.problem
    assert raised.value.expected == "one of: torch for NVIDIA GPUs, CUDA 12.6"
    with pytest.raises(InstallError, match="has no wheels of jax for CPUs") as raised:
        environments.create("jax", cuda=None, say=print)
    assert raised.value.expected == "one of: scikit-learn, torch"
    assert "bench environment pack FOLDER jax" in raised.value.hint
    assert not (tmp_path / "made").exists()


def test_a_folder_for_another_python_or_platform_is_refused(house, monkeypatch):
    other = Target(python="CPython 3.99 on Plan9 pdp11", libc="glibc 2.36")
    monkeypatch.setattr(wheelhouse, "target_of", lambda python: other)
    with pytest.raises(InstallError, match="is CPython 3.99 on Plan9 pdp11, but") as raised:
        house.packed("scikit-learn", stamp_of(SCIKIT_LEARN, None), sys.executable)
    assert raised.value.expected == target_of(sys.executable).python


@pytest.mark.parametrize(("change", "problem"), [("unlink", "missing"), ("write", "another size")])
def test_a_folder_that_was_not_copied_as_a_whole_is_refused(house, change, problem):
    file = house.folder / "scikit_learn-1-py3-none-any.whl"
    file.unlink() if change == "unlink" else file.write_text("more")
    with pytest.raises(InstallError, match=f"{file.name}: .*{problem}"):
        house.packed("scikit-learn", stamp_of(SCIKIT_LEARN, None), sys.executable)


def test_a_folder_that_was_never_packed_is_refused(bench, tmp_path):
    code, _, errors = bench("environment", "create", "--from", str(tmp_path))
    assert code == 2
    assert f"{tmp_path / MANIFEST}: cannot be read" in errors
    assert "hint: on a machine with a network: bench environment pack FOLDER" in errors


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["entries"][0].update(wheels=["../../evil-1-py3-none-any.whl"]),
        lambda found: found["wheels"]["torch-1-py3-none-any.whl"].update(
            version="1\n--index-url=x"
        ),
        lambda found: found["wheels"]["torch-1-py3-none-any.whl"].update(sha256="0"),
        lambda found: found.update(format=2),
    ],
    ids=["a path", "an option of pip", "no checksum", "of a newer bench"],
)
def test_a_manifest_that_says_what_it_may_not_is_refused(house, change):
    path = house.folder / MANIFEST
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(InstallError, match="is not a manifest of this version"):
        Wheelhouse(house.folder)


def test_the_commands_take_a_folder_and_names():
    parse = make_parser().parse_args
    packed = parse(["environment", "pack", "folder", "jax", "torch", "--cpu"])
    assert (str(packed.folder), packed.names, packed.cpu) == ("folder", ["jax", "torch"], True)
    created = parse(["environment", "create", "--from", "folder", "jax"])
    assert (str(created.wheelhouse), created.names) == ("folder", ["jax"])
