"""JAX's defaults, and what its adapter sets, for the terms of `backends.defaults`.

Keras on JAX has `DEVICE` in common with plain JAX.
"""

from __future__ import annotations

from backends.defaults import GIVEN, KEPT, NUMPY, OFF, ON, OPTIMIZERS, ORDER, SET, WRITTEN, Default

DEVICE = (
    Default("TF32 in matrix products", ON, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, "on a GPU refused: a flag before JAX starts decides it"),
    Default("autotuning of GPU kernels", ON, KEPT),
    Default("GPU memory is taken", "three quarters at once", "as needed: told by a variable"),
    Default("CPU threads", "one per CPU allowed", "the worker is allowed as many"),
)

DEFAULTS = (
    Default("kernel initializer", None, NUMPY),
    Default("bias initializer", None, NUMPY),
    Default("normal initializers", "truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 0.01", NUMPY),
    Default("dense kernel's axes", None, "(in, out), in x @ kernel"),
    Default("convolution kernel's axes", "(out, in, height, width)", GIVEN),
    Default("image layout", "channels first", GIVEN),
    Default("flatten's order", None, "the arrays' own"),
    Default("extra row of 'same' padding, stride 2", "after the image", KEPT),
    Default("partial pooling window", "dropped", GIVEN),
    Default("average pooling over padding", None, "no padding; sums divided by the window"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.01, GIVEN),
    Default("meaning of dropout's rate", None, WRITTEN),
    Default("dropout's scaling", None, WRITTEN),
    Default("batch norm's epsilon", None, WRITTEN),
    Default("batch norm's momentum", None, WRITTEN),
    Default("meaning of batch norm's momentum", None, WRITTEN),
    Default("batch norm's running variance", None, WRITTEN),
    Default("cross-entropy takes", None, "implemented here, from log_softmax"),
    Default("loss of a batch", None, WRITTEN),
    Default("loss of an epoch", None, "summed, each batch by its size"),
    # jax.example_libraries has optimizers, but says that they are only examples.
    *(Default(name, None, WRITTEN) for name in OPTIMIZERS),
    Default("batch size", None, "a loop over batches of that size"),
    Default("shuffling", None, ORDER),
    Default("last partial batch", None, ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, "on, for an epoch; on a CPU with convolutions for a step"),
    *DEVICE,
)

BACKENDS = {"jax": DEFAULTS}
