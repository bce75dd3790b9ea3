"""`bench acceptance`: the steps, the budget, the page and the archive."""

from __future__ import annotations

import tarfile
from types import SimpleNamespace

import pytest

from bench.command import acceptance
from bench.command.acceptance import Step
from bench.command.cli import main
from bench.command.parser import make_parser


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
    assert commands(devices=("cuda",))[-2] == (
        "bench run big --device cuda --precision float32,tf32,bfloat16"
    )
    assert len(commands("--precision", "float32")) == 4


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
    assert "2 steps passed, 1 failed" in capsys.readouterr().err
    with tarfile.open(tmp_path / "acceptance" / "acceptance.tar.gz") as archive:
        assert {"acceptance/a/record.json", "acceptance/report.html"} <= set(archive.getnames())


def test_a_step_is_stopped_when_the_budget_is_over_and_the_rest_is_listed(
    steps, monkeypatch, tmp_path
):
    steps(["run", "a"], ["run", "b"])
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
    assert "| step 0? | `bench run a` | stopped: no time was left |" in page
    assert "| step 1? | `bench run b` | not begun |" in page
    assert page.index("No time was left for these") < page.rindex("`bench run b`")


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
