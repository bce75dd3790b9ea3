"""Models in files of Torch7 and Caffe: by a reader of our own, and by OpenCV's."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.exports import caffe, t7
from backends.exports.formats import ENVIRONMENT, FORMATS
from bench.data import cache as data_cache
from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.runner.exports import check_models, write_models
from bench.worker.verification.models import MODELS, small
from specs.loading import find_workload
from specs.model import Dense, Flatten
from tests.support.exports import (
    DIGITS,
    confident_weights,
    every_layer,
    read_caffemodel,
    read_t7,
    write_run,
)

WRITERS = (t7.write, caffe.write)
COURSE = (
    *("softmax", "mlp-sigmoid", "mlp-tanh", "mlp-relu", "cnn", "lenet5", "lenet5-1998"),
    "cnn-expanded",
)


def modules_of(content):
    name, fields = read_t7(content)
    assert name == "nn.Sequential"
    assert [*fields][-1] == "modules"  # OpenCV skips what follows the softmax
    return [fields["modules"][number] for number in range(1, len(fields["modules"]) + 1)]


def test_a_file_of_torch7_begins_as_torch7_writes_it():
    [content] = t7.write(find_workload("softmax"), confident_weights(find_workload("softmax")))
    head = struct.pack("<ii", 4, 1) + b"\3\0\0\0V 1" + b"\r\0\0\0nn.Sequential"
    # A table, the second object, of five fields, of which the first is the text "_type".
    assert content.startswith(head + struct.pack("<iii", 3, 2, 5) + b"\2\0\0\0\5\0\0\0_type")


def test_modules_of_torch7_have_the_weights_in_its_layout():
    workload = every_layer()
    weights = confident_weights(workload)
    modules = modules_of(*t7.write(workload, weights))
    assert [name.removeprefix("nn.") for name, _ in modules] == [
        *("SpatialConvolution", "ReLU", "SpatialBatchNormalization", "SpatialAveragePooling"),
        *("Reshape", "BatchNormalization", *3 * ("Linear", "Tanh"), "Linear", "SoftMax"),
    ]
    convolution, _, normal, pool, reshape, flat_normal, dense = (m[1] for m in modules[:7])
    kernel = weights["0.kernel"]  # (height, width, in, out)
    assert convolution["weight"].shape == (3, 1, 4, 3)  # with a row and a column of zeros in front
    assert convolution["weight"][2, 0, 2, 2] == kernel[1, 1, 0, 2]
    assert [convolution[name] for name in ("dH", "dW", "nInputPlane")] == [2, 1, 1]
    assert (normal["running_var"] == weights["1.variance"]).all()
    assert (pool["kH"], pool["kW"], pool["dH"], pool["dW"], pool["ceil_mode"]) == (3, 5, 3, 5, 0)
    assert normal["eps"] == 3e-3
    # 14x28 pixels are pooled to 4x5 of three channels: row (h, w, c) becomes (c, h, w).
    assert [*reshape["size"]] == [60]
    assert flat_normal["running_mean"][2 * 20 + 3 * 5 + 4] == weights["4.mean"][3 * 15 + 4 * 3 + 2]
    assert dense["weight"][7, 2 * 20 + 3 * 5 + 4] == weights["5.kernel"][3 * 15 + 4 * 3 + 2, 7]
    assert (modules[8][1]["weight"] == weights["6.kernel"].T).all()  # nothing to reorder any more


def test_layers_of_caffe_have_the_weights_in_its_layout():
    workload = every_layer()
    weights = confident_weights(workload)
    text, message = caffe.write(workload, weights)
    layers = read_caffemodel(message)
    assert [name.partition("_")[2] for name in layers] == [
        *("Convolution", "BatchNorm", "Scale", "BatchNorm", "Scale", *4 * ("InnerProduct",)),
    ]
    convolution, normal, scale, _, flat_scale, dense, *_ = layers.values()
    assert convolution[0][2, 0, 2, 2] == weights["0.kernel"][1, 1, 0, 2]
    assert (normal[1] == weights["1.variance"]).all()
    assert [*normal[2]] == [1]
    assert (scale[0] == weights["1.scale"]).all()
    assert (scale[1] == weights["1.shift"]).all()
    assert flat_scale[1][2 * 20 + 3 * 5 + 4] == weights["4.shift"][3 * 15 + 4 * 3 + 2]
    assert dense[0][7, 2 * 20 + 3 * 5 + 4] == weights["5.kernel"][3 * 15 + 4 * 3 + 2, 7]
    lines = text.decode().splitlines()
    assert 'type: "Input" top: "data"' in lines[1]
    assert "dim: 1 dim: 1 dim: 28 dim: 28" in lines[1]
    assert all(f'name: "{name}"' in text.decode() for name in layers)
    assert "stride_h: 2 stride_w: 1" in lines[2]


def test_an_extra_zero_after_the_image_becomes_a_row_of_zeros_in_the_kernel():
    workload = MODELS["batch norm, nesterov"]  # padding "same" on one axis
    weights = confident_weights(workload)
    _, convolution = modules_of(*t7.write(workload, weights))[0]
    kernel = weights["0.kernel"].transpose(3, 2, 0, 1)
    added = [new - old for new, old in zip(convolution["weight"].shape, kernel.shape, strict=True)]
    assert sum(added) == 1
    assert (convolution["weight"][:, :, added[2] :, added[3] :] == kernel).all()
    assert not convolution["weight"][:, :, : added[2], : added[3] or None].any()


def test_caffe_cuts_off_partial_windows_before_a_pool():
    text, _ = caffe.write(every_layer(), confident_weights(every_layer()))
    slices = [line for line in text.decode().splitlines() if '"Slice"' in line]
    assert [line.partition("slice_param")[2][:29] for line in slices] == [
        " { axis: 2 slice_point: 12 } ",
        " { axis: 3 slice_point: 25 } ",
    ]
    assert all("_rest" in line for line in slices)


@pytest.mark.parametrize("write", WRITERS)
def test_dropout_does_nothing_in_a_prediction(write):
    plain = find_workload("mlp-relu")
    workload = replace(find_workload("mlp-relu-dropout"), name=plain.name)
    weights = confident_weights(plain)
    own = dict(zip(confident_weights(workload), weights.values(), strict=True))
    assert write(workload, own) == write(plain, weights)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(write, value):
    weights = confident_weights(find_workload("mlp-relu"))
    weights["3.bias"][7] = value
    with pytest.raises(Unsupported, match="3.bias has values that are not finite"):
        write(find_workload("mlp-relu"), weights)


@pytest.mark.parametrize("write", WRITERS)
def test_weights_of_another_shape_are_refused(write):
    weights = confident_weights(find_workload("mlp-relu"))
    with pytest.raises(Unsupported, match=r"2.kernel has the shape \(200, 100\); found \(100, 200"):
        write(find_workload("mlp-relu"), weights | {"2.kernel": weights["2.kernel"].T})
    with pytest.raises(Unsupported, match="found none"):
        write(find_workload("mlp-relu"), {})


def test_softplus_is_refused_for_torch7_only():
    workload = small("softplus")
    with pytest.raises(Unsupported, match=r"does not know nn\.SoftPlus; --format caffe"):
        t7.write(workload, confident_weights(workload))
    text, _ = caffe.write(workload, confident_weights(workload))
    assert text.count(b'"BNLL"') == 2


def test_more_weights_than_a_message_may_have_are_refused_for_caffe(monkeypatch):
    workload = find_workload("softmax")
    monkeypatch.setattr(caffe, "MOST_BYTES", 7849 * 4)
    with pytest.raises(Unsupported, match=r"7,850 weights: a \.caffemodel has at most 7,849"):
        caffe.write(workload, confident_weights(workload))


def test_the_year_of_torch7_is_that_of_its_facts():
    facts = json.loads((PROJECT / "bench/overview/facts.json").read_text())
    [torch] = [each for each in facts["frameworks"] if each["family"] == "torch7"]
    assert torch["facts"]["state"]["value"].startswith("retired 2018-")
    assert "retired in 2018" in FORMATS["t7"].title


@dataclass
class Check:
    """Writes and checks a model; `change` changes a file's content, `by` are other weights."""

    folder: Path
    places: object

    def __call__(self, workload, form, *, by=None, change=None):
        data = "mnist-5k" if workload.input == DIGITS else "synthetic"
        weights = confident_weights(workload)
        record = write_run(self.folder, workload, weights, dataset=data)
        [model], refused = write_models(self.folder, [record], [form], self.folder / "out")
        assert refused == []
        contents = [file.read_bytes() for file in model.files]
        if by is not None:
            contents = WRITERS[form == "caffe"](workload, by(dict(weights)))
        if change is not None:
            contents = [change(content, weights) for content in contents]
        for file, content in zip(model.files, contents, strict=True):
            file.write_bytes(content)
        environments = Environments()
        assert environments.python(ENVIRONMENT), "type: bench environment create opencv"
        [checked] = check_models([model], environments, this_machine(), self.places)
        return checked


