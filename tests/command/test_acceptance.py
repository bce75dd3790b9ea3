"""`bench acceptance`: the steps, the budget, the page and the archive."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from backends.registry import BACKENDS, EXPERIMENTS
from bench.command import acceptance
from bench.command.acceptance import Ended, Step
from bench.command.cli import main
from bench.command.parser import make_parser
from bench.machine.gpu_facts import Fact, UnknownError
from bench.machine.host import this_machine
from bench.report.form.blocks import Heading, Table
from bench.report.run import Run
from bench.runner.environments import Environments
from specs.loading import find_suite
from tests.support.records import make_record, run_of


def options(*arguments):
    return make_parser().parse_args(["acceptance", *arguments])


def commands(*arguments, devices=("cpu",)):
    return [step.command for step in acceptance.steps_of(options(*arguments), devices)]


def test_every_step_is_a_command_that_can_be_typed(monkeypatch):
    for devices in (("cpu",), ("cuda",)):
        for step in acceptance.steps_of(options(), devices):
            parsed = make_parser().parse_args([*step.arguments, "--results", "x"])
            assert parsed.command
    assert commands("--backend", "jax")[0] == (
        "bench run smoke --device cpu --backend jax --precision float32"
    )
    assert not any("tf32" in command or "big" in command for command in commands())
    big = "bench run big --device cuda --precision float32,tf32,bfloat16"
    assert big in commands(devices=("cuda",))
    assert len(commands("--precision", "float32")) == 4


@pytest.fixture
def torch(tmp_path):
    """The option for an environment of PyTorch alone."""
    python = tmp_path / "torch" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return "--python", f"torch={python}"


def test_experiments_of_installed_backends_come_last_each_after_its_verification(
    torch, monkeypatch
):
    # Only what the option names is installed.
    monkeypatch.setattr(acceptance, "Environments", lambda given: SimpleNamespace(python=given.get))
    asked = commands(*torch, "--precision", "tf32,float32", devices=("cuda",))
    steps = [command for command in asked if "pytorch-compiled-contiguous" in command]
    names = ",".join(
        name
        for name, entry in BACKENDS.items()
        if "pytorch-compiled" in (name, entry.variant_of) and name != "pytorch"
    )
    assert steps == [
        f"bench verify --device cuda --backend {names} --precision tf32",
        (
            f"bench run experiments --device cuda --backend {names} --precision tf32"
            " --run experiments-pytorch-compiled"
        ),
    ]
    assert asked.index("bench calibrate --rounds 11 --device cuda") < asked.index(steps[0])
    assert not any("jax" in command for command in asked), "it is not installed"
    assert not any("experiments" in command for command in commands(*torch)), "no GPU is asked"
    chosen = commands(*torch, "--backend", "keras-torch", devices=("cuda",))
    assert [command for command in chosen if "experiments" in command] == [
        (
            "bench run experiments --device cuda --backend"
            " keras-torch,keras-torch-channels-first,keras-torch-compiled --precision float32"
            " --run experiments-keras-torch"
        )
    ]


def test_the_suite_of_experiments_has_all_of_them_beside_their_backends():
    pairs = [(BACKENDS[name].variant_of, name) for name in EXPERIMENTS]
    assert find_suite("experiments").backends == tuple(
        dict.fromkeys(name for pair in pairs for name in pair)
    )


def test_the_page_has_the_answers_of_experiments_and_facts(monkeypatch, tmp_path):
    times = {"jax": (2.0,) * 3, "jax-unroll": (1.0,) * 3}
    records = [
        make_record(
            f"{backend}{turn}", backend=backend, round=turn, times=each, accuracies=(0.5,) * 3
        )
        for backend, each in times.items()
        for turn in range(12)
    ]
    records.append(
        make_record("x", backend="jax-rbg", status="failed", times=(), accuracies=(), epochs=3)
    )
    (tmp_path / "a" / "jobs").mkdir(parents=True)
    monkeypatch.setattr(Run, "read", lambda folder: run_of(*records, folder=folder))
    steps = [Step("what?", ("run", "experiments"), "a"), Step("more?", ("run", "b"), "b")]
    ended = [Ended("passed", 1.0), Ended()]
    facts = [Fact("server of MPS", "unknown: why")]
    blocks = acceptance.page(this_machine({}), steps, ended, facts, tmp_path)
    [table] = [
        block
        for block in blocks
        if block.__class__ is Table
        and "question" in block.columns
        and "experiment" in block.columns
    ]
    assert table.rows == (
        (
            BACKENDS["jax-unroll"].experiment,
            *("jax-unroll", "jax", "softmax", "cpu", "0.50x (0.50 to 0.50) faster"),
        ),
        (BACKENDS["jax-rbg"].experiment, "jax-rbg", "jax", "softmax", "cpu", "failed: why"),
    )
    assert Heading("Experiments", 2) in blocks
    assert Table(("fact", "value"), (("server of MPS", "unknown: why"),)) in blocks


def test_a_program_that_fails_or_prints_nothing_makes_a_fact_unknown_with_its_error(tmp_path):
    probe = acceptance._probe(Environments({"jax": Path(sys.executable)}))
    assert probe.run("jax", "print('a'); print('b')", (), {}) == "b"
    assert probe.run("jax", "import os; print(os.environ['A'])", (), {"A": "1"}) == "1"
    fails = "raise ValueError('no GPU\\nset A=1 for more')"
    much = "print('x\\n' * 2_000_000)"
    silent = "raise SystemExit(3)"
    for program, why in (
        (fails, "jax: ValueError: no GPU$"),
        (silent, "jax: fails with exit code 3"),
        (much, "jax: prints more than 1 MB"),
        ("", "jax: "),
    ):
        with pytest.raises(UnknownError, match=why):
            probe.run("jax", program, (), {})
    with pytest.raises(UnknownError, match="the environment 'jax' has no build for NVIDIA GPUs"):
        probe.folder("jax")
    nothing = acceptance._probe(Environments(folder=tmp_path))
    with pytest.raises(UnknownError, match="the environment 'torch' is not installed"):
        nothing.run("torch", "", (), {})


@pytest.fixture
def steps(monkeypatch):
    """A function that sets the steps, each a list of arguments."""

    def given(*all_arguments):
        made = [Step(f"step {n}?", tuple(each), "") for n, each in enumerate(all_arguments)]
        monkeypatch.setattr(acceptance, "steps_of", lambda *_: made)

    return given


def replace_main(monkeypatch, run):
    """Let `run` stand for all commands but the acceptance itself."""
    monkeypatch.setattr("bench.command.cli.main", run)


def test_the_page_says_how_each_step_ended_and_the_archive_has_all_files(
    steps, monkeypatch, tmp_path, capsys
):
    steps(["run", "a"], ["verify"], ["calibrate"])

    def run(arguments):
        (tmp_path / "acceptance" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "acceptance" / "a" / "record.json").write_text("{}")
        assert arguments[-2:] == ["--results", str(tmp_path / "acceptance")]
        return {"verify": 1}.get(arguments[0], 0)

    replace_main(monkeypatch, run)
    chosen = options("--results", str(tmp_path), "--device", "cpu")
    assert acceptance.acceptance(chosen) == 1
    page = (tmp_path / "acceptance" / "report.md").read_text()
    assert "| step 0? | `bench run a` | passed |" in page
    assert "| step 1? | `bench verify` | failed |" in page
    assert "A step failed" in page
    assert "| driver, and the newest CUDA that it supports | unknown: " in page
    assert "2 steps passed, 1 failed" in capsys.readouterr().err
    with tarfile.open(tmp_path / "acceptance" / "acceptance.tar.gz") as archive:
        assert {"acceptance/a/record.json", "acceptance/report.html"} <= set(archive.getnames())


def test_a_step_is_stopped_when_the_budget_is_over_and_the_rest_is_listed(
    steps, monkeypatch, tmp_path
):
    steps(["run", "a"], ["run", "b"])
    monkeypatch.setattr(acceptance, "gpu_facts", lambda *_: [])  # they take a part of the time
    monkeypatch.setattr(acceptance, "_LEAST_SECONDS", 0.05)

    def run(_arguments):
        try:
            while True:
                pass
        except KeyboardInterrupt:  # as `bench.command.cli.main` does
            return 130

    replace_main(monkeypatch, run)
    chosen = options("--results", str(tmp_path), "--device", "cpu")
    chosen.budget = 0.2
    assert acceptance.acceptance(chosen) == 0
    page = (tmp_path / "acceptance" / "report.md").read_text()
    assert "| step 0? | `bench run a` | stopped: time is up |" in page
    assert "| step 1? | `bench run b` | not started |" in page
    assert page.index("There was no time for these") < page.rindex("`bench run b`")


def test_ctrl_c_ends_all_steps(steps, monkeypatch, tmp_path):
    steps(["run", "a"], ["run", "b"])
    begun = []
    replace_main(monkeypatch, lambda arguments: begun.append(arguments) or 130)
    with pytest.raises(KeyboardInterrupt):
        acceptance.acceptance(options("--results", str(tmp_path), "--device", "cpu"))
    assert len(begun) == 1


def test_a_device_that_is_not_there_is_said_before_any_step(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(acceptance, "this_machine", lambda _: SimpleNamespace(gpus=(), name="m"))
    assert main(["acceptance", "--device", "cuda", "--results", str(tmp_path)]) == 2
    assert "there is no NVIDIA GPU on m" in capsys.readouterr().err
