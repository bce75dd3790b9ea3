"""JAX's defaults, and what its adapter sets, for the terms of `backends.terms`.

Keras on JAX has `DEVICE` in common with plain JAX.
"""

from __future__ import annotations

from backends.terms import GIVEN, KEPT, NUMPY, OFF, ON, OPTIMIZERS, ORDER, SET, WRITTEN, Stand

DEVICE = (
    Stand("TF32 in matrix products", ON, SET),
    Stand("TF32 in convolutions", ON, SET),
    Stand("determinism", OFF, "on a GPU refused: a flag before JAX starts decides it"),
    Stand("autotuning of GPU kernels", ON, KEPT),
    Stand("GPU memory is taken", "three quarters at once", "as needed: told by a variable"),
    Stand("CPU threads", "one per CPU allowed", "the worker is allowed as many"),
)

STANDS = (
    Stand("kernel initializer", None, NUMPY),
    Stand("bias initializer", None, NUMPY),
    Stand("normal initializers", "truncated", NUMPY),
    Stand("range of the uniform initializer", "0.0 to 0.01", NUMPY),
    Stand("dense kernel's axes", None, "(in, out), in x @ kernel"),
    Stand("convolution kernel's axes", "(out, in, height, width)", GIVEN),
    Stand("image layout", "channels first", GIVEN),
    Stand("flatten's order", None, "the arrays' own"),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT),
    Stand("rest that fills no pool", "dropped", GIVEN),
    Stand("average pool over padding", None, "no padding; sums divided by the window"),
    Stand("relu's derivative at 0", 0.0, KEPT),
    Stand("max pool's gradient in a tie", "to the first maximum", KEPT),
    Stand("leaky_relu's slope", 0.01, GIVEN),
    Stand("dropout's number", None, WRITTEN),
    Stand("dropout's scaling", None, WRITTEN),
    Stand("batch norm's epsilon", None, WRITTEN),
    Stand("batch norm's momentum", None, WRITTEN),
    Stand("batch norm's momentum is", None, WRITTEN),
    Stand("batch norm's running variance", None, WRITTEN),
    Stand("cross-entropy takes", None, "written out, from log_softmax"),
    Stand("loss of a batch", None, WRITTEN),
    Stand("loss of an epoch", None, "summed, each batch by its size"),
    # jax.example_libraries has optimizers, but says that they are only examples.
    *(Stand(name, None, WRITTEN) for name in OPTIMIZERS),
    Stand("batch size", None, "a loop over batches of that size"),
    Stand("shuffling", None, ORDER),
    Stand("last partial batch", None, ORDER),
    Stand("dtype", "float32", KEPT),
    Stand("compiler", OFF, "on, for an epoch; on a CPU with convolutions for a step"),
    *DEVICE,
)

BACKENDS = {"jax": STANDS}
