"""Workloads for which scripts are written: the project's own, and many made-up ones."""

from __future__ import annotations

import json

import msgspec
from msgspec.structs import replace

from specs.loading import WORKLOADS, find_workload, names
from specs.model import Adadelta, Adagrad, AdamW, Dropout, Workload

NAMES = (
    *("keras", "pytorch", "tensorflow", "jax", "scikit-learn"),
    *("spark", "mxnet", "chainer", "theano", "cntk", "caffe", "numpy"),
)
# Those whose scripts take the steps of the workload; `fit` of scikit-learn and Spark takes its own.
# Theano's and CNTK's have tests of their own.
STEPPED = tuple(name for name in NAMES if name not in {"scikit-learn", "spark", "theano", "cntk"})
# Whose environment runs the scripts.
BACKENDS = {
    "keras": "keras-tensorflow",
    "pytorch": "pytorch",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "scikit-learn": "scikit-learn",
    "mxnet": "mxnet",
    "chainer": "chainer",
    "theano": "theano",
    "spark": "spark",
    "cntk": "cntk",
    "caffe": "caffe",
    "numpy": "reference",
}


def made(name="softmax", **changes) -> Workload:
    """A workload from JSON, with some of its parts replaced; `recipe` is merged."""
    data = json.loads((WORKLOADS / f"{name}.json").read_text())
    data["recipe"] |= changes.pop("recipe", {})
    return msgspec.json.decode(json.dumps({**data, **changes}), type=Workload)


def dense(units, activation="linear"):
    return {"type": "dense", "units": units, "activation": activation}


def conv(filters, size, strides=(1, 1), padding="valid", activation="relu"):
    return {
        "type": "conv2d",
        "filters": filters,
        "kernel_size": size,
        "strides": strides,
        "padding": padding,
        "activation": activation,
    }


FLATTEN, LAST = {"type": "flatten"}, dense(10)
NORM = {"type": "batch_norm", "momentum": 0.9, "epsilon": 0.01}
RATE = {"learning_rate": 0.01}
ADAM = {**RATE, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}
OPTIMIZERS = {
    "sgd": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.0, "nesterov": False},
    "momentum": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": False},
    "nesterov": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
    **{
        f"rmsprop-{form}": {"type": "rmsprop", **RATE, "rho": 0.8, "epsilon": 1e-3}
        | {"epsilon_form": f"{form}_root"}
        for form in ("inside", "outside")
    },
    **{
        f"adagrad-{form}": {"type": "adagrad", **RATE, "initial_accumulator": 0.2}
        | {"epsilon": 1e-3, "epsilon_form": f"{form}_root"}
        for form in ("inside", "outside")
    },
    **{
        f"{kind}-{form}": {"type": kind, **ADAM, "epsilon_form": f"{form}_correction"} | decay
        for kind, decay in (("adam", {}), ("adamw", {"weight_decay": 0.1}))
        for form in ("before", "after")
    },
    "adadelta": {"type": "adadelta", "learning_rate": 0.5, "rho": 0.9, "epsilon": 1e-4},
}
ACTIVATIONS = ("relu", "leaky_relu", "elu", "softplus", "sigmoid", "tanh")
INITIALIZERS = (
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
    *("lecun_normal", "uniform", "zeros"),
)
SMALL_CONVOLUTIONS = [
    conv(3, [5, 4], [2, 3], "same", "leaky_relu"),
    {"type": "max_pool2d", "pool_size": [2, 3]},
    conv(4, [2, 2], padding="same", activation="elu"),
    {"type": "avg_pool2d", "pool_size": [2, 1]},
    FLATTEN,
    dense(12, "softplus"),
    LAST,
]
SMALL_NORMS = [
    conv(3, [3, 3], [2, 2], activation="tanh"),
    NORM,
    {"type": "max_pool2d", "pool_size": [2, 2]},
    FLATTEN,
    dense(12, "sigmoid"),
    NORM,
    LAST,
]
MADE_UP = {
    **{f"softmax-{name}": made(optimizer=spec) for name, spec in OPTIMIZERS.items()},
    **{
        f"mlp-{name}": made(layers=[FLATTEN, dense(9, name), dense(7, name), LAST])
        for name in (*ACTIVATIONS, "linear")
    },
    **{
        f"mixed-{first}": made(layers=[FLATTEN, dense(9, first), dense(7, second), LAST])
        for first, second in zip(ACTIVATIONS, ACTIVATIONS[::-1], strict=True)
    },
    "convolutions": made(
        layers=SMALL_CONVOLUTIONS,
        recipe={"batch_size": 64, "last_partial_batch": "drop", "dataset": "fashion-mnist"},
    ),
    "norms": made(layers=SMALL_NORMS, recipe={"batch_size": 64}, optimizer=OPTIMIZERS["sgd"]),
    "expanded": made(recipe={"dataset": "mnist-expanded", "batch_size": 512}),
    "expanded-image": made(
        layers=[conv(2, [3, 3]), FLATTEN, LAST],
        recipe={"dataset": "mnist-expanded", "batch_size": 512},
    ),
}
STARTS = {
    f"{kind}-{name}": made(layers=layers, recipe={"initializer": name})
    for name in INITIALIZERS
    for kind, layers in (
        ("dense", [FLATTEN, LAST]),
        ("conv", [conv(32, [5, 5]), FLATTEN, LAST]),
    )
}
COMPARED = ("softmax", "mlp-relu", "mlp-relu-dropout", "mlp-relu-quadratic", "cnn", "lenet5-1998")


