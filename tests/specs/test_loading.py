"""The language of workloads: what it accepts, and its messages about what it does not."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest

from specs.errors import SpecError
from specs.loading import (
    SCHEMA,
    SUITES,
    WORKLOADS,
    find_suite,
    find_workload,
    load_suite,
    load_workload,
    names,
    schema,
)

GOOD = json.loads((WORKLOADS / "cnn.json").read_text())


def changed(path: str, value: object) -> str:
    """The CNN's JSON with one value replaced; `...` removes it."""
    spec = copy.deepcopy(GOOD)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    target = spec
    for key in parents:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return json.dumps(spec)


ADAM = {
    "type": "adam",
    "learning_rate": 0.1,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "epsilon_form": "inside_root",
}


# name: (content, what the message must contain)
BAD = {
    "malformed": ('{"name": "x",\n "layers": [}', ["not JSON", "line 2, column 13"]),
    "empty": ("", ["the file is empty", "expected: one JSON object"]),
    "only spaces": (" \n ", ["the file is empty"]),
    "not an object": ("[]", ["found []", "object"]),
    "text after the end": (json.dumps(GOOD) + "}", ["not JSON", "trailing"]),
    "unknown layer": (
        changed("layers/0/type", "conv3d"),
        ["layers[0].type", '"conv3d"', "max_pool2d", "'conv2d'?"],
    ),
    "unknown key": (
        changed("layers/5/unit", 3),
        ["layers[5]", '"unit"', "only activation, type, units", "'units'?"],
    ),
    "unknown key at the top": (
        changed("optimiser", {}),
        ['unknown key "optimiser"', "'optimizer'?"],
    ),
    "unknown key in the recipe": (changed("recipe/epoch", 3), ["recipe", '"epoch"', "'epochs'?"]),
    "a type that is a list": (
        changed("input/type", []),
        ["input", 'unknown key "type"', "only classes, shape"],
    ),
    "unknown optimizer": (
        changed("optimizer/type", "adadetla"),
        ["optimizer.type", '"adadetla"', "'adadelta'?"],
    ),
    "unknown activation": (
        changed("layers/0/activation", "rleu"),
        ["layers[0].activation", "'relu'?", "sigmoid"],
    ),
    "unknown loss": (
        changed("loss", "hinge"),
        ['"hinge"', "softmax_cross_entropy, mean_squared_error"],
    ),
    "unknown initializer": (
        changed("recipe/initializer", "he_normall"),
        ["recipe.initializer", "'he_normal'?"],
    ),
    "missing padding": (
        changed("layers/0/padding", ...),
        ["layers[0]", "'padding' is missing", "valid, same"],
    ),
    "missing strides": (changed("layers/0/strides", ...), ["layers[0]", "'strides' is missing"]),
    "no stride": (changed("layers/0/strides", [0, 1]), ["layers[0].strides[0]", "0", ">= 1"]),
    "Nesterov without momentum": (
        changed(
            "optimizer", {"type": "sgd", "learning_rate": 0.1, "momentum": 0.0, "nesterov": True}
        ),
        ["optimizer.nesterov: true with momentum 0"],
    ),
    "another optimizer's form of epsilon": (
        changed("optimizer", ADAM),
        ["optimizer.epsilon_form", '"inside_root"', "after_correction, before_correction"],
    ),
    "negative weight decay": (
        changed(
            "optimizer",
            {**ADAM, "type": "adamw", "epsilon_form": "after_correction", "weight_decay": -1},
        ),
        ["optimizer.weight_decay", "-1", ">= 0"],
    ),
    "batch norm that keeps all": (
        changed("layers/3", {"type": "batch_norm", "momentum": 1.0, "epsilon": 1e-3}),
        ["layers[3].momentum", "1.0", "< 1"],
    ),
    "wrong type": (
        changed("layers/0/filters", "32"),
        ["layers[0].filters", '"32"', "a whole number"],
    ),
    "a fraction for a count": (
        changed("recipe/epochs", 1.5),
        ["recipe.epochs", "1.5", "a whole number"],
    ),
    "true for a number": (changed("optimizer/rho", True), ["optimizer.rho", "true", "a number"]),
    "too few numbers": (
        changed("layers/0/kernel_size", [3]),
        ["layers[0].kernel_size", "[3]", "a list of length 2"],
    ),
    "missing key": (changed("recipe/batch_size", ...), ["recipe", "'batch_size' is missing"]),
    "missing constant": (changed("optimizer/epsilon", ...), ["optimizer", "'epsilon' is missing"]),
    "missing activation": (changed("layers/5/activation", ...), ["layers[5]", "missing", "tanh"]),
    "no layers": (changed("layers", []), ["layers", "[]", "length >= 1"]),
    "negative units": (changed("layers/5/units", -3), ["layers[5].units", "-3", ">= 1"]),
    "no units": (changed("layers/5/units", 0), ["layers[5].units", "0", ">= 1"]),
    "huge units": (
        changed("layers/5/units", 10**9),
        ["layers[5].units", "1000000000", "<= 1000000"],
    ),
    "astronomic units": (changed("layers/5/units", 10**40), ["layers[5].units", "a whole number"]),
    "too many parameters": (
        changed("layers/5/units", 900_000),
        ["4,157,109,578", "at most 1,000,000,000"],
    ),
    "rate of one": (changed("layers/3/rate", 1.0), ["layers[3].rate", "1.0", "< 1"]),
    "kernel too large": (changed("layers/0/kernel_size", [29, 3]), ["layers[0]", "29x3", "28x28"]),
    "pool too large": (changed("layers/2/pool_size", [2, 25]), ["layers[2]", "2x25", "24x24"]),
    "dense on an image": (
        changed("layers/4", ...),
        ["layers[4]: dense on an image", '{"type": "flatten"}'],
    ),
    "convolution on a vector": (
        changed("layers/5", GOOD["layers"][0]),
        ["layers[5]", "conv2d on a vector"],
    ),
    "last layer too small": (changed("layers/7/units", 9), ["layers[7]", "(9,)", "units 10"]),
    "softmax in the model": (
        changed("layers/7/activation", "relu"),
        ["layers[7].activation", "logits"],
    ),
    "batch of nothing": (changed("recipe/batch_size", 0), ["recipe.batch_size", "0", ">= 1"]),
    "a name that is a path": (
        changed("name", "../../etc/passwd"),
        ["name", "../../etc/passwd", "lower-case"],
    ),
    "wrong and then broken": ('{"name": 3, ', ["name", "expected: complete JSON"]),
    "wrong and then more": ('{"name": "x", "title": 3} trailing', ["title", "got `int`"]),
    "a number of 5,000 digits": (
        changed("recipe/epochs", 1).replace('"epochs": 1', '"epochs": ' + "9" * 5000),
        ["epochs"],
    ),
    "wrong and then too deep": (
        changed("layers/0/activation", "x").replace(
            '"name"', '"a": ' + "[" * 5000 + "]" * 5000 + ', "name"'
        ),
        ["mine.json"],
    ),
    "not a number": (json.dumps(GOOD).replace("0.95", "NaN"), ["not JSON", "invalid character"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_workload_is_refused_with_file_place_and_hint(case, tmp_path):
    content, parts = BAD[case]
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        load_workload(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


ODD = [
    *(None, True, -1, 1e308, 10**30, "", "x", "\ud800", [], {}, [[]], {"type": []}, {"type": {}}),
    *({"type": "dense"}, {"type": None}, "` - at `$", "` - at `$.layers[...].x", "Invalid"),
]


def places_in(part, above=()):
    """Every place in a JSON document, as keys and indices."""
    yield above
    if isinstance(part, dict | list):
        inner = part.items() if isinstance(part, dict) else enumerate(part)
        for key, value in inner:
            yield from places_in(value, (*above, key))


def odd_specs(good):
    """A document with each odd value in each place, and as each key."""
    for place in places_in(good):
        for odd in ODD:
            spec = target = copy.deepcopy(good)
            for key in place[:-1]:
                target = target[key]
            if not place:
                yield odd
                continue
            target[place[-1]] = odd
            yield spec
            if isinstance(odd, str) and isinstance(target, dict):
                target[odd] = target.pop(place[-1])
                yield spec


@pytest.mark.parametrize(
    ("folder", "good_file", "load"),
    [(WORKLOADS, "softmax.json", load_workload), (SUITES, "quick.json", load_suite)],
)
def test_a_value_of_any_type_in_any_place_is_refused_with_the_file(
    folder, good_file, load, tmp_path
):
    path, messages = tmp_path / "mine.json", []
    good = json.loads((folder / good_file).read_text())
    for spec in odd_specs(good):
        path.write_text(json.dumps(spec))
        try:
            load(path)
        except SpecError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(f"{path}: ") and len(message) < 1500 for message in messages)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_refused(make, tmp_path):
    make(tmp_path / "mine.json")
    with pytest.raises(SpecError, match="cannot be read: not a regular file"):
        load_workload(tmp_path / "mine.json")


def test_text_that_is_not_utf8_is_refused_with_its_place(tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(json.dumps(GOOD).encode("utf-16"))
    with pytest.raises(SpecError, match=r"byte 0 is not UTF-8 text\n  expected: JSON in UTF-8"):
        load_workload(path)


@pytest.mark.parametrize(
    "deep",
    [
        "[" * 100_000,
        '{"layers":' * 100_000,
        '{"name": "x", "title": ' + "[" * 5_000 + "]" * 5_000 + "}",
    ],
)
def test_deeply_nested_json_is_refused(deep, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(deep)
    with pytest.raises(SpecError, match="mine.json"):
        load_workload(path)


def test_a_long_key_with_line_breaks_is_shortened(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"<b>\n\n" * 5000: 1}))
    with pytest.raises(SpecError, match="unknown key") as error:
        load_workload(file)
    assert len(str(error.value)) < 1000


def test_missing_file_is_refused():
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        load_workload(Path("/nowhere/mine.json"))


def test_unknown_workload_is_refused_with_the_nearest_name():
    with pytest.raises(SpecError, match="did you mean 'softmax'"):
        find_workload("sotfmax")


def test_every_packaged_workload_and_suite_loads_and_is_named_as_its_file():
    assert {find_workload(name).name for name in names(WORKLOADS)} == set(names(WORKLOADS))
    for name in names(SUITES):
        suite = find_suite(name)
        assert suite.name == name
        assert {part.workload for part in suite.workloads} <= set(names(WORKLOADS))


def test_schema_file_is_current():
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(schema())), (
        "python -m specs writes it again"
    )
