"""Where TensorFlow stands on the terms of `backends.terms`: without Keras, and under it."""

from __future__ import annotations

from backends.terms import GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, TERMS, WRITTEN, BackendTerms, Stand

# `tf.optimizers` and `tf.initializers` are Keras's, as `whose` says (TensorFlow 1's, in tf.compat.v1, are left aside).
ASKING = """
import tensorflow as tf
from tensorflow.python.framework import config

def whose(kind):
    return {"keras": "none but Keras's"}[kind.__module__.partition(".")[0]]

def slope(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()

FIRST, ROW = tf.reshape([1.0, 0.0, 0.0], (1, 3, 1, 1)), tf.reshape(tf.range(1.0, 7.0), (1, 1, 6, 1))
ODD_ZERO = tf.nn.conv2d(ROW, FIRST, 2, "SAME")[0, 0, 0, 0]
CONVOLVED = tuple(tf.nn.conv2d(tf.ones((1, 7, 8, 4)), tf.ones((2, 3, 4, 5)), 1, "VALID").shape)
DROPPED = tf.nn.dropout(tf.ones(100_000), 0.2).numpy()
LOSSES = tf.nn.sparse_softmax_cross_entropy_with_logits([1, 1], [[0.25, 0.75]] * 2).numpy()
RANGE = tf.data.Dataset.range(99)
"""

NO_FLAG = "a variable at its start decides it"
DEVICE = (
    Stand("TF32 in matrix products", ON, SET, "tf.config.experimental.tensor_float_32_execution_enabled()"),
    Stand("TF32 in convolutions", ON, SET, "tf.config.experimental.tensor_float_32_execution_enabled()"),
    Stand("determinism", OFF, SET, "config.is_op_determinism_enabled()"),
    Stand("autotuning of GPU kernels", ON, KEPT, unasked=NO_FLAG),
    Stand("GPU memory is taken", "all at once", "as needed: told by a variable", unasked="takes a GPU"),
    Stand(
        "CPU threads",
        "as TensorFlow sees fit",
        SET,
        "{0: 'as TensorFlow sees fit'}[tf.config.threading.get_intra_op_parallelism_threads()]",
    ),
)

_INITIALIZER, _DENSE = "whose(tf.initializers.GlorotUniform)", "named(tf.nn, 'dense')"
_NORM = "given(tf.nn.batch_normalization, 'momentum')"
STANDS = (
    *(
        Stand(name, "none but Keras's", NUMPY, _INITIALIZER)
        for name in (
            "kernel initializer",
            "bias initializer",
            "normal initializers",
            "range of the uniform initializer",
        )
    ),
    Stand("dense kernel's axes", None, "(in, out), in x @ kernel", _DENSE),
    Stand(
        "convolution kernel's axes",
        "(height, width, in, out)",
        KEPT,
        "{(1, 6, 6, 5): '(height, width, in, out)'}[CONVOLVED]",
    ),
    Stand("image layout", "channels last", KEPT, "{(1, 6, 6, 5): 'channels last'}[CONVOLVED]"),
    Stand("flatten's order", None, "the arrays' own", "named(tf.nn, 'flatten')"),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT, "word(ODD, ODD_ZERO)"),
    Stand("rest that fills no pool", "must be given", "dropped: VALID is given", "given(tf.nn.max_pool2d, 'padding')"),
    Stand(
        "average pool over padding",
        "counts no zeros",
        "no padding asked for",
        "word(PADDED, tf.nn.avg_pool2d(tf.ones((1, 3, 3, 1)), 2, 2, 'SAME')[0, 1, 1, 0])",
    ),
    Stand("relu's derivative at 0", 0.0, KEPT, "slope(tf.nn.relu, tf.zeros(1)).item()"),
    Stand(
        "max pool's gradient in a tie",
        "to the first maximum",
        KEPT,
        "word(TIES, slope(lambda x: tf.nn.max_pool2d(x, 2, 2, 'VALID'), tf.ones((1, 2, 2, 1))))",
    ),
    Stand("leaky_relu's slope", 0.2, GIVEN, "given(tf.nn.leaky_relu, 'alpha')"),
    Stand("dropout's number", "share dropped", KEPT, "share(DROPPED)"),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT, "word(SCALED, DROPPED.max())"),
    Stand("batch norm's epsilon", "must be given", GIVEN, "given(tf.nn.batch_normalization, 'variance_epsilon')"),
    Stand("batch norm's momentum", None, WRITTEN, _NORM),
    Stand("batch norm's momentum is", None, WRITTEN, _NORM),
    Stand(
        "batch norm's running variance",
        "biased (n)",
        "averages written out, of tf.nn.moments",
        "word(VARIANCE, tf.nn.moments(tf.constant([0.0, 2.0]), [0])[1])",
    ),
    Stand("cross-entropy takes", "logits", KEPT, "word(TAKES, LOSSES[0])"),
    Stand("loss of a batch", "one loss per example", "mean written out", "reduced(LOSSES, LOSSES[0])"),
    Stand("loss of an epoch", None, "summed, each batch by its size", unasked="the loop is the user's"),
    *(
        Stand(term.name, "none but Keras's", WRITTEN, "whose(tf.optimizers.SGD)")
        for term in TERMS
        if term.subject == "optimizers"
    ),
    Stand("batch size", "must be given", "no tf.data: rows gathered in the loop", "given(RANGE.batch, 'batch_size')"),
    Stand("shuffling", OFF, ORDER, "next(iter(RANGE.batch(99))).numpy().tolist() != [*range(99)]"),
    Stand(
        "last partial batch", "kept", ORDER, "{False: 'kept', True: 'dropped'}[given(RANGE.batch, 'drop_remainder')]"
    ),
    Stand("dtype", "float32", KEPT, "tf.constant(1.0).dtype.name"),
    Stand("compiler", OFF, KEPT, "bool(given(tf.function, 'jit_compile') or tf.config.optimizer.get_jit())"),
    *DEVICE,
)

BACKENDS = {"tensorflow": BackendTerms(asking=ASKING, stands=STANDS)}