@pytest.fixture
def check(tmp_path, places, monkeypatch):
    made = data_cache.draw_synthetic
    monkeypatch.setattr(
        data_cache, "draw_synthetic", lambda spec: {k: v[:200] for k, v in made(spec).items()}
    )
    return Check(tmp_path, places)


@pytest.mark.framework
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", COURSE)
def test_opencv_predicts_the_course_s_models_as_the_reference(check, form, name):
    checked = check(find_workload(name), form)
    assert checked.problem == ""
    assert checked.passed, checked.found
    assert checked.found.deviation > 0
    assert checked.found.tolerance < 1e-3
    assert all(file.is_file() for file in checked.files)


@pytest.mark.framework
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "workload",
    [
        every_layer(),
        MODELS["batch norm, nesterov"],
        MODELS["batch norm after flatten"],
        *(small(activation) for activation in ("leaky_relu", "elu", "linear")),
    ],
)
def test_opencv_predicts_every_kind_of_layer_as_the_reference(check, form, workload):
    checked = check(workload, form)
    assert checked.passed, (checked.problem, checked.found)


@pytest.mark.framework
def test_opencv_predicts_strides_and_softplus_by_a_file_of_caffe(check):
    checked = check(MODELS["strides, same, adam after"], "caffe")
    assert checked.passed, (checked.problem, checked.found)


