"""The oracle itself is tested.

Gradients are compared with finite differences, optimizers with two steps computed by hand.
"""

from __future__ import annotations

import numpy as np
import pytest

from backends.contract import Unsupported
from backends.formulas import Updates
from backends.reference.functions import loss_and_gradient
from backends.reference.layers import build_layers
from backends.reference.oracle import Reference
from backends.reference.updates import build_update
from bench.worker.verification.models import MODELS, small
from specs.initial import dropout_masks
from specs.model import Adadelta, Adagrad, Adam, AdamW, RmsProp, Sgd
from tests.support.jobs import make_job

CE = "softmax_cross_entropy"
GRADIENTS = {
    **{
        activation: small(activation)
        for activation in ("linear", "relu", "leaky_relu", "elu", "softplus", "sigmoid", "tanh")
    },
    "quadratic": small("tanh", loss="mean_squared_error"),
    "batch norm, strides, same, average pool": MODELS["batch norm, nesterov"],
    "strides, same both ways": MODELS["strides, same, adam after"],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_gradient_agrees_with_finite_differences(name):
    random = np.random.RandomState(1)
    workload = GRADIENTS[name]
    layers = build_layers(workload)
    for layer in layers:
        for key, value in layer.weights.items():
            layer.weights[key] = random.normal(size=value.shape) * 0.5
    images, labels = random.random_sample((3, 7, 6, 2)), np.array([0, 2, 3])
    masks = dropout_masks(workload, 0, 0, 3)

    def loss():
        x = images
        for layer in layers:
            x = layer.forward(x, masks[0] if layer.drops else None, training=True)
        return loss_and_gradient(workload.loss, x, labels)

    gradient = loss()[1]
    for layer in reversed(layers):
        gradient = layer.backward(gradient)
    arrays = {
        f"{n}.{key}": layer.weights[key] for n, layer in enumerate(layers) for key in layer.weights
    }
    gradients = {
        f"{n}.{key}": layer.gradients[key]
        for n, layer in enumerate(layers)
        for key in layer.weights
    }
    arrays["images"], gradients["images"] = images, gradient
    step = 1e-6  # the central difference is then right to about 1e-10 of values of size 1
    for key, value in arrays.items():
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + step
            above = loss()[0]
            value[index] = kept - step
            below = loss()[0]
            value[index] = kept
            assert gradients[key][index] == pytest.approx((above - below) / (2 * step), abs=1e-8), (
                key,
                index,
            )


def test_the_first_maximum_of_a_window_takes_the_gradient():
    layer = build_layers(small("relu"))[1]
    x = np.zeros((1, 6, 4, 3))
    layer.forward(x, None, training=False)
    gradient = layer.backward(np.ones((1, 3, 1, 3)))
    assert gradient[0, :, :, 0].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]] * 3


def test_same_puts_the_odd_zero_at_the_end_and_strides_start_at_the_corner():
    """TensorFlow's documented rule, computed by hand.

    An image 6 wide with kernel 3 and stride 2 gets one zero, after the last pixel.
    """
    layer = build_layers(MODELS["strides, same, adam after"])[0]
    assert layer.padding == [(0, 0), (1, 1), (0, 1), (0, 0)]  # 7 high: (4 - 1) 2 + 3 - 7 = 2 zeros
    layer.weights["kernel"] = np.zeros((3, 3, 2, 4))
    layer.weights["kernel"][0, 0, 0] = 1.0  # what stands at each window's first corner
    x = np.zeros((1, 7, 6, 2))
    x[0, :, :, 0] = 1 + np.arange(42).reshape(7, 6)
    assert layer.forward(x, None, training=True)[0, :, :, 0].tolist() == [
        [0, 0, 0],
        [7, 9, 11],
        [19, 21, 23],
        [31, 33, 35],
    ]


def test_an_average_excludes_what_does_not_fill_a_window():
    layer = build_layers(MODELS["batch norm, nesterov"])[2]
    x = np.arange(24.0).reshape(1, 4, 6, 1).repeat(3, axis=3)
    assert layer.forward(x, None, training=True)[0, :, :, 0].tolist() == [
        [3.5, 5.5, 7.5],
        [15.5, 17.5, 19.5],
    ]


def test_batch_norm_keeps_a_biased_running_variance_and_predicts_with_it():
    layer = build_layers(MODELS["batch norm, nesterov"])[5]
    layer.state = {"mean": np.zeros(5), "variance": np.ones(5)}
    layer.weights = {"scale": np.ones(5), "shift": np.zeros(5)}
    x = np.array([[1.0], [3.0]]).repeat(5, axis=1)
    normal = layer.forward(x, None, training=True)
    assert normal[:, 0] == pytest.approx([-1 / np.sqrt(1.003), 1 / np.sqrt(1.003)])
    assert layer.state["mean"][0] == pytest.approx(0.4)  # 0.8 of 0 and 0.2 of 2
    # 0.8 of 1 and 0.2 of 1; with n - 1 it would be 0.2 of 2.
    assert layer.state["variance"][0] == pytest.approx(1.0)
    assert layer.forward(x, None, training=False)[0, 0] == pytest.approx(0.6 / np.sqrt(1.003))


