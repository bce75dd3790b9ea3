"""The recorded defaults of the frameworks are those of the installed frameworks."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache

import pytest
from msgspec.structs import replace

from backends.defaults import SETTINGS, Default
from backends.defaults_of import defaults_of
from backends.registry import BACKENDS, DEFAULTS_OF
from bench.records.files import PROJECT
from tests.defaults import asking
from tests.support.jobs import COURSE, FRAMEWORKS, VARIANTS

# What needs a GPU, reads the machine or is a loop that the framework leaves to its user.
UNASKABLE = {
    "loss of an epoch",
    "compiler",
    "determinism",
    "autotuning of GPU kernels",
    "GPU memory allocation",
    "CPU threads",
}
EVERY = dict.fromkeys((*FRAMEWORKS, *VARIANTS, *COURSE))
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}


def disagreements(defaults: tuple[Default, ...], found: dict[str, object]) -> list[str]:
    """A line for each recorded default that differs from the one found, in value or type."""
    asked = [(default, found[default.setting]) for default in defaults if default.setting in found]
    return [
        f"{default.setting}: recorded {default.value!r}, found {value!r}"
        for default, value in asked
        if (type(value), value) != (type(default.value), default.value)
    ]


def family_of(backend: str) -> str:
    """The name of a family's folder in `backends/`."""
    return DEFAULTS_OF[backend].split(".")[1]


@pytest.fixture(scope="module")
def answers(course_environment, tmp_path_factory):
    """The answers that a framework's file in `tests/defaults` prints, by backend."""

    @cache
    def ask(backend: str) -> dict[str, dict]:
        done = subprocess.run(
            [course_environment(backend), "-m", f"tests.defaults.{family_of(backend)}"],
            cwd=PROJECT,  # `python -m` looks there first
            env={
                **os.environ,
                **BACKENDS[backend].variables,
                **NO_GPU,
                "OMP_NUM_THREADS": "1",
                # Without it the user's own settings of Keras would answer.
                "KERAS_HOME": str(tmp_path_factory.mktemp("keras")),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.mark.parametrize("backend", EVERY)
def test_every_backend_has_a_default_for_every_setting_in_order(backend):
    defaults = defaults_of(backend)
    assert [default.setting for default in defaults] == [setting.name for setting in SETTINGS]
    for default in defaults:
        assert default.text, default
        assert default.ours, default
        assert "\n" not in default.text + default.ours, default


@pytest.mark.framework
@pytest.mark.parametrize("backend", EVERY)
def test_every_default_is_asked_or_has_a_reason_why_not_and_nothing_else_is_asked(backend, answers):
    plain = answers(BACKENDS[backend].variant_of or backend)
    asked, unasked = plain["defaults"], plain["unasked"]
    assert sorted([*asked, *unasked]) == sorted(default.setting for default in defaults_of(backend))
    assert {*unasked} <= UNASKABLE
    assert all(reason and "\n" not in reason for reason in unasked.values())


def test_settings_have_distinct_names_and_are_grouped_by_subject():
    names, subjects = (
        [setting.name for setting in SETTINGS],
        [setting.subject for setting in SETTINGS],
    )
    assert len({*names}) == len(names)
    assert len(dict.fromkeys(subjects)) == sum(
        a != b for a, b in zip(["", *subjects], subjects, strict=False)
    )
    assert all(setting.workload_value for setting in SETTINGS)


def test_the_reference_has_no_defaults_to_tell():
    assert defaults_of("reference") == ()


@pytest.mark.framework
@pytest.mark.parametrize("backend", [name for name in EVERY if name not in VARIANTS])
def test_the_installed_framework_has_the_defaults_that_are_recorded(backend, answers):
    defaults, found = defaults_of(backend), answers(backend)["defaults"]
    assert disagreements(defaults, found) == []
    changed = tuple(replace(default, value="another") for default in defaults)
    assert len(disagreements(changed, found)) == len(found) > 40


def test_a_wrong_default_is_reported_and_so_is_a_question_that_cannot_be_answered():
    questions = {
        "right": lambda: 0.01,
        "nothing": lambda: None,
        "wrong": lambda: 0.01,
        "wrong type": lambda: True,
        "fails": lambda: {}["missing"],
    }
    recorded = (
        Default("right", 0.01, ""),
        Default("nothing", None, ""),
        Default("wrong", 0.2, ""),
        Default("wrong type", 1, ""),
        Default("fails", "off", ""),
        Default("not asked", "as needed", ""),
    )
    assert disagreements(recorded, asking.defaults(questions)) == [
        "wrong: recorded 0.2, found 0.01",
        "wrong type: recorded 1, found True",
        "fails: recorded 'off', found \"KeyError: 'missing'\"",
    ]


def test_a_default_is_told_in_words():
    told = {
        None: "no built-in",
        False: "off",
        1e-07: "1e-07",
        1.0: "1",
        32: "32",
        "kept": "kept",
    }
    assert {value: Default("", value, "").text for value in told} == told
    assert Default("", True, "").text == "on"
