"""Writes a workload as a script in the style of scikit-learn's examples on MNIST."""

from __future__ import annotations

from backends.script import (
    END,
    READER_IMPORTS,
    assemble,
    data_of,
    listed,
    number,
    settings_to_pass,
    wrapped,
)
from backends.sklearn.defaults import DEFAULTS
from backends.sklearn.structure import Structure, structure_of
from specs.model import Adam, Sgd, Workload

_ARGUMENTS = {"learning_rate": "learning_rate_init", "nesterov": "nesterovs_momentum"}
_METHODS = {
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adamw": "AdamW",
    "adadelta": "Adadelta",
    "sgd": "SGD",
    "adam": "Adam",
}
_MAIN = """\
def main():
    train_images, train_labels = load_data("train")
    test_images, test_labels = load_data("t10k")
    model = build_model()
    model.fit(train_images, train_labels)
    print(f"test accuracy {model.score(test_images, test_labels):.4f}")
"""


def script(workload: Workload) -> str:
    """The workload in scikit-learn: `fit` of a `LogisticRegression` or an `MLPClassifier`.

    Raises:
        Unsupported: a script cannot have the workload's data, or scikit-learn not its model.
    """
    data, structure = data_of(workload), structure_of(workload)
    has_hidden = bool(structure.hidden_layer_sizes)
    model = (
        "from sklearn.neural_network import MLPClassifier"
        if has_hidden
        else "from sklearn.linear_model import LogisticRegression"
    )
    constants = [f"EPOCHS = {workload.recipe.epochs}", f'URL = "{data.address}"']
    return assemble(
        workload,
        "scikit-learn",
        "scikit-learn",
        "\n".join([*READER_IMPORTS, "", "import numpy as np", model]),
        "\n".join(constants),
        *data.reader(flat=True),
        _perceptron(workload, structure) if has_hidden else _regression(workload),
        _MAIN,
        END,
    )


def _regression(workload: Workload) -> str:
    """The function that builds a model without hidden layers."""
    method = _METHODS[str(workload.optimizer.__struct_config__.tag)]
    return "\n".join(
        [
            "def build_model():",
            f"    # Specified is {method} on batches of {workload.recipe.batch_size}.",
            "    # scikit-learn has solvers of its own; SAGA is the one for large data.",
            '    return LogisticRegression(solver="saga", max_iter=EPOCHS)',
        ]
    )


def _perceptron(workload: Workload, structure: Structure) -> str:
    """The function that builds a model with hidden layers."""
    items = [f"hidden_layer_sizes={structure.hidden_layer_sizes}"]
    if structure.activation != "relu":  # the default
        items.append(f'activation="{structure.activation}"')
    if isinstance(workload.optimizer, Sgd):
        items.append('solver="sgd"')
    # The default is a penalty on the weights, and an end of the training after ten epochs that
    # gained nothing.
    items += ["alpha=0", f"batch_size={workload.recipe.batch_size}"]
    items += _settings(workload)
    items += ["max_iter=EPOCHS", "n_iter_no_change=EPOCHS"]
    call = listed("return MLPClassifier(", items, ")", 4)
    if "\n" not in (short := wrapped("return MLPClassifier(", items, ")", 4)):
        call = short
    return "\n".join(["def build_model():", *_differences(workload, structure), call])


def _settings(workload: Workload) -> list[str]:
    """The arguments for the optimizer's settings that are not scikit-learn's defaults."""
    if not isinstance(workload.optimizer, Sgd | Adam):
        return []
    passed = settings_to_pass(workload.optimizer, DEFAULTS)
    return [f"{_ARGUMENTS.get(name, name)}={number(value)}" for name, value in passed.items()]


def _differences(workload: Workload, structure: Structure) -> list[str]:
    """Comments on what scikit-learn does otherwise than specified."""
    spec, recipe, lines = workload.optimizer, workload.recipe, []
    if not isinstance(spec, Sgd | Adam):
        method = _METHODS[str(spec.__struct_config__.tag)]
        lines += [f"# Specified is {method}. scikit-learn has SGD and Adam, its default."]
    if isinstance(spec, Adam) and spec.epsilon_form == "after_correction":
        lines += [
            "# scikit-learn adds epsilon before the bias correction. Specified is after it,",
            "# as in PyTorch.",
        ]
    if recipe.initializer != "glorot_uniform" or structure.activation == "logistic":
        name = recipe.initializer
        lines += [f"# Specified are weights by {name}. scikit-learn has draws of its own."]
    if recipe.last_partial_batch == "drop":
        lines += ["# Specified is to drop the last partial batch. scikit-learn trains on it."]
    return [f"    {line}" for line in lines]
