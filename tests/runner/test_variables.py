"""The environment of a worker: exactly these variables, whatever the user has set."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from backends.family import Entry
from bench.command.arguments import variable
from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.limits import limits_of
from bench.records.verification import verification_of
from bench.runner import environments as runner_environments
from bench.runner import jobs, limits, verification
from bench.runner.environments import Environments
from bench.runner.process import _variables
from bench.runner.task import Task
from bench.runner.variables import FROM_OPTIONS, inherited
from bench.worker.assignment import MeasureLimits
from tests.support.jobs import make_job
from tests.support.records import made_limits, made_verification
from tests.support.tasks import make_task, run_jobs
from tests.support.verifications import record

GPU = Gpu(index=1, uuid="GPU-b", name="H100", memory_bytes=1, driver="580.1")
# What a site or a user may have set: the first ones are inherited, the others are not.
KEPT = {
    "HOME": "/home/me",
    "PATH": "/bin",
    "CUDA_HOME": "/cuda",
    "TF_VAR_region": "eu",
    "NCCL_SOCKET_IFNAME": "ib0",
    "NCCL_IB_HCA": "mlx5_0",
}
CHANGES = {
    "XLA_FLAGS": "--xla_gpu_autotune_level=0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "false",
    "TF_CUDNN_USE_AUTOTUNE": "0",
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync",
    "JAX_PLATFORMS": "cuda",
    "JAX_COMPILATION_CACHE_DIR": "/cache",
    "JAX_ENABLE_X64": "1",
    "KERAS_HOME": "/home/me/.keras",
    "KERAS_TORCH_DEVICE": "cpu",
    "NVIDIA_TF32_OVERRIDE": "0",
    "CUDA_LAUNCH_BLOCKING": "1",
    "CUDA_MODULE_LOADING": "EAGER",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "NCCL_ALGO": "Ring",
    "NCCL_P2P_DISABLE": "1",
    "NCCL_SOCKET_NTHREADS": "4",
    "OMP_PROC_BIND": "close",
    "OMP_NUM_THREADS": "64",
    "KMP_AFFINITY": "compact",
    "MKL_CBWR": "COMPATIBLE",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0",
}


def environment_of(device, monkeypatch, tmp_path, environ, **changes):
    """The environment of a worker of an environment of our own."""
    monkeypatch.setattr("os.environ", {"FRAMEWORK_BENCH_CACHE": str(tmp_path), **environ})
    python = runner_environments.environments_folder() / "jax" / "bin" / "python"
    job = make_job(device=device, threads=3)
    entry = Entry(title="", adapter="", environment="jax", needs=(), variables={"OURS": "1"})
    task = Task(
        job=job,
        key="k",
        entry=entry,
        python=str(python),
        versions={},
        adapter_checksum="",
        assignment=MeasureLimits(job=job, adapter="", package=""),
    )
    return _variables(replace(task, **changes), replace(this_machine(), gpus=(GPU,)))


@pytest.mark.parametrize(
    ("device", "visible", "platforms"),
    [("cpu", "", {"JAX_PLATFORMS": "cpu"}), ("cuda:1", "GPU-b", {"JAX_PLATFORMS": "cuda,cpu"})],
)
def test_a_worker_gets_exactly_these_variables(device, visible, platforms, monkeypatch, tmp_path):
    found = environment_of(device, monkeypatch, tmp_path, {**KEPT, **CHANGES, "PYTHONPATH": "/p"})
    assert found == {
        **KEPT,
        "FRAMEWORK_BENCH_CACHE": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": visible,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **platforms,
        "KERAS_HOME": str(tmp_path / "keras"),
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "NUMEXPR_NUM_THREADS": "3",
        "OURS": "1",
    }


def test_jax_finds_a_plug_in_on_other_devices_by_itself(monkeypatch, tmp_path):
    assert "JAX_PLATFORMS" not in environment_of("mps", monkeypatch, tmp_path, KEPT)


def test_a_deterministic_job_has_what_pytorch_asks_for_on_a_gpu(monkeypatch, tmp_path):
    job = make_job(device="cuda:1", deterministic=True)
    found = environment_of("cuda:1", monkeypatch, tmp_path, CHANGES, job=job)
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_what_is_dropped_is_named_unless_an_option_says_the_same():
    found = inherited({**KEPT, **CHANGES}, is_own=False)
    assert found.variables == {**KEPT, "CUDA_VISIBLE_DEVICES": "0,1"}
    assert set(found.dropped) == CHANGES.keys() - FROM_OPTIONS.keys()


def test_a_variable_given_on_purpose_wins_over_a_familys_own(monkeypatch, tmp_path):
    given = ("OURS=2", "XLA_FLAGS=--a=b --c")
    found = environment_of("cpu", monkeypatch, tmp_path, CHANGES, variables=given)
    assert (found["OURS"], found["XLA_FLAGS"]) == ("2", "--a=b --c")


@pytest.mark.parametrize("text", ["XLA_FLAGS", "=1", "A B=1", "1A=1"])
def test_a_variable_needs_a_name_and_a_value(text):
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=VALUE"):
        variable(text)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("OMP_NUM_THREADS", "--threads"),
        ("CUDA_VISIBLE_DEVICES", "--device"),
        ("KERAS_BACKEND", "--backend"),
    ],
)
def test_a_variable_that_follows_from_an_option_is_refused(name, option):
    with pytest.raises(argparse.ArgumentTypeError, match=option):
        variable(f"{name}=1")


def make_folder(tmp_path, name, *files):
    (tmp_path / name).mkdir()
    for file in files:
        (tmp_path / name / file).touch()
    return str(tmp_path / name)


def test_libraries_of_cuda_do_not_shadow_those_of_our_own_environments(tmp_path):
    cuda = make_folder(tmp_path, "cuda", "libcudart.so.12", "libcublas.so.12")
    cudnn = make_folder(tmp_path, "cudnn", "libcudnn.so.9")
    nccl = make_folder(tmp_path, "nccl", "libnccl.so.2")
    other = make_folder(tmp_path, "other", "libfabric.so.1")
    # Kubernetes has the driver in such a folder, and nowhere else.
    driver = make_folder(tmp_path, "driver", "libcuda.so.1", "libnvidia-ml.so.1", "libcudart.so.9")
    path = f"{cuda}:{other}:{cudnn}:/missing:{driver}:{nccl}:"
    found = inherited({"LD_LIBRARY_PATH": path}, is_own=True)
    assert found.variables == {"LD_LIBRARY_PATH": f"{other}:/missing:{driver}:"}
    assert set(found.dropped) == {f"LD_LIBRARY_PATH={folder}" for folder in (cuda, cudnn, nccl)}
    # An interpreter of the site needs the libraries of its modules.
    assert inherited({"LD_LIBRARY_PATH": path}, is_own=False).variables["LD_LIBRARY_PATH"] == path
    assert inherited({"LD_LIBRARY_PATH": cuda}, is_own=True).variables == {}


def test_a_record_has_what_was_given_and_what_was_dropped(mnist_5k, monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", "--a")
    task = make_task("backends.reference.oracle:Reference", mnist_5k, epochs=1)
    [found] = run_jobs([replace(task, variables=("SOME=thing",))], tmp_path)
    assert found.variables == ("SOME=thing",)
    assert "XLA_FLAGS" in found.dropped
    assert found.made_with["SOME"] == "thing"


def test_a_worker_has_folders_of_its_own_for_compiled_code_which_are_gone_afterwards(
    mnist_5k, tmp_path
):
    """Else the second job would find the first one's code, and start faster."""
    adapter = "tests.support.takers:TellsItsFolders"
    tasks = [make_task(adapter, mnist_5k, epochs=1, seed=seed) for seed in (0, 1)]
    told = [record.startup.settings for record in run_jobs(tasks, tmp_path)]
    assert [settings["is there"] for settings in told] == [True, True]
    folders = [Path(settings["temporary"]) for settings in told]
    assert folders[0] != folders[1]
    assert all(Path(told[n]["cuda"]).is_relative_to(folders[n]) for n in (0, 1))
    assert not any(folder.exists() for folder in folders)