def without_dropout(workload: Workload) -> Workload:
    """The same, with the rate 0: what dropout keeps is each framework's own draw."""
    layers = tuple(
        replace(layer, rate=0.0) if isinstance(layer, Dropout) else layer
        for layer in workload.layers
    )
    return replace(workload, layers=layers, recipe=replace(workload.recipe, epochs=1))


CASES = {
    name: without_dropout(workload)
    for name, workload in {**{name: made(name) for name in COMPARED}, **MADE_UP, **STARTS}.items()
}
EVERY = {**{name: find_workload(name) for name in names(WORKLOADS)}, **MADE_UP, **STARTS}


def refused(name: str, workload: Workload) -> str:
    """The reason that is expected for a pair that cannot be; "" if there is a script."""
    kinds = {layer.__struct_config__.tag for layer in workload.layers}
    if workload.recipe.dataset == "synthetic":
        return "a published data set (mnist, mnist-expanded, fashion-mnist), not on 'synthetic'"
    if name in REFUSED_BY:
        return REFUSED_BY[name](workload, kinds)
    without_norm = {
        "jax": "JAX has no layers, and batch norm",
        "theano": "Theano has no optimizers",
    }
    return without_norm.get(name, "") if "batch_norm" in kinds else ""


def refused_by_mxnet(workload: Workload, kinds: set[str]) -> str:
    match workload.optimizer:
        case AdamW():
            return "MXNet has no AdamW"
        case Adagrad(initial_accumulator=start) if start:
            return "MXNet's AdaGrad starts at 0"
        case Adadelta(learning_rate=rate) if rate != 1:
            return "MXNet's AdaDelta has no learning rate"
    return ""


def refused_by_caffe(workload: Workload, kinds: set[str]) -> str:
    if isinstance(workload.optimizer, AdamW):
        return "Caffe has no AdamW"
    return "batch norm here" if "batch_norm" in kinds else ""


def refused_by_sklearn(workload: Workload, kinds: set[str]) -> str:
    dense = [layer for layer in workload.layers if layer.__struct_config__.tag == "dense"]
    activations = [*dict.fromkeys(layer.activation for layer in dense[:-1])]
    if kinds - {"dense", "flatten"}:
        return "scikit-learn has dense layers only, and this model has "
    if workload.loss == "mean_squared_error":
        return "scikit-learn's MLPClassifier has no quadratic cost, its loss is the cross-entropy"
    if len(activations) > 1:
        return f"one activation for all hidden layers, and this model has {activations[0]}, "
    if activations and activations[0] in {"leaky_relu", "elu", "softplus"}:
        return f"no {activations[0]}, its activations are relu, sigmoid, tanh, linear"
    return ""


def refused_by_spark(workload: Workload, kinds: set[str]) -> str:
    dense = [layer for layer in workload.layers if layer.__struct_config__.tag == "dense"]
    others = [*dict.fromkeys(d.activation for d in dense[:-1] if d.activation != "sigmoid")]
    if kinds - {"dense", "flatten"}:
        return "Spark MLlib has dense layers only, and this model has "
    if workload.loss == "mean_squared_error":
        return "Spark MLlib has no quadratic cost, its loss is the cross-entropy"
    return (
        f"hidden layers of Spark MLlib are sigmoid, and this model has {', '.join(others)}"
        if others
        else ""
    )


REFUSED_BY = {
    "scikit-learn": refused_by_sklearn,
    "spark": refused_by_spark,
    "mxnet": refused_by_mxnet,
    "caffe": refused_by_caffe,
}
