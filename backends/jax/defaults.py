"""JAX's defaults, and what its adapter sets, for the settings in `backends.defaults`.

`DEVICE` also holds for Keras on JAX.
"""

from __future__ import annotations

from backends import defaults as common
from backends.defaults import IMPLEMENTED, KEPT, NUMPY, OFF, ON, ORDER, PASSED, SET, Default

DEVICE = (
    Default("TF32 in matrix products", ON, SET),
    Default("TF32 in convolutions", ON, SET),
    Default("determinism", OFF, "refused on a GPU: needs an XLA flag at the start"),
    Default("autotuning of GPU kernels", ON, KEPT),
    Default("GPU memory allocation", "75 % at the start", "as needed (environment variable)"),
    Default("CPU threads", "one per allowed CPU", "set by the worker's CPU affinity"),
)

DEFAULTS = (
    Default("kernel initializer", None, NUMPY),
    Default("bias initializer", None, NUMPY),
    Default("normal initializers", "truncated", NUMPY),
    Default("range of the uniform initializer", "0.0 to 0.01", NUMPY),
    Default("dense kernel's axes", None, "(in, out), in x @ kernel"),
    Default("convolution kernel's axes", "(out, in, height, width)", PASSED),
    Default("image layout", "channels first", PASSED),
    Default("flatten's order", None, "the order of the array"),
    Default("extra row of 'same' padding, stride 2", "after the image", KEPT),
    Default("partial pooling window", "dropped", PASSED),
    Default("average pooling over padding", None, "no padding; sums divided by the window"),
    Default("relu's derivative at 0", 0.0, KEPT),
    Default("gradient of max pooling in a tie", "to the first maximum", KEPT),
    Default("leaky_relu's slope", 0.01, PASSED),
    Default("meaning of dropout's rate", None, IMPLEMENTED),
    Default("dropout's scaling", None, IMPLEMENTED),
    Default("batch norm's epsilon", None, IMPLEMENTED),
    Default("batch norm's momentum", None, IMPLEMENTED),
    Default("meaning of batch norm's momentum", None, IMPLEMENTED),
    Default("batch norm's running variance", None, IMPLEMENTED),
    Default("cross-entropy takes", None, "implemented here, from log_softmax"),
    Default("loss of a batch", None, IMPLEMENTED),
    Default("loss of an epoch", None, "mean of the batches, weighted by size"),
    # The optimizers of jax.example_libraries do not count: they are only examples.
    *(Default(name, None, IMPLEMENTED) for name in common.OPTIMIZERS),
    Default("batch size", None, "a loop over batches of that size"),
    Default("shuffling", None, ORDER),
    Default("last partial batch", None, ORDER),
    Default("dtype", "float32", KEPT),
    Default("compiler", OFF, "on, for an epoch; on a CPU with convolutions for a step"),
    *DEVICE,
)

BACKENDS = {"jax": DEFAULTS}
