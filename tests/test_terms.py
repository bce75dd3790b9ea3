"""What is recorded of the frameworks' defaults is what the installed frameworks answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS
from backends.terms import TERMS, BackendTerms, Stand, terms_of
from tests.support.jobs import FRAMEWORKS, VARIANTS

# What needs a GPU, reads the machine or is a loop that the framework leaves to its user.
UNASKABLE = {
    "loss of an epoch",
    "compiler",
    "determinism",
    "autotuning of GPU kernels",
    "GPU memory is taken",
    "CPU threads",
}

ASKER = """
import json, sys
asking, asks = json.load(sys.stdin)
names, answers = {}, {}
exec(asking, names)
for term, ask in asks.items():
    try:
        answers[term] = eval(ask, names)
    except Exception as error:
        answers[term] = f"{type(error).__name__}: {error}"
print(json.dumps(answers, default=repr))
"""


def answers_of(terms: BackendTerms, python, variables=()) -> dict[str, object]:
    """What a framework's environment answers to all questions, in one process that sees no GPU."""
    asks = {stand.term: stand.ask for stand in terms.stands if stand.ask}
    blind = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-c", ASKER],
        input=json.dumps([terms.asking, asks]),
        env={**os.environ, **dict(variables), **blind},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def disagreements(stands: tuple[Stand, ...], answers: dict[str, object]) -> list[str]:
    """One line for each recorded default that is not, in value and type, what was answered."""
    return [
        f"{stand.term}: recorded {stand.default!r}, answered {answers.get(stand.term)!r}"
        for stand in stands
        if stand.ask
        and (type(answers.get(stand.term)), answers.get(stand.term)) != (type(stand.default), stand.default)
    ]


@pytest.fixture(scope="module")
def answers(environments, tmp_path_factory):
    """Answers so far, by backend."""
    known = {}

    def ask(backend: str) -> dict[str, object]:
        if backend not in known:
            home = {"KERAS_HOME": str(tmp_path_factory.mktemp("keras"))}  # else a user's own settings would answer
            variables = {**BACKENDS[backend].variables, **home}
            known[backend] = answers_of(terms_of(backend), environments.require(backend), variables)
        return known[backend]

    return ask


@pytest.mark.parametrize("backend", dict.fromkeys((*FRAMEWORKS, *VARIANTS)))
def test_every_backend_stands_on_every_term_in_order_and_says_why_where_it_cannot_be_asked(backend):
    stands = terms_of(backend).stands
    assert [stand.term for stand in stands] == [term.name for term in TERMS]
    for stand in stands:
        assert stand.text, stand
        assert stand.enforced, stand
        assert bool(stand.ask) != bool(stand.unasked), stand
        assert "\n" not in stand.text + stand.enforced + stand.unasked, stand
    assert {stand.term for stand in stands if stand.unasked} <= UNASKABLE


def test_terms_have_names_of_their_own_and_stand_under_their_subjects():
    names, subjects = [term.name for term in TERMS], [term.subject for term in TERMS]
    assert len({*names}) == len(names)
    assert len(dict.fromkeys(subjects)) == sum(a != b for a, b in zip(["", *subjects], subjects, strict=False))
    assert all(term.spec for term in TERMS)


def test_the_reference_has_no_defaults_to_tell():
    with pytest.raises(KeyError, match="reference"):
        terms_of("reference")


@pytest.mark.framework
@pytest.mark.parametrize("backend", [name for name in FRAMEWORKS if name not in VARIANTS])
def test_the_installed_framework_has_the_defaults_that_are_recorded(backend, answers):
    stands = terms_of(backend).stands
    assert disagreements(stands, answers(backend)) == []
    changed = tuple(replace(stand, default="another") for stand in stands)
    assert len(disagreements(changed, answers(backend))) == len(answers(backend)) > 40


def test_a_wrong_default_is_reported_and_so_is_a_question_that_cannot_be_answered():
    stands = (
        Stand("right", 0.01, "", "slope"),
        Stand("nothing", None, "", "None"),
        Stand("wrong", 0.2, "", "slope"),
        Stand("wrong type", 1, "", "slope == 0.01"),
        Stand("no such name", "off", "", "missing"),
        Stand("not asked", "as needed", "", unasked="takes a GPU"),
    )
    answered = answers_of(BackendTerms(asking="slope = 0.01", stands=stands), sys.executable)
    assert disagreements(stands, answered) == [
        "wrong: recorded 0.2, answered 0.01",
        "wrong type: recorded 1, answered True",
        "no such name: recorded 'off', answered \"NameError: name 'missing' is not defined\"",
    ]


def test_a_default_is_told_in_words():
    told = {None: "none of its own", False: "off", 1e-07: "1e-07", 1.0: "1", 32: "32", "kept": "kept"}
    assert {value: Stand("", value, "").text for value in told} == told
    assert Stand("", True, "").text == "on"
