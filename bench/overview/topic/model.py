"""Slides of the same model in every framework, and a dictionary of names."""

from __future__ import annotations

import ast

from backends.contract import Unsupported
from backends.registry import BACKENDS, SCRIPTS, script
from bench.overview.material import Material
from bench.overview.results import Results
from bench.overview.slides import Code, Missing, Slide
from bench.report.form import words
from bench.report.form.blocks import Table
from specs.loading import find_workload
from specs.model import Workload

# Name for `bench show --as` -> title, in the order of the slides. Other frameworks follow, except
# the retired ones.
TITLES = {
    "numpy": "NumPy",
    "keras": "Keras",
    "pytorch": "PyTorch",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
}
_OTHER_TITLES = {**TITLES, "spark": "Spark MLlib"}
# Functions that a slide's listing leaves out: reading the data, testing, the loop over epochs.
_LEFT_OUT = ("read", "load_data", "expand", "test", "main")
_MODEL = "softmax"
# The frameworks' names for the same thing; None if a framework has none. The tests find each name
# in the script of a workload that uses it.
_NAMED = ("keras", "pytorch", "tensorflow", "jax")
_NAMES: dict[str, tuple[str | None, ...]] = {
    "dense layer": ("layers.Dense", "nn.Linear", "tf.keras.layers.Dense", None),
    "convolution": (
        "layers.Conv2D",
        "nn.Conv2d",
        "tf.keras.layers.Conv2D",
        "lax.conv_general_dilated",
    ),
    "max pooling": (
        "layers.MaxPooling2D",
        "nn.MaxPool2d",
        "tf.keras.layers.MaxPooling2D",
        "lax.reduce_window",
    ),
    "dropout": ("layers.Dropout", "nn.Dropout", "tf.keras.layers.Dropout", "jax.random.bernoulli"),
    "cross-entropy of logits": (
        "SparseCategoricalCrossentropy",
        "nn.CrossEntropyLoss",
        "SparseCategoricalCrossentropy",
        "jax.nn.log_softmax",
    ),
    "RMSprop": (
        "keras.optimizers.RMSprop",
        "torch.optim.RMSprop",
        "tf.keras.optimizers.RMSprop",
        None,
    ),
    "gradients": ("model.fit", "loss.backward", "tf.GradientTape", "jax.value_and_grad"),
    "compiled step": (None, None, "@tf.function", "@jax.jit"),
}
DICTIONARY = {what: dict(zip(_NAMED, names, strict=True)) for what, names in _NAMES.items()}


def slides(material: Material) -> list[Slide | Missing]:
    """A slide per framework, and the dictionary of names."""
    results = material.results
    workload = find_workload(_MODEL)
    if _MODEL in results.workloads:
        workload = results.workload(_MODEL)
    names = [
        *(name for name in TITLES if name in SCRIPTS),
        *(name for name in SCRIPTS if name not in TITLES and not _is_retired(name)),
    ]
    return [*(_model(results, workload, name) for name in names), _dictionary()]


def _is_retired(name: str) -> bool:
    return name in BACKENDS and BACKENDS[name].retired is not None


def _model(results: Results, workload: Workload, name: str) -> Slide | Missing:
    key = f"model-{name}"
    try:
        text = script(name, workload)
    except Unsupported as reason:
        return Missing(key, str(reason))
    row = next(
        (
            row
            for row in results.rows(workload.name)
            if row["backend"] == name or row["backend"].startswith(f"{name}-")
        ),
        None,
    )
    framework = _OTHER_TITLES.get(name, name)
    reached = f", {words.percent(row['test_accuracy'])} in {row['backend']}" if row else ""
    return Slide(
        key=key,
        title=f"{workload.title} in {framework}: {len(text.splitlines())} lines",
        parts=tuple(map(Code, columns_of(text))),
        notes=(
            f"The whole script: `bench show {workload.name} --as {name}`."
            + (" The tests run it." if name in TITLES else ""),
            f"Its model in this run: {results.parameters(workload.name):,} weights{reached}."
            if workload.name in results.workloads
            else "This run has no results of it.",
        ),
    )


def columns_of(program: str) -> list[str]:
    """The model and the training step of a script, as two columns of about equal height.

    Args:
        program: a script with functions at its top level.
    """
    lines = program.splitlines()
    parts = []
    previous_end = 0
    for node in ast.parse(program).body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        while start - 1 > previous_end and lines[start - 2].startswith("#"):
            start -= 1
        text = "\n".join(lines[start - 1 : node.end_lineno])
        previous_end = node.end_lineno or 0
        is_shown = isinstance(node, ast.FunctionDef) and node.name not in _LEFT_OUT
        if is_shown or isinstance(node, ast.ClassDef):
            parts.append(text)
    heights = [text.count("\n") + 3 for text in parts]
    first = min(
        range(1, len(parts) + 1),
        key=lambda count: max(sum(heights[:count]), sum(heights[count:])),
        default=0,
    )
    columns = ("\n\n\n".join(part) for part in (parts[:first], parts[first:]) if part)
    return [*columns]


def _dictionary() -> Slide:
    names = [name for name in TITLES if name != "numpy" and name in SCRIPTS]
    rows = tuple(
        (concept, *(f"`{calls[name]}`" if calls[name] else words.ABSENT for name in names))
        for concept, calls in DICTIONARY.items()
    )
    return Slide(
        key="dictionary",
        title="The same thing has other names in other frameworks",
        parts=(Table(("what", *(TITLES[name] for name in names)), rows),),
        text=f"{words.ABSENT}: written by hand, or a switch elsewhere.",
        notes=(
            (
                "The names are those of the generated scripts. PyTorch compiles with torch.compile,"
                " Keras with the argument jit_compile of compile()."
            ),
        ),
    )
