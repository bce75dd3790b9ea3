"""Builds for NVIDIA GPUs: which one is chosen, and what is done about one that is none."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from backends.registry import ENVIRONMENTS
from bench.command import environment as command
from bench.command.arguments import capabilities, driver
from bench.command.setup import say_without_cuda
from bench.machine import cuda
from bench.machine.cuda import Hardware
from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.runner.installation import (
    Download,
    InstallError,
    NoBuildError,
    check_space,
    choose_build,
)
from specs.errors import UserError
from tests.support.wheels import only_index, write_wheel


def machines(version="580.65.06", *found, processor="x86_64", system="Linux"):
    return Hardware(version, tuple(sorted(found or ((8, 0),))), processor, system)


A100_550 = machines("550.54.15", (8, 0))
H100_580 = machines("580.65.06", (9, 0))
V100_580 = machines("580.65.06", (7, 0))
B200_580 = machines("580.65.06", (10, 0))
GH200_580 = machines("580.65.06", (9, 0), processor="aarch64")
OLD_CUDNN = "nvidia-cudnn-cu12==9.10.2.21"


@pytest.mark.parametrize(
    ("name", "hardware", "cuda_version", "requirement"),
    [
        ("torch", H100_580, "13.0", "torch==2.13.0"),
        ("torch", B200_580, "13.0", "torch==2.13.0"),
        ("torch", GH200_580, "13.0", "torch==2.13.0"),
        ("torch", A100_550, "12.6", "torch==2.13.0+cu126"),
        ("torch", V100_580, "12.6", "torch==2.13.0+cu126"),
        ("torch", machines("580", (7, 0), (9, 0)), "12.6", "torch==2.13.0+cu126"),
        ("jax", A100_550, "12", "jax[cuda12]==0.10.2"),
        ("jax", B200_580, "12", "jax[cuda12]==0.10.2"),
        ("jax", V100_580, "12", OLD_CUDNN),
        ("jax", machines("580", (7, 0), (10, 0)), "12", OLD_CUDNN),
        ("tensorflow", H100_580, "12.5", "tensorflow[and-cuda]==2.21.0"),
        ("tensorflow", V100_580, "12.5", OLD_CUDNN),
    ],
)
def test_the_build_follows_from_driver_and_gpus(name, hardware, cuda_version, requirement):
    build, why = choose_build(name, ENVIRONMENTS[name].cuda, hardware)
    assert build.cuda == cuda_version
    assert requirement in build.requirements
    # Only those that need it have the old cuDNN.
    assert (OLD_CUDNN in build.requirements) == (requirement == OLD_CUDNN)
    assert f"CUDA {cuda_version}, for {hardware}" in why


def test_the_choice_says_why_no_better_build_was_taken():
    _, why = choose_build("torch", ENVIRONMENTS["torch"].cuda, A100_550)
    assert "compute capability 8.0" in why
    assert "the build of CUDA 13.0" in why
    assert "needs driver 580 or newer" in why


@pytest.mark.parametrize(
    ("name", "hardware", "why"),
    [
        ("tensorflow", B200_580, "does not run on compute capabilities from 10.0 on"),
        ("tensorflow", GH200_580, "is for Linux on x86_64"),
        ("torch", machines("570", (10, 0)), "does not run on compute capabilities from 10.0 on"),
        ("torch", machines("580", (7, 0), (10, 0)), "below 7.5"),
        ("torch", machines("520", (8, 0)), "needs driver 525 or newer"),
        ("torch", machines("580", (8, 0), system="Windows"), "is for Linux"),
        ("jax", machines("580", (5, 0)), "has no code for compute capabilities below 5.2"),
    ],
)
def test_where_no_build_runs_a_sentence_says_why_and_nothing_is_made(name, hardware, why, tmp_path):
    with pytest.raises(NoBuildError) as raised:
        Environments(folder=tmp_path / "made").create(name, cuda=hardware, say=print)
    assert str(hardware) in raised.value.problem
    assert why in raised.value.problem
    assert f"bench environment create {name} --cpu" in raised.value.hint
    assert not (tmp_path / "made").exists()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in which pip, and only there, looks for packages; it has all but PyTorch."""
    folder = only_index(tmp_path / "index", monkeypatch)
    for requirement in ENVIRONMENTS["torch"].packages(ENVIRONMENTS["torch"].cuda[0])[1:]:
        write_wheel(folder, *requirement.split("=="))
    write_wheel(folder, "torchvision", "0.28.0+cu126")
    return folder


def torch_of(version):
    """PyTorch's code, as far as it is asked: `torch.version.cuda`."""
    return f"class version:\n    cuda = {version!r}\n"


