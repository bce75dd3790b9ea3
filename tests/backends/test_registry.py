"""The registry: variants belong to backends, and every environment has an engine."""

from __future__ import annotations

from backends.defaults_of import defaults_of
from backends.registry import BACKENDS, ENGINES, ENVIRONMENTS, UNTUNED
from tests.support.jobs import FRAMEWORKS, VARIANTS


def test_every_environment_has_an_engine():
    assert {backend.environment for backend in BACKENDS.values()} == set(ENGINES)


def test_a_variant_is_of_a_plain_backend_in_the_same_environment_and_says_what_it_changes():
    assert VARIANTS
    for name in VARIANTS:
        variant = BACKENDS[name]
        plain = BACKENDS[variant.variant_of]
        assert (plain.variant_of, plain.environment) == (None, variant.environment)
        assert variant.changes
        assert plain.variables.items() <= variant.variables.items() or set(plain.variables) - {
            "KERAS_BACKEND"
        } == set(variant.variables)


def test_every_plain_framework_has_a_variant_or_it_is_said_why_not():
    tuned = {BACKENDS[name].variant_of for name in VARIANTS}
    plain = {name for name in FRAMEWORKS if not BACKENDS[name].variant_of}
    assert not tuned & set(UNTUNED)
    assert plain == tuned | set(UNTUNED)


def test_a_variant_stands_where_its_plain_backend_does_but_for_the_compiler():
    ours, theirs = (
        {default.setting: (default.value, default.ours) for default in defaults_of(name)}
        for name in ("tensorflow-xla", "tensorflow")
    )
    assert {term for term in ours if ours[term] != theirs[term]} == {"compiler"}
    assert ours["compiler"][1] == "on; `tf.function(jit_compile=True)`"


def test_a_backend_has_the_variables_of_its_environment_and_its_own():
    for backend in BACKENDS.values():
        if backend.environment in ENVIRONMENTS:
            assert ENVIRONMENTS[backend.environment].variables.items() <= backend.variables.items()
    assert BACKENDS["keras-jax"].variables == {
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
