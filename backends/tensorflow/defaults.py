"""TensorFlow's defaults, and what its adapter sets, for the terms of `backends.defaults`.

Keras on TensorFlow has `DEVICE` in common with plain TensorFlow.
"""

from __future__ import annotations

from backends.defaults import GIVEN, KEPT, NUMPY, OFF, ON, OPTIMIZERS, ORDER, SET, WRITTEN, Default

DEVICE = (
    Default("TF32 in matrix products", ON, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, SET),
    Default("autotuning of GPU kernels", ON, KEPT),
    Default("GPU memory is taken", "all at once", "as needed: told by a variable"),
    Default("CPU threads", "as TensorFlow sees fit", SET),
)

# `tf.optimizers` and `tf.initializers` are Keras's. Those of TensorFlow 1, in tf.compat.v1, do not
# count here.
DEFAULTS = (
    *(
        Default(name, "none but Keras's", NUMPY)
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
    Default("flatten's order", None, "the arrays' own"),
    Default("extra row of 'same' padding, stride 2", "after the image", KEPT),
    Default("partial pooling window", "must be given", "dropped: VALID is given"),
    Default("average pooling over padding", "counts no zeros", "no padding asked for"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.2, GIVEN),
    Default("meaning of dropout's rate", "fraction dropped", KEPT),
    Default("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Default("batch norm's epsilon", "must be given", GIVEN),
    Default("batch norm's momentum", None, WRITTEN),
    Default("meaning of batch norm's momentum", None, WRITTEN),
    Default(
        "batch norm's running variance",
        "biased (n)",
        "averages implemented here, from tf.nn.moments",
    ),
    Default("cross-entropy takes", "logits", KEPT),
    Default("loss of a batch", "one loss per example", "mean implemented here"),
    Default("loss of an epoch", None, "summed, each batch by its size"),
    *(Default(name, "none but Keras's", WRITTEN) for name in OPTIMIZERS),
    Default("batch size", "must be given", "no tf.data: rows gathered in the loop"),
    Default("shuffling", OFF, ORDER),
    Default("last partial batch", "kept", ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"tensorflow": DEFAULTS}