def test_the_quadratic_cost_of_equal_logits_is_worked_by_hand():
    loss, gradient = loss_and_gradient("mean_squared_error", np.zeros((3, 2)), np.array([0, 1, 1]))
    assert loss == pytest.approx(0.25)
    # d/dz_0 of ((p_0 - 1)^2 + p_1^2) / 2 / 3 at p = 1/2: p_0' = 1/4, p_1' = -1/4
    assert gradient[0].tolist() == pytest.approx([-0.5 * 0.25 * 2 / 3, 0.5 * 0.25 * 2 / 3])


def test_cross_entropy_of_equal_logits_is_the_log_of_the_classes_and_huge_logits_do_not_overflow():
    assert loss_and_gradient(CE, np.zeros((2, 10)), np.array([3, 4]))[0] == pytest.approx(
        np.log(10)
    )
    loss, gradient = loss_and_gradient(CE, np.array([[1e4, 0.0]]), np.array([1]))
    assert loss == pytest.approx(1e4)
    assert np.isfinite(gradient).all()


# Two steps from w = 1 with gradients 2 and -1, worked by hand with a pocket calculator's square
# roots.
BY_HAND = {
    # v: -0.2, then -0.1 + 0.1 = 0
    "sgd": (Sgd(learning_rate=0.1, momentum=0.5, nesterov=False), [0.8, 0.8]),
    # v as above; w: 1 - 0.1 - 0.2, then 0.7 + 0 + 0.1
    "nesterov": (Sgd(learning_rate=0.1, momentum=0.5, nesterov=True), [0.7, 0.8]),
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
    # v: 0.5 + 4 = 4.5, then 5.5; roots of 5 and 6
    "adagrad, inside": (
        Adagrad(
            learning_rate=0.1, initial_accumulator=0.5, epsilon=0.5, epsilon_form="inside_root"
        ),
        [1 - 0.2 / 2.23606798, 1 - 0.2 / 2.23606798 + 0.1 / 2.44948974],
    ),
    # roots of 4.5 and 5.5, each plus 0.5
    "adagrad, outside": (
        Adagrad(
            learning_rate=0.1, initial_accumulator=0.5, epsilon=0.5, epsilon_form="outside_root"
        ),
        [1 - 0.2 / 2.62132034, 1 - 0.2 / 2.62132034 + 0.1 / 2.84520788],
    ),
    # m: 1.5, then -0.375; v: 1, then 1; corrected M: 2, then -0.4; V: 4, then 1 / 0.4375, of root
    # 1.51185789
    "adam, after": (
        Adam(
            learning_rate=0.1,
            beta_1=0.25,
            beta_2=0.75,
            epsilon=0.5,
            epsilon_form="after_correction",
        ),
        [1 - 0.1 * 2 / 2.5, 1 - 0.1 * 2 / 2.5 + 0.1 * 0.4 / 2.01185789],
    ),
    # factors: 0.5 / 0.75, then 0.66143783 / 0.9375; roots of v: 1, each plus 0.5
    "adam, before": (
        Adam(
            learning_rate=0.1,
            beta_1=0.25,
            beta_2=0.75,
            epsilon=0.5,
            epsilon_form="before_correction",
        ),
        [1 - 0.1 * 0.66666667, 1 - 0.1 * 0.66666667 + 0.1 * 0.70553368 * 0.25],
    ),
    # 0.1 * 0.2 of w comes off first: 0.98 - 0.08, then 0.9 * 0.98 + 0.01988212
    "adamw, after": (
        AdamW(
            learning_rate=0.1,
            beta_1=0.25,
            beta_2=0.75,
            epsilon=0.5,
            epsilon_form="after_correction",
            weight_decay=0.2,
        ),
        [0.9, 0.90188212],
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
    # Eight digits by hand.
    assert [float(first), float(second)] == pytest.approx(expected, abs=1e-7)


# Besides those: no average at all, which no logarithm of its share may trip over.
WITHOUT_AVERAGES = Adam(
    learning_rate=0.1, beta_1=0.0, beta_2=0.0, epsilon=0.5, epsilon_form="after_correction"
)


@pytest.mark.parametrize(
    "spec", [*(spec for spec, _ in BY_HAND.values()), WITHOUT_AVERAGES], ids=repr
)
def test_optimizer_agrees_with_a_second_way_to_write_it(spec):
    """The formulas of plain JAX and TensorFlow, in NumPy, give the same over 50 steps."""
    random, update = np.random.RandomState(0), build_update(spec)
    second = Updates(spec=spec, sqrt=np.sqrt, expm1=np.expm1)
    expected = found = random.normal(size=(3, 2))
    slots = tuple(np.full((3, 2), value) for value in second.initial_slots())
    for step in range(1, 51):
        gradient = random.normal(size=(3, 2))
        expected = update("w", expected, gradient)
        found, slots = second.apply(float(step), found, gradient, slots)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12), step


def test_dropout_is_off_in_prediction_and_fresh_in_training():
    job = make_job(small("relu"))
    reference = Reference(job)
    images = np.random.RandomState(0).random_sample((40, 7, 6, 2)).astype(np.float32)
    weights = {
        name: np.full(value.shape, 0.1, np.float32)
        for name, value in reference.get_weights().items()
    }
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
