"""What Caffe does unless told.

It runs in Caffe's own, old Python.
"""

import tempfile
from functools import partial
from pathlib import Path

import caffe
import numpy as np
from caffe import layers, params
from caffe.proto import caffe_pb2
from PIL import Image

from tests.defaults.asking import (
    AVERAGED,
    COASTED,
    CORRECTED,
    DECAYED,
    PADDED,
    PLACES,
    REST,
    SCALED,
    TAKES,
    TIES,
    VARIANCE,
    answer,
    axes,
    cut,
    flattened,
    reduced,
    share,
    word,
)


def made(make, text, *rest):
    """What Caffe makes of a text, which it reads from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text")
        path.write_text(str(text))
        return make(str(path), *rest)


def net_of(layer, *inputs, **options):
    """A net of one layer; each input is an array, and has a gradient if `slopes` is given."""
    spec, slopes = caffe.NetSpec(), options.pop("slopes", False)
    bottoms = []
    for position, values in enumerate(inputs):
        name = f"input_{position}"
        spec[name] = layers.Input(shape={"dim": list(values.shape)})
        bottoms.append(spec[name])
    spec.result = layer(*bottoms, **options)
    proto = spec.to_proto()
    proto.force_backward = slopes
    net = made(caffe.Net, proto, caffe.TRAIN)
    for position, values in enumerate(inputs):
        net.blobs[f"input_{position}"].data[...] = values
    net.forward()
    return net


def result(layer, *inputs, **options):
    return net_of(layer, *inputs, **options).blobs["result"].data


def slope(layer, values, **options):
    net = net_of(layer, values, slopes=True, **options)
    net.blobs["result"].diff[...] = 1
    net.backward()
    return net.blobs["input_0"].diff


def weights(layer, shape, **options):
    return net_of(layer, np.ones(shape), **options).params["result"]


def fill(position):
    """The initial values of a convolution's kernel or bias."""
    blob = weights(layers.Convolution, (1, 4, 7, 8), num_output=5, kernel_size=3)[position]
    return "zeros" if not blob.data.any() else "others"


def filled(kind, **options):
    """The values of a kernel that a filler draws."""
    filler = dict(type=kind, **options)
    made_of = weights(layers.InnerProduct, (1, 300), num_output=300, weight_filler=filler)
    return made_of[0].data


def uniform():
    filler = caffe_pb2.FillerParameter()
    drawn = filled("uniform")
    assert filler.min <= drawn.min() < 0.01
    assert 0.99 < drawn.max() <= filler.max
    return f"{filler.min} to {filler.max}"


def layout():
    shape = result(layers.Convolution, np.ones((1, 4, 7, 8)), num_output=5, kernel_size=3).shape
    return {1: "channels first", 3: "channels last"}[shape.index(5)]


def pooled(kind, size, **options):
    kind = getattr(params.Pooling, kind)
    return result(layers.Pooling, np.ones((1, 1, size, size)), pool=kind, kernel_size=2, **options)


def tie():
    kind = params.Pooling.MAX
    return slope(layers.Pooling, np.ones((1, 1, 2, 2)), pool=kind, kernel_size=2)


def dropped():
    return result(layers.Dropout, np.ones((1, 100000)), dropout_ratio=0.2)


def normed(blob, fraction):
    """A running value of batch norm after a batch of 0 and 2; None if it does not change."""
    batch = np.array([[0.0], [2.0]])
    net = net_of(layers.BatchNorm, batch, moving_average_fraction=fraction)
    found = [values.data.copy() for values in net.params["result"]]
    return found[blob] / found[2] if found[2].any() else None


def averaged(blob, fraction, words):
    found = normed(blob, fraction)
    return None if found is None else word(words, found)


def default(message, field):
    """The default of a number, with the digits of its type."""
    value = getattr(getattr(caffe_pb2, message)(), field)
    return float(f"{value:.6g}") if isinstance(value, float) else value


def has(message, part):
    """None if no field of a message has this in its name."""
    fields = getattr(caffe_pb2, message).DESCRIPTOR.fields
    return [field.name for field in fields if part in field.name] or None


def loss(times):
    logits = np.array([[0.25, 0.75]]).repeat(times, 0)
    return float(result(layers.SoftmaxWithLoss, logits, np.ones(times)))


def solver(kind, **options):
    """A solver with one weight, which is 1."""
    spec = caffe.NetSpec()
    spec.data = layers.Input(shape={"dim": [1, 1]})
    filler = {"type": "constant", "value": 1}
    spec.dense = layers.InnerProduct(spec.data, num_output=1, bias_term=False, weight_filler=filler)
    text = caffe_pb2.SolverParameter(
        type=kind, lr_policy="fixed", train_net_param=spec.to_proto(), **options
    )
    text.solver_mode = caffe_pb2.SolverParameter.CPU
    return made(caffe.get_solver, text)


def step(kind, gradient=1e-3, **options):
    """How far one step moves the weight."""
    trained = solver(kind, **dict({"base_lr": 1.0}, **options))
    weight = trained.net.params["dense"][0]
    weight.diff[...] = gradient
    trained.apply_update()
    return 1.0 - float(weight.data)