@pytest.mark.slow
def test_a_build_for_cpus_is_refused_for_gpus_and_the_right_one_is_found_later(index, tmp_path):
    """pip prefers "2.13.0+cpu" to "2.13.0"."""
    wrong = write_wheel(index, "torch", "2.13.0+cpu", torch_of(None))
    write_wheel(index, "torch", "2.13.0", torch_of("13.0"))
    lines, environments = [], Environments(folder=tmp_path / "made")
    with pytest.raises(InstallError) as raised:
        environments.create("torch", cuda=H100_580, say=lines.append)
    assert "pip found a build for CPUs: python 3." in raised.value.problem
    assert "torch 2.13.0+cpu" in raised.value.problem
    assert raised.value.expected == "one for CUDA 13.0"
    assert not (tmp_path / "made" / "torch-cuda").exists()
    assert lines[0].startswith(f"torch: CUDA 13.0, for {H100_580}")  # before anything is fetched
    wrong.unlink()
    assert environments.create("torch", cuda=H100_580, say=lines.append)
    stamp = (tmp_path / "made" / "torch-cuda" / "framework-bench.txt").read_text()
    assert stamp.startswith("# for NVIDIA GPUs, CUDA 13.0\ntorch==2.13.0\n")
    assert not environments.create("torch", cuda=H100_580, say=lines.append)
    # It does not run with the older driver, and a line says so.
    assert environments.without_cuda("torch", H100_580) == ""
    assert "needs driver 580" in environments.without_cuda("torch", A100_550)


@pytest.mark.slow
def test_with_an_old_driver_the_other_build_is_made_and_kept_with_a_new_one(index, tmp_path):
    write_wheel(index, "torch", "2.13.0", torch_of("13.0"))
    write_wheel(index, "torch", "2.13.0+cu126", torch_of("12.6"))
    lines, environments = [], Environments(folder=tmp_path)
    assert environments.create("torch", cuda=A100_550, say=lines.append)
    assert "https://download.pytorch.org/whl/cu126" in "\n".join(lines)
    assert environments.versions("torch")["torch"] == "2.13.0+cu126"
    # The nodes of a cluster share it; on some the other build would run, too.
    assert not environments.create("torch", cuda=H100_580, say=lines.append)


def test_an_environment_without_builds_for_gpus_is_the_same_everywhere(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        "bench.runner.environments._make",
        lambda name, spec, build, folder, **_: (folder.mkdir(), made.append((build, folder))),
    )
    environments = Environments(folder=tmp_path)
    assert environments.create("scikit-learn", cuda=H100_580, say=print)
    assert not environments.create("scikit-learn", cuda=None, say=print)
    assert made == [(None, tmp_path / "scikit-learn")]
    assert environments.without_cuda("scikit-learn", H100_580) == ""


def test_the_versions_of_the_libraries_for_gpus_are_asked(tmp_path):
    environments = Environments(folder=tmp_path)
    for name in ("torch", "jax", "tensorflow"):
        asked = environments._packages(name)
        assert {"nvidia-cudnn-cu12", "nvidia-cublas", "triton", "jax-cuda12-pjrt"} < set(asked)
    assert "triton" not in environments._packages("scikit-learn")


GB = 10**9


@pytest.mark.parametrize(
    ("free", "sentence"),
    [(13 * GB, ""), (11 * GB, "has 11.0 GB free: the environment may not fit")],
)
def test_space_is_checked_before_anything_is_fetched(free, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    download = Download(packages=20, known_bytes=4 * GB, unknown=1, is_for_gpus=True)
    assert str(download) == (
        "20 packages to download, 4.00 GB and 1 of unknown size, the GPU build; on disk about 12.0"
        " GB (estimated: 3 times the packages)"
    )
    on_this_machine = download._replace(known_bytes=0, local_bytes=4 * GB)
    assert "0.00 GB and 1 of unknown size" in str(on_this_machine)
    assert "on disk about 12.0 GB" in str(on_this_machine)
    assert check_space("torch", download, tmp_path).endswith(sentence)


def test_a_disk_that_not_even_the_download_fits_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * GB))
    download = Download(packages=20, known_bytes=4 * GB, unknown=0, is_for_gpus=True)
    with pytest.raises(InstallError, match=r"has 3.0 GB free, but the download alone is 4.0 GB"):
        check_space("torch", download, tmp_path)


