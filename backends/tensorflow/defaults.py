"""TensorFlow's defaults, and what its adapter sets, for the settings in `backends.defaults`.

`DEVICE` also holds for Keras on TensorFlow.
"""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ON, ORDER, PASSED, SET, Default

DEVICE = (
    Default("TF32 in matrix products", ON, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, SET),
    Default("autotuning of GPU kernels", ON, KEPT),
    Default("GPU memory allocation", "all at the start", "as needed (environment variable)"),
    Default("CPU threads", "chosen by TensorFlow", SET),
)

# `tf.optimizers` and `tf.initializers` belong to Keras. Those of TensorFlow 1, in tf.compat.v1, do
# not count.
DEFAULTS = (
    *(
        Default(name, "only in Keras", NUMPY)
        for name in (
            "kernel initializer",
            "bias initializer",
            "normal initializers",
            "range of the uniform initializer",
        )
    ),
    Default("dense kernel's axes", None, "(in, out), in x @ kernel"),
    Default("convolution kernel's axes", "(height, width, in, out)", KEPT),
    Default("image layout", "channels last", KEPT),
    Default("flatten's order", None, "the order of the array"),
    Default("extra row of 'same' padding, stride 2", "after the image", KEPT),
    Default("partial pooling window", "required argument", "dropped (VALID is passed)"),
    Default("average pooling over padding", "ignores padding zeros", "no padding is used"),
    *common.LAYERS_KEPT,
    Default("leaky_relu's slope", 0.2, PASSED),
    Default("batch norm's epsilon", "required argument", PASSED),
    Default("batch norm's momentum", None, IMPLEMENTED),
    Default("meaning of batch norm's momentum", None, IMPLEMENTED),
    Default(
        "batch norm's running variance",
        "biased (n)",
        "averaged by the kernel of batch norm, then corrected; implemented here with XLA",
    ),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "one loss per example", "mean implemented here"),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    *(
        Default(name, "only in Keras", "TensorFlow's kernel, or implemented here")
        for name in common.OPTIMIZERS
    ),
    Default("batch size", "required argument", "no tf.data; rows are gathered in the loop"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"tensorflow": DEFAULTS}
