"""Writes a workload as a script in the style of Spark MLlib's guide."""

from __future__ import annotations

from backends.script import END, READER_IMPORTS, assemble, data_of, wrapped
from backends.spark.structure import sizes_of
from specs.model import Workload

_METHODS = {"rmsprop": "RMSprop", "sgd": "SGD", "adamw": "AdamW"}
_FRAME = """\
def load_frame(spark, part):
    images, labels = load_data(part)
    rows = zip(labels.tolist(), map(Vectors.dense, images))
    path = f"data/{archive}/{part}.parquet"
    frame = spark.createDataFrame(rows, ["label", "features"])
    frame.write.mode("overwrite").parquet(path)
    return spark.read.parquet(path).cache()
"""
_MAIN = """\
def main():
    spark = SparkSession.builder.config("spark.driver.memory", "4g").getOrCreate()
    model = build_model().fit(load_frame(spark, "train"))
    predictions = model.transform(load_frame(spark, "t10k"))
    accuracy = MulticlassClassificationEvaluator(metricName="accuracy")
    print(f"test accuracy {accuracy.evaluate(predictions):.4f}")
    spark.stop()
"""


def script(workload: Workload) -> str:
    """The workload in Spark: `fit` of a `LogisticRegression` or a perceptron, by L-BFGS.

    Raises:
        Unsupported: a script cannot have the workload's data, or Spark not its model.
    """
    data, sizes = data_of(workload), sizes_of(workload)
    name = "LogisticRegression" if len(sizes) == 2 else "MultilayerPerceptronClassifier"  # noqa: PLR2004 - input and classes
    imports = [
        *READER_IMPORTS,
        "",
        "import numpy as np",
        f"from pyspark.ml.classification import {name}",
        "from pyspark.ml.evaluation import MulticlassClassificationEvaluator",
        "from pyspark.ml.linalg import Vectors",
        "from pyspark.sql import SparkSession",
    ]
    constants = [f"EPOCHS = {workload.recipe.epochs}", f'URL = "{data.address}"']
    return assemble(
        workload,
        "Spark MLlib",
        "spark",
        "\n".join(imports),
        "\n".join(constants),
        *data.reader(flat=True),
        _FRAME.replace("{archive}", data.archive),
        _model(workload, name, sizes),
        _MAIN,
        END,
    )


def _model(workload: Workload, name: str, sizes: tuple[int, ...]) -> str:
    """The function that builds the estimator."""
    tag = str(workload.optimizer.__struct_config__.tag)
    method = _METHODS.get(tag, tag.title())
    items = ["maxIter=EPOCHS"]
    if name != "LogisticRegression":
        items = [f"layers={list(sizes)}", *items]
    return "\n".join(
        [
            "def build_model():",
            f"    # Specified is {method} on batches of {workload.recipe.batch_size}.",
            "    # Spark minimises by L-BFGS over all examples, from weights of its own.",
            wrapped(f"return {name}(", items, ")", 4),
        ]
    )