def test_the_page_on_clusters_has_the_table_of_all_builds():
    page = (PROJECT / "docs" / "cluster.md").read_text()
    rows = [
        row for row in page.splitlines() if (row.startswith("| ") and "525" in row) or "580" in row
    ]
    builds = [build for name in ("torch", "jax", "tensorflow") for build in ENVIRONMENTS[name].cuda]
    assert len(rows) == len(builds)
    for row, build in zip(rows, builds, strict=True):
        _, _, name, driver_text, gpus, processors, _ = row.split("|")
        assert f"CUDA {build.cuda.removesuffix('.5')}" in name
        assert ("cuDNN 9.10" in name) == (OLD_CUDNN in build.requirements)
        assert f" {build.minimum_driver} or newer " == driver_text
        lowest = [f"{major}.{minor}" for major, minor in build.lowest.values()]
        assert gpus.split()[0] == lowest[0]
        assert all(number in gpus for number in lowest)
        assert ("to 9.0" in gpus) == (build.highest == (9, 9))
        assert processors.strip() == ", ".join(build.lowest)


def options(*, cpu=False, cuda=False, driver=None, compute_capability=None):
    return argparse.Namespace(
        cpu=cpu, cuda=cuda, driver=driver, compute_capability=compute_capability
    )


def test_the_options_say_which_machines_are_meant(monkeypatch):
    monkeypatch.setattr(cuda.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(cuda.platform, "system", lambda: "Linux")
    told = options(cuda=True, driver="550.54.15", compute_capability=((8, 0),))
    monkeypatch.setattr(command, "this_hardware", lambda: None)
    assert command._hardware(told) == A100_550
    assert command._hardware(options()) is None
    with pytest.raises(UserError) as raised:
        command._hardware(options(cuda=True))
    assert "--driver 550 --compute-capability 8.0" in raised.value.expected
    assert "nvidia-smi" in raised.value.hint
    with pytest.raises(UserError, match="--cpu"):
        command._hardware(options(cpu=True, cuda=True))
    monkeypatch.setattr(command, "this_hardware", lambda: H100_580)
    assert command._hardware(options()) == command._hardware(options(cuda=True)) == H100_580
    assert command._hardware(options(cpu=True)) is None
    assert command._hardware(told) == A100_550


def test_drivers_and_compute_capabilities_are_read():
    assert driver("550") == "550"
    assert capabilities("7.0,12.1") == ((7, 0), (12, 1))
    for text in ("8", "sm_80", "8.0,", "80"):
        with pytest.raises(argparse.ArgumentTypeError):
            capabilities(text)
    with pytest.raises(argparse.ArgumentTypeError):
        driver("R550")


class NoNetwork:
    """Environments of which none for GPUs can be made; that of JAX is there, for CPUs."""

    def __init__(self):
        self.asked = []

    def create(self, name, *, cuda, say):
        self.asked.append((name, cuda))
        if cuda is not None:
            raise InstallError(f"{name}: pip install failed: no network")
        return name != "jax"


def test_a_run_on_a_gpu_node_without_a_network_takes_the_environments_for_cpus(capsys):
    environments = NoNetwork()
    command.install(environments, ["jax"], cuda=H100_580, falls_back=True)
    assert environments.asked == [("jax", H100_580), ("jax", None)]
    lines = capsys.readouterr().out
    assert "no network" in lines
    assert "jax: the CPU build is used instead, without the GPU" in lines
    assert lines.endswith("jax: already installed\n")
    with pytest.raises(InstallError, match="no network"):
        command.install(environments, ["jax"], cuda=H100_580)


def test_a_machine_with_a_gpu_and_an_environment_for_cpus_are_named_before_the_run(
    capsys, tmp_path, monkeypatch
):
    environments = Environments(folder=tmp_path)
    for name in ("jax", "scikit-learn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "framework-bench.txt").write_text("# for CPUs\n")
    monkeypatch.setattr("bench.command.setup.this_hardware", lambda: H100_580)
    choices = SimpleNamespace(
        backends=("keras-jax", "jax", "scikit-learn"), devices=("cpu", "cuda:0")
    )
    say_without_cuda(choices, environments)
    assert capsys.readouterr().err == (
        "bench: keras-jax, jax cannot use the GPU: its environment has a CPU build: bench"
        " environment create jax --cuda\n"
    )
    say_without_cuda(SimpleNamespace(backends=choices.backends, devices=("cpu",)), environments)
    assert capsys.readouterr().err == ""


@pytest.fixture
def nvml(monkeypatch):
    """The binding of NVML, with answers of the test's."""
    pynvml = pytest.importorskip("pynvml")
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "550.54.15")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 3)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)

    def capability(index):
        if index == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return (8, 0)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", capability)
    return pynvml


def test_nvml_is_asked_where_it_answers(nvml, monkeypatch):
    found = cuda.this_hardware()
    assert (found.driver, found.capabilities) == ("550.54.15", ((8, 0),))

    def mismatch():
        raise nvml.NVMLLibraryMismatchError

    monkeypatch.setattr(nvml, "nvmlSystemGetDriverVersion", mismatch)
    assert cuda.this_hardware() is None