def coast():
    trained = solver("SGD", base_lr=1.0, momentum=0.5)
    weight = trained.net.params["dense"][0]
    for rate, gradient in ((1.0, 1.0), (0.1, 0.0)):
        before, trained.param.base_lr = float(weight.data), rate
        weight.diff[...] = gradient
        trained.apply_update()
    return before - float(weight.data)


def passes():
    """The labels of three images in two batches of two, as the layer for images reads them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "list")
        paths = [Path(folder, f"{label}.png") for label in range(3)]
        for label, path in enumerate(paths):
            Image.fromarray(np.full((4, 4), label, np.uint8)).save(path)
        source.write_text("".join(f"{path} {label}\n" for label, path in enumerate(paths)))
        spec = caffe.NetSpec()
        spec.data, spec.label = layers.ImageData(source=str(source), batch_size=2, ntop=2)
        net = made(caffe.Net, spec.to_proto(), caffe.TRAIN)
        found = [net.forward()["label"].tolist() for _ in range(2)]
        del net  # it reads ahead, and the images must be there
        return found


def last_batch():
    found = passes()
    return {2.0: "kept", 0.0: "filled from the start"}[found[1][1]] if found[1][0] == 2 else found


def is_nesterov():
    return default("SolverParameter", "type") == "Nesterov"


rate = partial(default, "SolverParameter", "base_lr")
delta = partial(default, "SolverParameter", "delta")

QUESTIONS = {
    "kernel initializer": partial(fill, 0),
    "bias initializer": partial(fill, 1),
    "normal initializers": lambda: cut(filled("gaussian")),
    "range of the uniform initializer": uniform,
    "dense kernel's axes": lambda: axes(
        weights(layers.InnerProduct, (1, 4), num_output=5)[0].data.shape
    ),
    "convolution kernel's axes": lambda: axes(
        weights(layers.Convolution, (1, 4, 7, 8), num_output=5, kernel_size=[2, 3])[0].data.shape
    ),
    "image layout": layout,
    "flatten's order": lambda: flattened(
        "channel, height, width",
        result(layers.Flatten, np.arange(24).reshape(1, 2, 3, 4))[0].tolist(),
    ),
    "extra row of 'same' padding, stride 2": partial(has, "ConvolutionParameter", "same"),
    "partial pooling window": lambda: word(REST, pooled("MAX", 5, stride=2).shape[2]),
    "average pooling over padding": lambda: word(PADDED, pooled("AVE", 2, pad=1)[0, 0, 0, 0]),
    "relu's derivative at 0": lambda: float(slope(layers.ReLU, np.zeros((1, 1)))),
    "gradient of max pooling in a tie": lambda: word(TIES, tie()),
    "leaky_relu's slope": partial(default, "ReLUParameter", "negative_slope"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(default, "BatchNormParameter", "eps"),
    "batch norm's momentum": partial(default, "BatchNormParameter", "moving_average_fraction"),
    "meaning of batch norm's momentum": lambda: averaged(0, 0.75, AVERAGED),
    "batch norm's running variance": lambda: averaged(1, 0.0, VARIANCE),
    "cross-entropy takes": lambda: word(TAKES, loss(1)),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "sgd's learning rate": rate,
    "sgd's momentum": partial(default, "SolverParameter", "momentum"),
    "sgd's nesterov": is_nesterov,
    "sgd's velocity": lambda: word(COASTED, coast()),
    "rmsprop's learning rate": rate,
    "rmsprop's rho": partial(default, "SolverParameter", "rms_decay"),
    "rmsprop's epsilon": delta,
    "position of rmsprop's epsilon": lambda: word(
        PLACES, step("RMSProp", rms_decay=0.0, delta=1e-3)
    ),
    "adagrad's learning rate": rate,
    "adagrad's first accumulator": partial(has, "SolverParameter", "accum"),
    "adagrad's epsilon": delta,
    "position of adagrad's epsilon": lambda: word(PLACES, step("AdaGrad", delta=1e-3)),
    "adam's learning rate": rate,
    "adam's epsilon": delta,
    "position of adam's epsilon": lambda: word(
        CORRECTED, step("Adam", momentum=0.5, momentum2=0.5, delta=1e-3)
    ),
    "adam's weight decay": lambda: word(DECAYED, step("Adam", 0.0, base_lr=0.5, weight_decay=0.1)),
    "adamw's weight decay": lambda: None if "AdamWSolver" not in dir(caffe) else "a solver",
    "adadelta's learning rate": rate,
    "adadelta's rho": partial(default, "SolverParameter", "momentum"),
    "adadelta's epsilon": delta,
    "batch size": partial(default, "DataParameter", "batch_size"),
    "shuffling": partial(default, "ImageDataParameter", "shuffle"),
    "last partial batch": last_batch,
    "dtype": lambda: str(result(layers.ReLU, np.ones((1, 1))).dtype),
    "TF32 in matrix products": partial(has, "NetParameter", "tf32"),
    "TF32 in convolutions": partial(has, "ConvolutionParameter", "tf32"),
}
UNASKED = {
    "loss of an epoch": "the loop is the user's",
    "compiler": "Caffe has none",
    "determinism": "Caffe has no setting for it; the verification repeats trainings",
    "autotuning of GPU kernels": "takes a GPU",
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
