"""What Spark MLlib does unless told.

What Spark lacks is looked for by a part of its name, and must not be found.
"""

from functools import cache, partial

import numpy as np
import pyspark.ml.classification
import pyspark.ml.linalg
from pyspark.ml.classification import MultilayerPerceptronClassifier as Perceptron
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

from backends.spark.defaults import DEFAULTS
from tests.defaults.asking import TAKES, answer, named, word

SIZES, EXAMPLES = (100, 400, 3), 5
ROWS = np.random.RandomState(0).random_sample((EXAMPLES, SIZES[0]))
LABELS = np.arange(EXAMPLES) % SIZES[-1]


@cache
def frame():
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    rows = [(int(label), Vectors.dense(row)) for label, row in zip(LABELS, ROWS, strict=True)]
    return spark.createDataFrame(rows, ["label", "features"]).coalesce(1)


def fitted(weights=None, **options):
    """After one step of gradient descent, which leaves the weights about where they were."""
    data = frame()  # starts Spark, which a classifier needs
    options = {"stepSize": 1e-12, "maxIter": 1, "solver": "gd", "seed": 0, **options}
    if weights is not None:
        options["initialWeights"] = Vectors.dense(weights)
    return Perceptron(layers=list(SIZES), **options).fit(data)


@cache
def drawn():
    """The first layer's part of Spark's initial weights: kernel and bias."""
    inputs, hidden, _ = SIZES
    weights = fitted().weights.toArray()
    return weights[: inputs * hidden], weights[inputs * hidden : (inputs + 1) * hidden]


def kernels():
    found = round(float(abs(drawn()[0]).max()) * SIZES[0] ** 0.5, 2)
    return "uniform, ±2.4 / √in" if found == 2.4 else f"found {found}"


def biases():
    found = abs(drawn()[1]).max() / abs(drawn()[0]).max()
    return "uniform, as the kernel" if 0.95 < found < 1.01 else f"found {found}"


def given_weights():
    """Weights of which only one is not 0: from input 1 to the hidden unit 0, and from 0 to all."""
    inputs, hidden, classes = SIZES
    first, last = np.zeros((inputs, hidden)), np.zeros((hidden, classes))
    first[1, 0], last[0] = 3.0, [1.0, -1.0, 0.0]
    parts = (first.ravel(), np.zeros(hidden), last.ravel(), np.zeros(classes))
    return np.concatenate(parts), first, last


def losses():
    """The loss of each example with the given weights."""
    _, first, last = given_weights()
    logits = 1 / (1 + np.exp(-ROWS @ first)) @ last
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(shares[np.arange(EXAMPLES), LABELS])


def axes():
    found = fitted(given_weights()[0]).summary().objectiveHistory[0]
    return "(in, out)" if np.isclose(found, losses().mean()) else "another"


def batch_loss():
    """With blocks of 3 and 2 examples."""
    found = fitted(given_weights()[0], blockSize=3).summary().objectiveHistory[0]
    expected = np.mean([losses()[:3].mean(), losses()[3:].mean()])
    differs = not np.isclose(expected, losses().mean())
    return "mean of its blocks' means" if np.isclose(found, expected) and differs else "another"


def takes():
    """The loss of an output layer that is given 0.25 and 0.75 for two classes."""
    ann = frame().sparkSession._jvm.org.apache.spark.ml.ann
    jvm = frame().sparkSession._jvm
    matrix = jvm.org.apache.spark.ml.linalg.Matrices
    gateway = frame().sparkSession.sparkContext._gateway

    def column(values):
        array = gateway.new_array(jvm.double, 2)
        array[0], array[1] = values
        return matrix.dense(2, 1, array).asBreeze()

    layer = ann.SoftmaxLayerModelWithCrossEntropyLoss()
    return word(TAKES, layer.loss(column((0.25, 0.75)), column((0.0, 1.0)), column((0.0, 0.0))))


def nowhere(part):
    """None if the classifier and its package have nothing of this name."""
    places = (pyspark.ml.classification, pyspark.ml.linalg, Perceptron)
    found = [name for place in places for name in named(place, part) or []]
    return found or None


ASKED = {
    "kernel initializer": kernels,
    "bias initializer": biases,
    "dense kernel's axes": axes,
    "cross-entropy takes": takes,
    "loss of a batch": batch_loss,
    "sgd's learning rate": lambda: Perceptron().getStepSize(),
    "dtype": lambda: str(fitted().weights.toArray().dtype),
}
# The word to look for, for each setting that Spark does not have.
LACKING = {
    "normal initializers": "normal",
    "range of the uniform initializer": "uniform",
    "image layout": "image",
    "flatten's order": "flatten",
    "convolution kernel's axes": "convolution",
    "extra row of 'same' padding, stride 2": "padding",
    "partial pooling window": "pooling",
    "average pooling over padding": "pooling",
    "relu's derivative at 0": "relu",
    "gradient of max pooling in a tie": "pooling",
    "leaky_relu's slope": "leaky",
    "meaning of dropout's rate": "dropout",
    "dropout's scaling": "dropout",
    "batch norm's epsilon": "batch",
    "batch norm's momentum": "batch",
    "meaning of batch norm's momentum": "batch",
    "batch norm's running variance": "batch",
    "sgd's momentum": "momentum",
    "sgd's nesterov": "nesterov",
    "sgd's velocity": "velocity",
    "batch size": "batch",
    "shuffling": "shuffle",
    "last partial batch": "batch",
    "TF32 in matrix products": "tf32",
    "TF32 in convolutions": "tf32",
    **{
        default.setting: next(
            name for name in ("rms", "adagrad", "adamw", "adadelta", "adam") if name in word_of
        )
        for default in DEFAULTS
        if (word_of := default.setting).find("'s ") > 0
        and any(name in word_of for name in ("rmsprop", "adagrad", "adam", "adadelta"))
    },
}
QUESTIONS = {**ASKED, **{name: partial(nowhere, part) for name, part in LACKING.items()}}
UNASKED = {
    "loss of an epoch": "an epoch of gradient descent is one step",
    "compiler": "Spark MLlib has none",
    "determinism": "takes more than two threads",
    "autotuning of GPU kernels": "takes a GPU",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
