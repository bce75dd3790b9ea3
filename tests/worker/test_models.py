"""The models of the verification use the whole language, and no constant that is a default."""

from __future__ import annotations

from backends.defaults_of import defaults_of
from bench.worker.verification.models import BEHAVIOUR, MODELS
from specs.model import Conv2d
from tests.support.jobs import FRAMEWORKS


def test_no_constant_of_the_small_models_is_a_default_of_any_framework():
    """Otherwise a constant that an adapter forgot to pass would not be noticed."""
    words = {
        "learning_rate": "learning rate",
        "initial_accumulator": "first accumulator",
        "weight_decay": "adamw's weight decay",
        **{name: name for name in ("momentum", "rho", "epsilon")},
    }
    defaults: dict[str, set] = {}
    for backend in FRAMEWORKS:
        for default in defaults_of(backend):
            defaults.setdefault(default.setting, set()).add(default.value)
    found = 0
    for name, workload in MODELS.items():
        if workload.name != "cnn" or name == "cnn":
            continue  # a packaged one
        tag = str(workload.optimizer.__struct_config__.tag)
        for constant, word in words.items():
            value = getattr(workload.optimizer, constant, None)
            term = word if word in defaults else f"{tag.replace('adamw', 'adam')}'s {word}"
            if value and term in defaults:
                assert value not in defaults[term], (name, term)
                found += 1
        for layer in workload.layers:
            if hasattr(layer, "momentum"):
                assert layer.epsilon not in defaults["batch norm's epsilon"]
                assert layer.momentum not in defaults["batch norm's momentum"]
    assert found > 20


def test_the_models_hold_all_of_the_language():
    """They have every layer, activation, loss, initializer and optimizer, and both epsilons."""
    import typing

    from specs import model

    workloads = MODELS.values()
    layers = [layer for workload in workloads for layer in workload.layers]
    optimizers = [workload.optimizer for workload in workloads]
    assert {type(layer) for layer in layers} == set(typing.get_args(model.Layer))
    assert {getattr(layer, "activation", "linear") for layer in layers} == set(
        typing.get_args(model.Activation)
    )
    assert {workload.loss for workload in workloads} == set(typing.get_args(model.Loss))
    assert {workload.recipe.initializer for workload in workloads} == set(
        typing.get_args(model.Initializer)
    )
    assert {type(optimizer) for optimizer in optimizers} == set(typing.get_args(model.Optimizer))
    forms = {(type(o), o.epsilon_form) for o in optimizers if hasattr(o, "epsilon_form")}
    assert len(forms) == 8  # RMSprop, Adagrad, Adam and AdamW, two each
    assert {layer.padding for layer in layers if isinstance(layer, Conv2d)} == {"valid", "same"}
    assert set(BEHAVIOUR) <= set(MODELS)
