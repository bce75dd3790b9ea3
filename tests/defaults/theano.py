"""What Theano does unless told; it has functions and some layers, and no optimizers.

What Theano lacks is looked for by a part of its name, and must not be found.
"""

# ruff: noqa: E402 - Theano reads its flags when it is imported

import atexit
import os
import shutil
import tempfile
from functools import partial

# Theano 1.0.5 looks for NumPy's BLAS, at a place that newer versions of NumPy do not have. Its own
# folder of compiled functions may be in use.
FOLDER = tempfile.mkdtemp()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
os.environ["THEANO_FLAGS"] = f"blas.ldflags=,base_compiledir={FOLDER}"

import numpy as np
import theano
import theano.tensor.signal.pool
from theano import tensor
from theano.tensor.nnet import bn
from theano.tensor.nnet.corr import CorrMM

from backends.defaults import OPTIMIZERS
from tests.defaults.asking import (
    AVERAGED,
    ODD,
    REST,
    TAKES,
    TIES,
    VARIANCE,
    answer,
    flattened,
    given,
    named,
    reduced,
    word,
)

POOL = tensor.signal.pool.pool_2d


def images(array):
    return tensor.as_tensor_variable(np.asarray(array, np.float64))


def convolved():
    """The shape of a convolution's output: (1, 5, 6, 6) in one order of the axes only."""
    return tensor.nnet.conv2d(images(np.ones((1, 4, 7, 8))), images(np.ones((5, 4, 2, 3)))).eval()


def layout():
    return {(1, 5, 6, 6): "channels first"}[convolved().shape]


def kernel_axes():
    return {(1, 5, 6, 6): "(out, in, height, width)"}[convolved().shape]


def flat():
    """The order in which 24 numbers lie that are channel, height, width in an image."""
    return images(np.arange(24).reshape(1, 2, 3, 4)).flatten(2).eval()[0].astype(int).tolist()


def odd_zero():
    row, first = np.arange(1.0, 7.0), np.array([1.0, 0.0, 0.0])
    x, kernel = (images(values.reshape(1, 1, 1, -1)) for values in (row, first))
    options = {"border_mode": "half", "subsample": (1, 2), "filter_flip": False}
    return word(ODD, tensor.nnet.conv2d(x, kernel, **options).eval().ravel()[0])


def pools():
    return word(REST, float(POOL(images(np.ones((1, 1, 2, 5))), (2, 2)).eval().shape[-1]))


def average():
    """The mode of an average, which has the one or the other name."""
    modes = {"average_inc_pad", "average_exc_pad"}
    return "required argument" if all(mode in POOL.__doc__ for mode in modes) else "another"


def slope(function, array):
    x = images(array)
    return theano.grad(function(x).sum(), x).eval()


def normalised():
    """The running mean and variance, 0 and 0 before, after the batch 0, 2 with factor 0.25."""
    zero = theano.shared(np.zeros(1))
    x = images([[0.0], [2.0]])
    one = theano.shared(np.ones(1))
    outputs = bn.batch_normalization_train(
        x, one, zero, running_average_factor=0.75, running_mean=zero, running_var=zero
    )
    return [float(output.eval().ravel()[0]) for output in outputs[3:]]


def losses(times):
    outputs = theano.shared(np.array([[0.25, 0.75]] * times))
    labels = theano.shared(np.ones(times, np.int64))
    return tensor.nnet.categorical_crossentropy(outputs, labels).eval()


def compiles():
    return theano.config.optimizer == "o4" and theano.config.linker == "cvm"


def more_deterministic():
    return {"default": False, "more": True}[theano.config.deterministic]


def threads():
    return {False: "convolutions: one"}[CorrMM().openmp]


def gpu(name):
    """The default of a flag for GPUs."""
    flags = {flag.fullname: flag for flag in theano.configparser._config_var_list}
    return flags[name].default


def autotuning():
    fixed = {"small": False}
    return fixed[gpu("dnn.conv.algo_fwd")]


def memory():
    # The share of the memory that is taken at the start; 0 keeps what was freed.
    return {0: "as needed"}[gpu("gpuarray.preallocate")]


def nowhere(part):
    """None if neither Theano nor its modules of layers have anything of this name."""
    places = (theano, tensor, tensor.nnet, tensor.signal)
    return [name for place in places for name in named(place, part) or []] or None


def optimizer(setting):
    """The word "adam" of "adam's epsilon" or of "position of adam's epsilon"."""
    return setting.partition("'")[0].split()[-1]


QUESTIONS = {
    **dict.fromkeys(
        (
            "kernel initializer",
            "bias initializer",
            "normal initializers",
            "range of the uniform initializer",
        ),
        partial(nowhere, "initializer"),
    ),
    "dense kernel's axes": partial(nowhere, "dense"),
    "convolution kernel's axes": kernel_axes,
    "image layout": layout,
    "flatten's order": lambda: flattened("channel, height, width", flat()),
    "extra row of 'same' padding, stride 2": odd_zero,
    "partial pooling window": pools,
    "average pooling over padding": average,
    "relu's derivative at 0": lambda: slope(tensor.nnet.relu, np.zeros(1)).item(),
    "gradient of max pooling in a tie": lambda: word(
        TIES, slope(partial(POOL, ws=(2, 2), ignore_border=True), np.ones((1, 1, 2, 2)))
    ),
    "leaky_relu's slope": partial(given, tensor.nnet.relu, "alpha"),
    "meaning of dropout's rate": partial(nowhere, "dropout"),
    "dropout's scaling": partial(nowhere, "dropout"),
    "batch norm's epsilon": partial(given, bn.batch_normalization_train, "epsilon"),
    "batch norm's momentum": partial(given, bn.batch_normalization_train, "running_average_factor"),
    "meaning of batch norm's momentum": lambda: word(AVERAGED, normalised()[0]),
    "batch norm's running variance": lambda: word(VARIANCE, normalised()[1] / 0.75),
    "cross-entropy takes": lambda: word(TAKES, losses(1)),
    "loss of a batch": lambda: reduced(losses(2), losses(1)),
    **{setting: partial(nowhere, optimizer(setting)) for setting in OPTIMIZERS},
    "batch size": partial(nowhere, "batch_size"),
    "shuffling": partial(nowhere, "loader"),
    "last partial batch": partial(nowhere, "batches"),
    "dtype": lambda: tensor.matrix().dtype,
    "TF32 in matrix products": partial(nowhere, "tf32"),
    "TF32 in convolutions": partial(nowhere, "tf32"),
    "compiler": compiles,
    "determinism": more_deterministic,
    "autotuning of GPU kernels": autotuning,
    "GPU memory allocation": memory,
    "CPU threads": threads,
}
UNASKED = {"loss of an epoch": "the loop is the user's"}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
