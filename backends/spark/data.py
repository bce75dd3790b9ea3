"""Brings examples into Spark: as blocks for gradient descent, and as a data frame.

Arrays go to Java as bytes. Spark's usual `createDataFrame` makes Python objects of all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from msgspec import Struct
from pyspark.mllib.linalg import DenseVector
from pyspark.mllib.regression import LabeledPoint
from pyspark.mllib.util import MLUtils
from pyspark.sql import DataFrame

from backends.contract import Images, Labels
from backends.spark.device import Session

# The most examples in a block: the default `blockSize` of `MultilayerPerceptronClassifier`.
BLOCK = 128
# A task holds its part of the examples until they are stored, and Spark sends no task of more than
# 128 MB.
_TASK_BYTES = 16 * 2**20


class Blocks(Struct, frozen=True):
    """Examples in blocks of equal size.

    Attributes:
        rdd: Java's RDD of pairs (0.0, block). A block is a vector: the pixels of all its examples,
            then all their labels, one-hot.
        size: the number of examples in a block.
        count: the number of blocks.
    """

    rdd: Any
    size: int
    count: int


def blocks_of(session: Session, images: Images, labels: Labels, classes: int) -> Blocks:
    """Blocks of examples, which are sent to Spark with each use until they are stored.

    Spark averages the blocks' gradients without weights. This is the mean over the examples only if
    all blocks have the same size, which is the largest divisor up to `BLOCK`.
    """
    examples = len(labels)
    size = next(size for size in range(min(BLOCK, examples), 0, -1) if examples % size == 0)
    one_hot = np.eye(classes)
    blocks = [
        DenseVector(
            np.concatenate(
                [
                    images[start : start + size].astype(np.float64).ravel(),
                    one_hot[labels[start : start + size]].ravel(),
                ]
            )
        )
        for start in range(0, examples, size)
    ]
    slices = _slices(session, len(blocks), 8 * images.size)
    # Java pairs the vectors with the labels that Spark's RDDs of examples have, and does not use.
    pairs = _java(session, [0.0] * len(blocks), slices).zip(_java(session, blocks, slices))
    return Blocks(pairs, size, len(blocks))


def stored(session: Session, blocks: Blocks) -> Blocks:
    """The blocks, stored in Spark in a part for each thread."""
    blocks.rdd.rdd().localCheckpoint()  # without it every job would send them to its tasks again
    blocks.rdd.count()
    return Blocks(blocks.rdd.coalesce(session.parallelism), blocks.size, blocks.count)


def frame_of(session: Session, images: Images, labels: Labels) -> DataFrame:
    """A data frame with the columns `features`, a vector, and `label`."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    points = [LabeledPoint(float(label), row) for row, label in zip(rows, labels, strict=True)]
    kind = session.jvm.java.lang.Class.forName("org.apache.spark.mllib.regression.LabeledPoint")
    java = _java(session, points, _slices(session, len(points), rows.nbytes))
    frame = DataFrame(session.spark._jsparkSession.createDataFrame(java, kind), session.spark)
    return MLUtils.convertVectorColumnsToML(frame, "features")


def _java(session: Session, values: Sequence[Any], slices: int) -> Any:
    """Java's RDD of the values, which Java reads from Python's pickles."""
    pickled = session.context.parallelize(values, slices)
    return session.jvm.org.apache.spark.mllib.api.python.SerDe.pythonToJava(pickled._jrdd, True)


def _slices(session: Session, values: int, size_bytes: int) -> int:
    return min(values, max(session.parallelism, ceil(size_bytes / _TASK_BYTES)))
