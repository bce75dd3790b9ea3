"""`bench show NAME --as FRAMEWORK`: every script is well formed, or is refused with a reason."""

from __future__ import annotations

import ast
import re

import pytest
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.registry import SCRIPTS
from backends.registry import script as text_of
from specs.loading import find_workload
from tests.support.script_cases import EVERY, MADE_UP, NAMES, made, refused


def test_the_registry_has_a_generator_for_each_of_our_families():
    assert tuple(SCRIPTS) == NAMES


@pytest.mark.parametrize("workload", EVERY)
@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_well_formed_or_refused_with_a_reason(name, workload):
    """The same twice; lines of at most 88; all imports and constants are used; no trace of us."""
    spec = EVERY[workload]
    if reason := refused(name, spec):
        with pytest.raises(Unsupported, match=re.escape(reason)):
            text_of(name, spec)
        return
    text = text_of(name, spec)
    assert text == text_of(name, spec)
    tree = ast.parse(text)
    assert f"`bench show {spec.name} --as {name}`" in ast.get_docstring(tree)
    assert max(map(len, text.splitlines())) <= 88
    assert not re.search(r"[ \t]\n|\n{4}|\{\w*\}\n|\(\)\(", text)
    assert text.endswith('\n\n\nif __name__ == "__main__":\n    main()\n')
    used = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    for defined in defined_by(tree):
        assert defined in used, f"{defined} is not used"
    for word in ("backends", "specs", "framework_bench", "reference", "workload"):
        assert word not in text.split('"""', 2)[2], word


def defined_by(tree: ast.Module) -> list[str]:
    """The names that a module imports or defines at its top level."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
    return found


@pytest.mark.parametrize("name", ["keras", "pytorch", "tensorflow"])
def test_scripts_of_the_frameworks_fit_a_slide(name):
    """Lines with text: some 40 for softmax regression, 60 for the CNN."""
    for workload, most in (("softmax", 50), ("cnn", 60)):
        text = text_of(name, find_workload(workload))
        assert len([line for line in text.splitlines() if line]) <= most


def test_a_title_cannot_end_the_docstring():
    title = 'a """ b \\ c\n' + "long " * 30
    text = text_of("keras", made(title=title))
    assert ast.get_docstring(ast.parse(text)).startswith("a ''' b / c long long")
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize(
    ("name", "form", "comment"),
    [
        ("pytorch", "rmsprop-inside", "PyTorch divides by sqrt(v) + eps."),
        ("pytorch", "adagrad-inside", "PyTorch divides by sqrt(v) + eps."),
        ("pytorch", "adam-before", "PyTorch adds eps after the bias correction."),
        ("pytorch", "adamw-before", "PyTorch adds eps after the bias correction."),
        ("mxnet", "rmsprop-outside", "MXNet divides by sqrt(v + epsilon)."),
        ("mxnet", "adam-after", "MXNet adds epsilon before the bias correction."),
        ("caffe", "rmsprop-inside", "Caffe divides by sqrt(v) + delta."),
        ("caffe", "adagrad-inside", "Caffe divides by sqrt(v) + delta."),
        ("caffe", "adam-after", "Caffe adds delta before the bias correction."),
        *(
            (name, form, comment)
            for name in ("keras", "tensorflow")
            for form, comment in (
                ("rmsprop-outside", "Keras divides by sqrt(v + epsilon)."),
                ("adagrad-outside", "Keras divides by sqrt(v + epsilon)."),
                ("adam-after", "Keras adds epsilon before the bias correction."),
                ("adamw-after", "Keras adds epsilon before the bias correction."),
            )
        ),
    ],
)
def test_a_comment_says_where_an_optimizer_has_another_formula(name, form, comment):
    other = {"inside": "outside", "outside": "inside", "before": "after", "after": "before"}
    kind, _, place = form.partition("-")
    assert comment in text_of(name, MADE_UP[f"softmax-{form}"])
    assert "Specified" not in text_of(name, MADE_UP[f"softmax-{kind}-{other[place]}"])


def test_only_settings_that_differ_from_the_framework_are_written():
    expected = {
        "keras": ("RMSprop()", "Adadelta(learning_rate=1.0)"),
        "tensorflow": ("RMSprop()", "Adadelta(learning_rate=1.0)"),
        "pytorch": (", lr=0.001, alpha=0.9, eps=1e-7)", "Adadelta(model.parameters(), rho=0.95, e"),
    }
    for name, (softmax, cnn) in expected.items():
        assert softmax in text_of(name, find_workload("softmax"))
        assert cnn in text_of(name, find_workload("cnn"))


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_the_script_alone(name, bench):
    workload = {"scikit-learn": "mlp-relu", "spark": "mlp-sigmoid"}.get(name, "cnn")
    code, out, err = bench("show", workload, "--as", name)
    assert (code, err) == (0, "")
    assert out == text_of(name, find_workload(workload))


def test_a_model_that_scikit_learn_cannot_have_is_a_sentence_and_exit_code_2(bench):
    code, out, err = bench("show", "cnn", "--as", "scikit-learn")
    assert (code, out) == (2, "")
    assert err == (
        "bench: no script of 'cnn' for scikit-learn: scikit-learn has dense layers only, and this"
        " model has conv2d, max_pool2d, dropout\n"
    )


def test_a_script_of_scikit_learn_says_what_it_does_otherwise():
    layers = find_workload("mlp-sigmoid").layers
    text = text_of("scikit-learn", find_workload("mlp-sigmoid"))
    assert "Specified is RMSprop. scikit-learn has SGD and Adam, its default." in text
    assert "Specified are weights by glorot_uniform. scikit-learn has draws of its own." in text
    nesterov = replace(MADE_UP["softmax-nesterov"], layers=layers)
    text = text_of("scikit-learn", nesterov)
    assert "learning_rate_init=0.1" in text
    assert "momentum=0.8" in text
    assert "nesterovs_momentum" not in text  # on by default
    after = replace(MADE_UP["softmax-adam-after"], layers=layers)
    assert "adds epsilon before the bias correction" in text_of("scikit-learn", after)
    assert "Specified is RMSprop on batches of 128" in text_of(
        "scikit-learn", find_workload("softmax")
    )


def test_a_script_that_cannot_be_is_a_sentence_and_exit_code_2(bench):
    code, out, err = bench("show", "mlp-wide", "--as", "keras")
    assert (code, out) == (2, "")
    assert err == (
        "bench: no script of 'mlp-wide' for keras: a script trains on a published data set (mnist,"
        " mnist-expanded, fashion-mnist), not on 'synthetic'\n"
    )


def test_images_of_another_shape_are_refused_with_both_shapes():
    spec = made(input={"shape": [8, 8, 1], "classes": 10})
    reason = "the images of 'mnist' have the shape (28, 28, 1) and 10 classes, but the model takes"
    for name in NAMES:
        with pytest.raises(Unsupported, match=re.escape(reason)):
            text_of(name, spec)


def test_an_unknown_framework_gets_a_suggestion(bench):
    code, out, err = bench("show", "cnn", "--as", "pytroch")
    assert (code, out) == (2, "")
    assert "no scripts are written as 'pytroch'" in err
    assert f"expected: one of {', '.join(NAMES)}\n" in err
    assert "hint: did you mean 'pytorch'?" in err
