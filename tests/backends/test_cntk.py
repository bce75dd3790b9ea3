"""CNTK: each trap of the framework has a test that would catch it, and its MPI libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from backends.cntk import mpi
from backends.cntk.trainer import Cntk
from backends.contract import Unsupported
from backends.family import Environment
from backends.far.child import ChildError
from bench.records.files import PROJECT
from bench.runner import environments as runner
from bench.worker.verification import checks, models
from bench.worker.verification.cases import make_case
from specs.errors import UserError
from specs.initial import initial_weights
from specs.loading import find_workload
from tests.support.jobs import make_job

# The optimizers that CNTK computes by another formula, or by another one unless it is told; and
# layers where it differs.
TRAPS = {
    "a learner's step is divided by the batch": "adam before",
    "a momentum's gradient has a share": "linear, sgd with momentum",
    "nesterov, and averages of batch norm": "batch norm, nesterov",
    "batch norm of a flattened image": "batch norm after flatten",
    "rmsprop without epsilon": "sigmoid, rmsprop outside",
    "adagrad without epsilon": "quadratic, adagrad inside",
    "epsilon after the correction, zeros at the end": "strides, same, adam after",
    "decay": "adamw before",
    "masks of a flattened image": "dropout after flatten",
    "margins: relu at 0 and ties of a pool": "digits, relu",
}


@pytest.fixture(scope="module")
def python(course_environment):
    return str(course_environment("cntk"))


def case_of(workload, seed=0):
    """Images whose margins are 0, as those of digits."""
    random = np.random.RandomState(seed)
    images = random.random_sample((200, *workload.input.shape)).astype(np.float32)
    images[:, :2], images[:, :, -2:] = 0, 0
    job = make_job(workload, seed=seed, batch_size=8)
    return make_case(job, images, random.randint(0, workload.input.classes, 200))


@pytest.mark.framework
@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_of_cntk_is_avoided(trap, python):
    """Where a ReLU flips by rounding, the next seed is tried, as in `bench verify`."""
    for seed in range(3):
        case = case_of(models.MODELS[TRAPS[trap]], seed)
        found = checks.check_epoch(lambda job: Cntk(job, python), case)
        print(trap, found)
        if found.passed:
            return
    pytest.fail(str(found))


@pytest.mark.framework
def test_the_derivative_of_leaky_relu_at_0_is_the_slope(python):
    """CNTK's own has 1 there: in the margins of digits every convolution's value is 0."""
    found = checks.check_epoch(lambda job: Cntk(job, python), case_of(models._digits("leaky_relu")))
    assert found.passed, found


DROPOUT = replace(models.small("tanh"), layers=models._AFTER_FLATTEN)


def trained(backend, job, epochs=2):
    """The losses of some epochs without given masks, after a reset."""
    backend.reset(initial_weights(job.workload, 0))
    return [backend.train_epoch(np.arange(40)) for _ in range(epochs)]


@pytest.mark.framework
def test_dropout_draws_new_masks_in_each_epoch_the_same_after_a_reset_and_others_by_seed(python):
    found = {}
    for seed in (0, 1):
        job = make_job(DROPOUT, seed=seed, batch_size=8)
        backend = Cntk(job, python)
        backend.load(np.ones((40, *DROPOUT.input.shape), np.float32), np.zeros(40, np.int64))
        found[seed] = trained(backend, job)
        assert trained(backend, job) == found[seed]
        still = make_job(
            replace(DROPOUT, optimizer=replace(models._SGD, learning_rate=1e-12)), seed=seed
        )
        backend = Cntk(still, python)
        backend.load(np.ones((40, *DROPOUT.input.shape), np.float32), np.zeros(40, np.int64))
        first, second = trained(backend, still)
        assert first != second, "the same masks in two epochs, as the weights did not change"
    assert found[0][0] != found[1][0]


@pytest.mark.framework
def test_a_reset_goes_back_to_the_first_step_of_every_kind_of_learner(python):
    for name in ("adam before", "adamw after", "cnn", "linear, sgd with momentum", "digits, tanh"):
        workload = models.MODELS[name]
        layers = tuple(x for x in workload.layers if x.__struct_config__.tag != "dropout")
        job = make_job(replace(workload, layers=layers), batch_size=8)
        backend = Cntk(job, python)
        backend.load(
            np.random.RandomState(0).random_sample((40, *workload.input.shape)).astype(np.float32),
            np.arange(40) % workload.input.classes,
        )
        backend.set_weights(initial_weights(job.workload, 0))
        new = [backend.train_epoch(np.arange(40)) for _ in range(2)]
        assert trained(backend, job) == new, name


@pytest.mark.framework
@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_set_and_read_back(threads, python):
    settings = Cntk(make_job("softmax", threads=threads), python).settings()
    assert settings["threads"] == threads
    assert settings["device"] == "cpu"
    assert settings["dtype"] == "float32"
    assert settings["python"].startswith("3.6.")


@pytest.mark.framework
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("cnn", "adadelta"),
        ("softmax-sgd", "sgd"),
        ("mlp-wide", "momentum_sgd"),
        ("softmax", "universal, RootLearner"),
    ],
)
def test_cntks_own_learner_is_used_where_it_has_the_formula(name, optimizer, python):
    workload = find_workload(name)
    if name == "mlp-wide":  # its optimizer, with a small model
        workload = replace(find_workload("softmax"), optimizer=workload.optimizer)
    assert Cntk(make_job(workload), python).settings()["optimizer"] == optimizer


@pytest.mark.framework
def test_a_diverged_training_is_told_by_its_loss_and_no_error(python):
    fast = replace(find_workload("mlp-relu"), optimizer=replace(models._SGD, learning_rate=1e30))
    backend = Cntk(make_job(fast, batch_size=8), python)
    backend.set_weights(initial_weights(fast, 0))
    backend.load(
        np.random.RandomState(0).random_sample((40, 28, 28, 1)).astype(np.float32),
        np.arange(40) % 10,
    )
    assert not np.isfinite(backend.train_epoch(np.arange(40)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"device": "cuda:0"}, "CNTK's package for CPUs"),
        ({"precision": "tf32"}, "CNTK is older than TF32"),
        ({"precision": "bfloat16"}, "CNTK is older than bfloat16"),
        ({"mode": "native"}, "matched mode"),
    ],
)
def test_what_cntk_cannot_do_is_refused_before_its_python_starts(changes, why):
    with pytest.raises(Unsupported, match=why):
        Cntk(make_job("softmax", **changes), "/no/python")


def test_a_python_without_cntk_is_an_error_that_says_what_to_type():
    with pytest.raises(ChildError, match=r"No module named 'cntk'; `bench environment create cntk"):
        Cntk(make_job("softmax"), sys.executable)


SYMBOLS = (
    *("MPI_Abort", "MPI_Initialized", "_ZN3MPI8Datatype4FreeEv"),
    *("ompi_mpi_cxx_op_intercept", "ompi_mpi_float"),
)


def test_the_stand_in_for_mpi_has_all_names_and_ends_the_process_with_a_sentence(tmp_path):
    code = (
        mpi.source(SYMBOLS)
        + "int main(void) { int f = 7; MPI_Initialized(&f); if (f) return 9; MPI_Abort(); }"
    )
    (tmp_path / "mpi.c").write_text(code)
    subprocess.run(["cc", "-w", "-o", tmp_path / "mpi", tmp_path / "mpi.c"], check=True)
    done = subprocess.run([tmp_path / "mpi"], capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert (
        done.stderr == "CNTK called MPI_Abort, and this machine has no MPI: train on one machine\n"
    )
    names = subprocess.run(["nm", tmp_path / "mpi"], capture_output=True, text=True, check=True)
    kinds = {line.split()[-1]: line.split()[-2] for line in names.stdout.splitlines()}
    assert [kinds[name] for name in SYMBOLS] == ["T", "T", "T", "T", "B"]


class Commands:
    """Runs no command: it keeps them, and fails where it is told."""

    def __init__(self, folder: Path, fails: int) -> None:
        self.folder, self.fails, self.done = folder, fails, []

    def __call__(self, command):
        self.done.append([*map(str, command)])
        if "import cntk" in command[-1] and self.fails:
            self.fails -= 1
            raise UserError("libmpi.so.12: cannot open shared object file")
        if "find_spec" in command[-1]:
            return f"{self.folder}\n"
        if Path(command[0]).name == "nm":
            return "                 U MPI_Abort@VERS\n                 U malloc\n"
        return ""


def test_nothing_is_compiled_where_cntk_can_be_imported(tmp_path):
    run = Commands(tmp_path, fails=0)
    mpi.provide(Path("python"), run)
    assert len(run.done) == 1


def test_two_libraries_are_compiled_where_it_cannot_and_then_it_is_tried_again(tmp_path):
    run = Commands(tmp_path, fails=1)
    mpi.provide(Path("python"), run)
    assert [Path(command[0]).name for command in run.done] == [
        *("python", "python", "nm", "gcc", "gcc", "python")
    ]
    outputs = [command[command.index("-o") + 1] for command in run.done[3:5]]
    assert outputs == [
        str(tmp_path / "libs" / name) for name in ("libmpi.so.12", "libmpi_cxx.so.1")
    ]
    with pytest.raises(UserError, match="cannot open shared object"):
        mpi.provide(Path("python"), Commands(tmp_path, fails=2))


def test_without_a_compiler_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(mpi.shutil, "which", lambda name: None)
    with pytest.raises(UserError) as error:
        mpi.provide(Path("python"), Commands(tmp_path, fails=1))
    assert "no C compiler" in str(error.value)
    assert "apt-get install gcc" in error.value.hint
    assert "bench environment create cntk" in error.value.hint


def test_what_remains_after_pip_is_done_with_the_new_interpreter(tmp_path, monkeypatch):
    """`Environment.finish`: it may run commands, and its failure leaves the environment unready."""
    calls = []
    monkeypatch.setattr(
        runner, "run_checked", lambda command, problem, hint="": calls.append(command) or ""
    )
    environment = Environment(
        engine="", requirements=("some==1",), versions=("some",), finish=f"{__name__}:finish"
    )
    monkeypatch.setattr(runner, "ENVIRONMENTS", {"cntk": environment})
    found = runner.Environments(folder=tmp_path)
    with pytest.raises(UserError, match="no compiler"):
        found.create("cntk", cuda=None, say=lambda line: None)
    assert calls[-1] == ["true", str(tmp_path / "cntk" / "bin" / "python")]
    assert found.python("cntk") is None


def finish(python, run):
    run(["true", str(python)])
    raise UserError("no compiler")


def test_the_projects_rule_holds_that_no_backend_starts_a_process_but_the_far_one():
    for file in (PROJECT / "backends" / "cntk").glob("*.py"):
        assert "subprocess" not in file.read_text()
