"""Writes a workload as a script in the style of TensorFlow's quickstart for experts.

It is here and not among TensorFlow's modules because that quickstart uses Keras's layers and
optimizers; the loop and the input pipeline are TensorFlow's own.
"""

from __future__ import annotations

from backends.keras.script import load_lines, model_lines, optimizer_text
from backends.script import END, EXPAND, assemble, data_of
from specs.model import Workload

_CROSS_ENTROPY = """\
loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
"""
_QUADRATIC = "loss_function = tf.keras.losses.MeanSquaredError()\n"
_TRAIN_STEP = """\
@tf.function
def train_step(model, images, labels):
    with tf.GradientTape() as tape:
        loss = loss_function(labels, model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss
"""
_TEST = """\
def test(model, data):
    accuracy = tf.keras.metrics.{metric}()
    for images, labels in data:
        accuracy.update_state(labels, model(images, training=False))
    return accuracy.result()
"""
_MAIN = """\
def main():
    train_data, test_data = load_data()
    model = build_model()
    for epoch in range(EPOCHS):
        for images, labels in train_data:
            loss = train_step(model, images, labels)
        accuracy = test(model, test_data)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.4f}")
"""
_DATASETS = """\
    train_data = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    train_data = train_data.shuffle(len(x_train)).batch(BATCH_SIZE{drop})
    test_data = tf.data.Dataset.from_tensor_slices((x_test, y_test)).batch(BATCH_SIZE)
    return train_data, test_data
"""


def script(workload: Workload) -> str:
    """The workload in TensorFlow: `tf.data`, `tf.GradientTape`, `tf.function`.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    is_expanded = data_of(workload).is_expanded
    quadratic = workload.loss == "mean_squared_error"
    recipe = workload.recipe
    constants = f"BATCH_SIZE = {recipe.batch_size}\nEPOCHS = {recipe.epochs}\n"
    constants += "\n" + (_QUADRATIC if quadratic else _CROSS_ENTROPY)
    constants += optimizer_text(workload, "optimizer = ", "tf.keras", "", 0)
    model = model_lines(workload, "return ", "tf.keras", "tf.keras.layers", softmax=quadratic)
    drop = ", drop_remainder=True" if recipe.last_partial_batch == "drop" else ""
    datasets = _DATASETS.replace("{drop}", drop)
    metric = "CategoricalAccuracy" if quadratic else "SparseCategoricalAccuracy"
    return assemble(
        workload,
        "TensorFlow",
        "tensorflow",
        "\n".join([*(["import numpy as np"] if is_expanded else []), "import tensorflow as tf"]),
        constants,
        EXPAND if is_expanded else "",
        "\n".join(["def load_data():", *load_lines(workload, "tf.keras"), datasets]),
        "\n".join(["def build_model():", *model]),
        _TRAIN_STEP,
        _TEST.replace("{metric}", metric),
        _MAIN,
        END,
    )
