"""Where JAX stands on the terms of `backends.terms`: plainly, and under Keras."""

from __future__ import annotations

from backends.terms import GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, TERMS, WRITTEN, BackendTerms, Stand

# JAX is functions: what it has no layer, loss or optimizer for is looked for by name, and not found.
ASKING = """
import jax
from jax import lax, nn, numpy as jnp

def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2))

def draws(initializer):
    return np.asarray(initializer(jax.random.key(0), (1000, 1000)))

FIRST, ROW = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3), jnp.arange(1.0, 7.0).reshape(1, 1, 1, 6)
ODD_ZERO = lax.conv_general_dilated(ROW, FIRST, (1, 2), "SAME").ravel()[0]
CONVOLVED = lax.conv_general_dilated(jnp.ones((1, 4, 7, 8)), jnp.ones((5, 4, 2, 3)), (1, 1), "VALID").shape
UNIFORM = draws(nn.initializers.uniform())
"""

NO_FLAG = "XLA tells none of its flags to Python"
_TF32 = "jax.config.jax_default_matmul_precision is None and 'uses tensorfloat32 if available' in lax.Precision.__doc__"
DEVICE = (
    Stand("TF32 in matrix products", ON, SET, _TF32),
    Stand("TF32 in convolutions", ON, SET, _TF32),
    Stand("determinism", OFF, "on a GPU refused: a flag before JAX starts decides it", unasked=NO_FLAG),
    Stand("autotuning of GPU kernels", ON, KEPT, unasked=NO_FLAG),
    Stand("GPU memory is taken", "three quarters at once", "as needed: told by a variable", unasked="takes a GPU"),
    Stand("CPU threads", "one per CPU allowed", "the worker is allowed as many", unasked="depends on the machine"),
)

_DENSE, _NORM = "named(nn, 'dense')", "named(nn, 'batch')"
STANDS = (
    Stand("kernel initializer", None, NUMPY, _DENSE),
    Stand("bias initializer", None, NUMPY, _DENSE),
    Stand("normal initializers", "truncated", NUMPY, "cut(draws(nn.initializers.glorot_normal()))"),
    Stand("range of the uniform initializer", "0.0 to 0.01", NUMPY, "f'{UNIFORM.min():.1f} to {UNIFORM.max():.2f}'"),
    Stand("dense kernel's axes", None, "(in, out), in x @ kernel", _DENSE),
    Stand(
        "convolution kernel's axes",
        "(out, in, height, width)",
        GIVEN,
        "{(1, 5, 6, 6): '(out, in, height, width)'}[CONVOLVED]",
    ),
    Stand("image layout", "channels first", GIVEN, "{(1, 5, 6, 6): 'channels first'}[CONVOLVED]"),
    Stand("flatten's order", None, "the arrays' own", "named(nn, 'flatten')"),
    Stand("odd zero of padding same, stride 2", "after the image", KEPT, "word(ODD, ODD_ZERO)"),
    Stand("rest that fills no pool", "dropped", GIVEN, "word(REST, len(pool(jnp.ones((5, 5)))))"),
    Stand("average pool over padding", None, "no padding; sums divided by the window", "named(lax, 'pool')"),
    Stand("relu's derivative at 0", 0.0, KEPT, "float(jax.grad(nn.relu)(0.0))"),
    Stand(
        "max pool's gradient in a tie",
        "to the first maximum",
        KEPT,
        "word(TIES, jax.grad(lambda x: pool(x).sum())(jnp.ones((2, 2))))",
    ),
    Stand("leaky_relu's slope", 0.01, GIVEN, "given(nn.leaky_relu, 'negative_slope')"),
    Stand("dropout's number", None, WRITTEN, "named(nn, 'dropout')"),
    Stand("dropout's scaling", None, WRITTEN, "named(nn, 'dropout')"),
    Stand("batch norm's epsilon", None, WRITTEN, _NORM),
    Stand("batch norm's momentum", None, WRITTEN, _NORM),
    Stand("batch norm's momentum is", None, WRITTEN, _NORM),
    Stand("batch norm's running variance", None, WRITTEN, _NORM),
    Stand("cross-entropy takes", None, "written out, from log_softmax", "named(nn, 'entropy')"),
    Stand("loss of a batch", None, WRITTEN, "named(nn, 'entropy')"),
    Stand("loss of an epoch", None, "summed, each batch by its size", unasked="the loop is the user's"),
    *(
        Stand(term.name, None, WRITTEN, "named(jax, 'optim')")  # jax.example_libraries says that it is examples
        for term in TERMS
        if term.subject == "optimizers"
    ),
    Stand("batch size", None, "a loop over batches of that size", "named(jax, 'loader')"),
    Stand("shuffling", None, ORDER, "named(jax, 'loader')"),
    Stand("last partial batch", None, ORDER, "named(jax, 'loader')"),
    Stand("dtype", "float32", KEPT, "str(jnp.zeros(1).dtype)"),
    Stand(
        "compiler",
        OFF,
        "on, for an epoch; on a CPU with convolutions for a step",
        unasked="a call asks for it, jax.jit",
    ),
    *DEVICE,
)

BACKENDS = {"jax": BackendTerms(asking=ASKING, stands=STANDS)}
