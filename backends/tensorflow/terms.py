"""TensorFlow's defaults, and what its adapter sets, for the terms of `backends.terms`.

Keras on TensorFlow has `DEVICE` in common with plain TensorFlow.
"""

from __future__ import annotations

from backends.terms import GIVEN, KEPT, NUMPY, OFF, ON, OPTIMIZERS, ORDER, SET, WRITTEN, Stand

DEVICE = (
    Stand("TF32 in matrix products", ON, SET),
    Stand("TF32 in convolutions", ON, SET),
    Stand("determinism", OFF, SET),
    Stand("autotuning of GPU kernels", ON, KEPT),
    Stand("GPU memory is taken", "all at once", "as needed: told by a variable"),
    Stand("CPU threads", "as TensorFlow sees fit", SET),
)

# `tf.optimizers` and `tf.initializers` are Keras's. Those of TensorFlow 1, in tf.compat.v1, do not
# count here.
STANDS = (
    *(
        Stand(name, "none but Keras's", NUMPY)
        for name in (
            "kernel initializer",
            "bias initializer",
            "normal initializers",
            "range of the uniform initializer",
        )
    ),
    Stand("dense kernel's axes", None, "(in, out), in x @ kernel"),
    Stand("convolution kernel's axes", "(height, width, in, out)", KEPT),
    Stand("image layout", "channels last", KEPT),
    Stand("flatten's order", None, "the arrays' own"),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT),
    Stand("rest that fills no pool", "must be given", "dropped: VALID is given"),
    Stand("average pool over padding", "counts no zeros", "no padding asked for"),
    Stand("relu's derivative at 0", 0.0, KEPT),
    Stand("max pool's gradient in a tie", "to the first maximum", KEPT),
    Stand("leaky_relu's slope", 0.2, GIVEN),
    Stand("dropout's number", "share dropped", KEPT),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT),
    Stand("batch norm's epsilon", "must be given", GIVEN),
    Stand("batch norm's momentum", None, WRITTEN),
    Stand("batch norm's momentum is", None, WRITTEN),
    Stand("batch norm's running variance", "biased (n)", "averages written out, of tf.nn.moments"),
    Stand("cross-entropy takes", "logits", KEPT),
    Stand("loss of a batch", "one loss per example", "mean written out"),
    Stand("loss of an epoch", None, "summed, each batch by its size"),
    *(Stand(name, "none but Keras's", WRITTEN) for name in OPTIMIZERS),
    Stand("batch size", "must be given", "no tf.data: rows gathered in the loop"),
    Stand("shuffling", OFF, ORDER),
    Stand("last partial batch", "kept", ORDER),
    Stand("dtype", "float32", KEPT),
    Stand("compiler", OFF, KEPT),
    *DEVICE,
)

BACKENDS = {"tensorflow": STANDS}
