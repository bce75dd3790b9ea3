"""The registry: variants belong to backends, and every environment has an engine."""

from __future__ import annotations

import pytest

from backends import registry
from backends.defaults_of import defaults_of
from backends.exports import formats
from backends.registry import (
    BACKENDS,
    DEFAULT_BACKENDS,
    ENGINES,
    ENVIRONMENTS,
    EXPERIMENTS,
    GAPS,
    UNTUNED,
)
from bench.command.setup import choose_backends
from bench.records.files import PROJECT
from tests.support.jobs import FRAMEWORKS, VARIANTS


def test_every_environment_has_an_engine_and_a_backend_or_reads_exported_models():
    environments = {backend.environment for backend in BACKENDS.values()}
    assert environments | {formats.ENVIRONMENT} == set(ENGINES)


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


def test_an_experiment_asks_one_question_and_runs_only_if_it_is_named(monkeypatch):
    assert EXPERIMENTS
    for name in EXPERIMENTS:
        entry = BACKENDS[name]
        beside = BACKENDS[entry.variant_of]
        assert entry.changes
        assert entry.experiment.count("?") == 1
        assert (entry.native, entry.parallel) == (None, None)
        assert (entry.environment, entry.warm_up_on_gpus) == (
            beside.environment,
            beside.warm_up_on_gpus,
        )
        assert "native mode" in GAPS[name]
        ours, theirs = ({d.setting: d for d in defaults_of(n)} for n in (name, entry.variant_of))
        assert [s for s in ours if ours[s] != theirs[s]] == ["compiler"]
    monkeypatch.setattr("bench.command.setup._choose_backends", lambda *_: DEFAULT_BACKENDS)
    assert not set(EXPERIMENTS) & set(choose_backends(None, None, tuned=True))
    for place in ("README.md", "docs/frameworks.md"):
        text = (PROJECT / place).read_text()
        assert [name for name in EXPERIMENTS if name in text] == []


def test_every_plain_framework_has_a_variant_or_it_is_said_why_not():
    tuned = {BACKENDS[name].variant_of for name in VARIANTS}
    plain = {name for name in FRAMEWORKS if not BACKENDS[name].variant_of}
    assert not tuned & set(UNTUNED)
    assert plain <= tuned | set(UNTUNED) <= set(BACKENDS)


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


@pytest.mark.parametrize(
    ("backend", "environment", "requirements"),
    [
        ("pytorch@2.12.0", "torch@torch-2.12.0", {"torch==2.12.0", "torchvision", "numpy"}),
        ("jax@0.9.2", "jax@jax-0.9.2", {"jax==0.9.2", "numpy"}),
        (
            "scikit-learn@1.8.0",
            "scikit-learn@scikit-learn-1.8.0",
            {"scikit-learn==1.8.0", "scipy", "numpy"},
        ),
        ("tensorflow@2.20.0", "tensorflow@tensorflow-2.20.0", {"tensorflow-cpu==2.20.0"}),
        (
            "keras-jax@3.14.0",
            "jax@keras-3.14.0",
            {"keras==3.14.0", *registry.ENVIRONMENTS["jax"].requirements[::2]},
        ),
    ],
)
def test_a_version_of_a_framework_is_a_backend_with_an_environment_of_its_own(
    backend, environment, requirements
):
    plain = backend.partition("@")[0]
    chosen = registry.entry(backend)
    assert chosen.environment == environment
    assert chosen.adapter == registry.BACKENDS[plain].adapter
    assert registry.ENGINES[environment] == registry.ENGINES[registry.BACKENDS[plain].environment]
    found = set(registry.ENVIRONMENTS[environment].requirements)
    keras = {r for r in found if r.startswith("keras==")}
    assert found == requirements | keras
    assert len(keras) == (plain != "scikit-learn")  # the other environments have Keras, too
    assert registry.GAPS.get(backend, {}) == registry.GAPS.get(plain, {})


def test_the_builds_for_gpus_have_the_version_too():
    jax = registry.ENVIRONMENTS["jax@jax-0.9.2"]
    assert all("jax[cuda12]==0.9.2" in build.requirements for build in jax.cuda)
    assert "nvidia-cudnn-cu12==9.10.2.21" in jax.cuda[1].requirements
    tensorflow = registry.ENVIRONMENTS["tensorflow@tensorflow-2.20.0"]
    assert "tensorflow[and-cuda]==2.20.0" in tensorflow.cuda[0].requirements
    torch = registry.ENVIRONMENTS["torch@torch-2.12.0"]
    assert [build.requirements[0] for build in torch.cuda] == [
        "torch==2.12.0",
        "torch==2.12.0+cu126",
    ]
    assert torch.cuda[1].index == registry.ENVIRONMENTS["torch"].cuda[1].index


def test_a_variant_of_a_version_is_a_variant_of_the_same_version():
    assert registry.BACKENDS["pytorch-compiled@2.12.0"].variant_of == "pytorch@2.12.0"
    assert defaults_of("pytorch@2.12.0") == defaults_of("pytorch")


@pytest.mark.parametrize("name", ["reference@1.0", "nothing@1.0", "jax@", "jax@; rm", "jax@../x"])
def test_what_is_no_version_is_no_backend(name):
    assert name not in registry.BACKENDS
    with pytest.raises(registry.UnknownBackendError, match="no backend is named"):
        registry.entry(name)


def test_versions_are_not_listed():
    assert not any("@" in name for name in (*registry.BACKENDS, *registry.ENVIRONMENTS))