def test_verifications_and_limits_with_other_variables_are_of_no_account():
    given = ("XLA_FLAGS=--a",)
    made = made_verification()
    assert verification_of(record(), [made]) == made
    assert verification_of(record(variables=given), [made]) is None
    rates = made_limits()
    assert limits_of(make_job(), rates.machine, [rates]) == rates
    assert limits_of(make_job(), rates.machine, [rates], given) is None


def keys_of(environments, data, places):
    """The keys of a job, of its engine's limits and of its backend's verification."""
    machine = this_machine()
    tasks = jobs.make_tasks([(make_job(), data)], environments, machine, 100)
    engines = limits.limit_tasks(tasks, (), (), machine, retry=False)
    place = ("reference", "matched", "cpu", 1, environments, machine, places)
    return [task.key for task in (*tasks, *engines, verification.make_task(*place, ()))]


def test_what_is_given_is_part_of_every_key(mnist_5k, places, tmp_path):
    plain, same, given, other = (
        keys_of(Environments(folder=tmp_path, variables=variables), mnist_5k, places)
        for variables in ((), (), ("A=1", "B=2"), ("A=1", "B=3"))
    )
    assert len(plain) == 3
    assert plain == same
    assert all(len(set(keys)) == 3 for keys in zip(plain, given, other, strict=True))
    turned = Environments(folder=tmp_path, variables=("B=2", "A=1"))
    assert keys_of(turned, mnist_5k, places) == given


