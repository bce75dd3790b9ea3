"""Describes a job for a child as values of JSON, as the old Python cannot import our records."""

from __future__ import annotations

from typing import Any

import msgspec

from backends.contract import PREDICTION_BATCH, Job
from specs.model import LEAKY_SLOPE, Conv2d
from specs.shapes import LayerShape, infer_shapes, same_padding


def describe(job: Job) -> dict[str, Any]:
    """Everything that a framework needs to build the job's model and to train it.

    The keys:

    - "layers": each layer of the workload with its own keys, and "position", "input", "output"
      (shapes without the batch), "flattened", "parameters" and "state" (canonical name -> shape),
      see `specs.shapes.LayerShape`; a convolution also has "zeros": (before, after) for height and
      width;
    - "loss", "optimizer", "input" (height, width, channels), "classes", "leaky_slope": of the
      workload and its language;
    - "batch_size", "seed", "threads", "device", "precision", "prediction_batch": of the job and of
      the bench.
    """
    workload = job.workload
    return {
        "layers": [_describe_layer(shape) for shape in infer_shapes(workload)],
        "loss": workload.loss,
        "optimizer": msgspec.to_builtins(workload.optimizer),
        "input": list(workload.input.shape),
        "classes": workload.input.classes,
        "leaky_slope": LEAKY_SLOPE,
        "batch_size": job.batch_size,
        "seed": job.seed,
        "threads": job.threads,
        "device": job.device,
        "precision": job.precision,
        "prediction_batch": PREDICTION_BATCH,
    }


def _describe_layer(shape: LayerShape) -> dict[str, Any]:
    described = {
        **msgspec.to_builtins(shape.layer),
        "position": shape.position,
        "input": shape.input,
        "output": shape.output,
        "parameters": shape.parameters,
        "state": shape.state,
        "flattened": shape.flattened,
    }
    layer = shape.layer
    if isinstance(layer, Conv2d):
        sizes = zip(shape.input[:2], layer.kernel_size, layer.strides, strict=True)
        same = layer.padding == "same"
        described["zeros"] = [same_padding(*size) if same else (0, 0) for size in sizes]
    return described