def transposed(weights):
    return weights | {"6.kernel": weights["6.kernel"].T}


def swapped(weights):
    return weights | {"6.kernel": weights["7.kernel"], "7.kernel": weights["6.kernel"]}


def one_bias(weights):
    return weights | {"7.bias": weights["7.bias"] + np.float32(1e-2) * (np.arange(9) == 4)}


def running_and_scale(weights):
    return weights | {"1.mean": weights["1.shift"], "1.shift": weights["1.mean"]}


def other_flatten(weights):
    rows = np.moveaxis(weights["5.kernel"].reshape(4, 5, 3, 9), 2, 0).reshape(60, 9)
    return weights | {"5.kernel": rows}


@pytest.mark.framework
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("fault", [transposed, swapped, one_bias, running_and_scale, other_flatten])
def test_wrong_weights_in_a_file_are_found(check, form, fault):
    checked = check(every_layer(), form, by=fault)
    assert checked.passed is False
    assert checked.found.deviation > 10 * checked.found.tolerance
    assert all(file.name.endswith(".wrong") for file in checked.files)
    assert all(file.is_file() for file in checked.files)


def with_nan(content, weights):
    value = weights["8.bias"][3].tobytes()
    return content.replace(value, np.float32(np.nan).tobytes())


def other_epsilon(content, weights):
    return content.replace(b"eps: 0.003", b"eps: 0.001").replace(
        struct.pack("<d", 3e-3), struct.pack("<d", 1e-3)
    )


def other_activation(content, weights):
    return content.replace(b'"TanH"', b'"ELU"').replace(b"\7\0\0\0nn.Tanh", b"\7\0\0\0nn.ReLU")


@pytest.mark.framework
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("fault", [with_nan, other_epsilon, other_activation])
def test_a_wrong_file_is_found(check, form, fault):
    assert check(every_layer(), form, change=fault).passed is False


@pytest.mark.framework
@pytest.mark.parametrize("form", FORMATS)
def test_half_a_file_is_found_and_the_reader_s_own_words_are_told(check, form):
    checked = check(every_layer(), form, change=lambda content, _: content[: len(content) // 2])
    assert checked.passed is False
    assert "OpenCV" in checked.problem


@pytest.mark.framework
@pytest.mark.parametrize("kind", ["SoftPlus", "LeakyReLU"])
def test_what_is_refused_is_what_opencv_does_not_know(check, kind):
    layers = (Flatten(), Dense(units=10, activation="relu"), Dense(units=10, activation="linear"))
    workload = small("relu", layers=layers, input=DIGITS)

    def change(content, weights):
        name = f"nn.{kind}".encode()
        return content.replace(b"\7\0\0\0nn.ReLU", struct.pack("<i", len(name)) + name)

    checked = check(workload, "t7", change=change)
    assert f'of type "{kind}"' in checked.problem