def test_before_a_run_a_line_says_what_the_frameworks_do_not_get(bench, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a")
    command = ("run", "softmax", "--backend", "reference", "--dry-run")
    code, _, err = bench(*command, "--variable", "SOME=thing")
    assert code == 0
    [line] = [line for line in err.splitlines() if "not passed to" in line]
    assert "XLA_FLAGS" in line
    assert "--variable NAME=VALUE" in line
    code, _, err = bench(*command, "--variable", "OMP_NUM_THREADS=2")
    assert code == 2
    assert "OMP_NUM_THREADS is set by --threads" in err


def test_what_a_run_is_given_is_in_its_records(bench, tmp_path):
    bench(*("run", "softmax", "--backend", "reference"), "--device", "mps", "--variable", "A=b=c")
    [path] = (tmp_path / "results" / "softmax" / "jobs").glob("*.json")
    assert json.loads(path.read_text())["variables"] == ["A=b=c"]


@pytest.mark.framework
def test_before_a_run_a_line_says_that_an_environment_is_without_code_for_the_gpu(
    bench, environments, monkeypatch
):
    machine = replace(this_machine(), gpus=(replace(GPU, index=0),))
    monkeypatch.setattr("bench.command.setup.this_machine", lambda visible: machine)
    monkeypatch.setattr(Environments, "without_cuda", lambda self, name, hardware: "of no use")
    command = ("run", "softmax", "--backend", "jax", "--dry-run")
    _, _, err = bench(*command)
    assert "bench: jax cannot use the GPU: of no use" in err
    _, _, err = bench(*command, "--device", "cpu")
    assert "cannot use" not in err


def test_an_allocator_is_not_preloaded_and_what_else_a_site_preloads_is():
    preloaded = "/usr/lib/libjemalloc.so.2:/apps/libxalt_init.so /x/libtcmalloc_minimal.so"
    result = inherited({"LD_PRELOAD": preloaded, "HOME": "/"}, is_own=True)
    assert result.variables == {"LD_PRELOAD": "/apps/libxalt_init.so", "HOME": "/"}
    assert result.dropped == (
        "LD_PRELOAD=/usr/lib/libjemalloc.so.2",
        "LD_PRELOAD=/x/libtcmalloc_minimal.so",
    )
    assert inherited({"LD_PRELOAD": "libmimalloc.so"}, is_own=False).variables == {}
