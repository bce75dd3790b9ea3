"""Reads exported models with OpenCV, and predicts by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from backends.contract import PREDICTION_BATCH, Images
from backends.exports.contract import Probabilities


class OpenCV:
    """A model of OpenCV's module `dnn`, in float32 on the CPU."""

    def __init__(self, files: Sequence[Path], threads: int) -> None:
        cv2.setNumThreads(threads)
        names = [str(file) for file in files]
        if files[0].suffix == ".t7":
            self._net = cv2.dnn.readNetFromTorch(*names)
        else:
            self._net = cv2.dnn.readNetFromCaffe(*names)
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)

    def predict(self, images: Images) -> Probabilities:
        found = []
        for start in range(0, len(images), PREDICTION_BATCH):
            batch = images[start : start + PREDICTION_BATCH]
            self._net.setInput(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
            found.append(self._net.forward().reshape(len(batch), -1).copy())
        return np.concatenate(found)
