"""The oracle is itself proven: gradients by finite differences, optimizers by two steps worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from backends.contract import Unsupported
from backends.reference import Reference
from backends.reference_layers import build_layers, cross_entropy
from backends.reference_updates import build_update
from conftest import make_job
from specs.initial import dropout_masks
from specs.model import Adadelta, RmsProp, Sgd
from workloads import small_workload


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "linear"])
def test_every_gradient_agrees_with_finite_differences(activation):
    random = np.random.RandomState(1)
    workload = small_workload(activation)
    layers = build_layers(workload)
    for layer in layers:
        for name, value in layer.weights.items():
            layer.weights[name] = random.normal(size=value.shape) * 0.5
    images, labels = random.random_sample((3, 7, 6, 2)), np.array([0, 2, 3])
    mask = dropout_masks(workload, 0, 0, 3)[0]

    def loss():
        x = images
        for layer in layers:
            x = layer.forward(x, mask if layer.drops else None)
        return cross_entropy(x, labels)

    gradient = loss()[1]
    for layer in reversed(layers):
        gradient = layer.backward(gradient)
    step = 1e-6  # the central difference is then right to about 1e-10 of values of size 1
    checked = 0
    for layer in layers:
        for name, value in layer.weights.items():
            for index in np.ndindex(value.shape):
                kept = value[index]
                value[index] = kept + step
                above = loss()[0]
                value[index] = kept - step
                below = loss()[0]
                value[index] = kept
                assert layer.gradients[name][index] == pytest.approx((above - below) / (2 * step), abs=1e-8)
                checked += 1
    assert checked == 36 + 3 + 9 * 5 + 5 + 20 + 4


def test_input_gradient_agrees_with_finite_differences():
    random = np.random.RandomState(2)
    layers = build_layers(small_workload("tanh"))
    for layer in layers:
        for name, value in layer.weights.items():
            layer.weights[name] = random.normal(size=value.shape) * 0.5
    images, labels = random.random_sample((2, 7, 6, 2)), np.array([1, 3])

    def loss():
        x = images
        for layer in layers:
            x = layer.forward(x, None)
        return cross_entropy(x, labels)

    gradient = loss()[1]
    for layer in reversed(layers):
        gradient = layer.backward(gradient)
    for index in [(0, 0, 0, 0), (1, 3, 2, 1), (0, 6, 5, 1), (1, 5, 4, 0)]:
        kept = images[index]
        images[index] = kept + 1e-6
        above = loss()[0]
        images[index] = kept - 1e-6
        below = loss()[0]
        images[index] = kept
        assert gradient[index] == pytest.approx((above - below) / 2e-6, abs=1e-8)


def test_the_first_maximum_of_a_window_takes_the_gradient():
    layer = build_layers(small_workload("relu"))[1]
    x = np.zeros((1, 6, 4, 3))
    layer.forward(x, None)
    gradient = layer.backward(np.ones((1, 3, 1, 3)))
    assert gradient[0, :, :, 0].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]] * 3


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes_and_huge_logits_do_not_overflow():
    assert cross_entropy(np.zeros((2, 10)), np.array([3, 4]))[0] == pytest.approx(np.log(10))
    loss, gradient = cross_entropy(np.array([[1e4, 0.0]]), np.array([1]))
    assert loss == pytest.approx(1e4)
    assert np.isfinite(gradient).all()


# Two steps from w = 1 with gradients 2 and -1, worked by hand with a pocket calculator's square roots.
BY_HAND = {
    "sgd": (Sgd(learning_rate=0.1, momentum=0.5), [0.8, 0.8]),  # v: -0.2, then -0.1 + 0.1 = 0
    # v: 0.4, then 0.36 + 0.1 = 0.46; roots of 0.5 and 0.56
    "rmsprop, inside": (
        RmsProp(learning_rate=0.1, rho=0.9, epsilon=0.1, epsilon_form="inside_root"),
        [1 - 0.2 / 0.70710678, 1 - 0.2 / 0.70710678 + 0.1 / 0.74833148],
    ),
    # roots of 0.4 and 0.46, each plus 0.1
    "rmsprop, outside": (
        RmsProp(learning_rate=0.1, rho=0.9, epsilon=0.1, epsilon_form="outside_root"),
        [1 - 0.2 / 0.73245553, 1 - 0.2 / 0.73245553 + 0.1 / 0.77823300],
    ),
    # v: 2, then 1.5; d: sqrt(.5/2.5) 2 = 0.89442719; u: 0.4; d: -sqrt(.9/2) = -0.67082039
    "adadelta": (Adadelta(learning_rate=0.5, rho=0.5, epsilon=0.5), [0.55278640, 0.88819660]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_optimizer_agrees_with_two_steps_worked_by_hand(name):
    spec, expected = BY_HAND[name]
    update = build_update(spec)
    first = update("w", np.array(1.0), np.array(2.0))
    second = update("w", first, np.array(-1.0))
    assert [float(first), float(second)] == pytest.approx(expected, abs=1e-7)  # eight digits by hand


def test_dropout_is_off_in_prediction_and_fresh_in_training():
    job = make_job(small_workload("relu"))
    reference = Reference(job)
    images = np.random.RandomState(0).random_sample((40, 7, 6, 2)).astype(np.float32)
    weights = {name: np.full(value.shape, 0.1, np.float32) for name, value in reference.get_weights().items()}
    reference.set_weights(weights)
    assert np.array_equal(reference.predict(images), reference.predict(images))
    first, second = reference._draw(40)[0], reference._draw(40)[0]
    assert not np.array_equal(first, second)
    assert abs(first.mean() - 0.75) < 0.15  # 360 draws: standard error 2.3 points


def test_the_reference_says_what_it_does_not_do():
    with pytest.raises(Unsupported, match="CPU only"):
        Reference(make_job(device="cuda:0"))
    with pytest.raises(Unsupported, match="float64"):
        Reference(make_job(precision="tf32"))
