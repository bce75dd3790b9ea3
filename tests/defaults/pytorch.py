"""What PyTorch does unless told."""

from functools import partial

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional
from torch.utils.data import DataLoader

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
    given,
    reduced,
    share,
    word,
)


def level(kind):
    inputs = 100
    draws = getattr(nn.Linear(inputs, 10_000), kind).abs()
    found = draws.max().item() * inputs**0.5, 2 * draws.mean().item() * inputs**0.5
    return word({(1.0, 1.0): "uniform, ±1/√inputs"}, np.round(found, 1))


def layout():
    outputs = nn.Conv2d(4, 5, (2, 3))(torch.ones(1, 4, 7, 8))
    return {5: "channels first"}[outputs.shape[1]]


def odd_zero():
    try:
        nn.Conv2d(1, 1, 3, stride=2, padding="same")
    except ValueError:
        return "refused"
    return "accepted"


def slope(function, x):
    x = torch.tensor(x, requires_grad=True)
    function(x).sum().backward()
    return x.grad.numpy()


def uniform():
    return " to ".join(str(given(nn.init.uniform_, end)) for end in "ab")


def edge():
    return nn.AvgPool2d(2, padding=1)(torch.ones(1, 2, 2))[0, 0, 0]


def tie():
    return slope(nn.MaxPool2d(2), np.ones((1, 2, 2), np.float32))


def dropped():
    return nn.Dropout(0.2)(torch.ones(100_000))


def normed(momentum):
    norm = nn.BatchNorm1d(1, momentum=momentum)
    norm(torch.tensor([[0.0], [2.0]]))
    return norm


def loss(times):
    example, label = torch.tensor([[0.25, 0.75]]), torch.tensor([1])
    return functional.cross_entropy(example.repeat(times, 1), label.repeat(times)).item()


def step(kind, gradient=1e-3, **options):
    """How far one step moves a weight."""
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.full_like(weight, gradient)
    kind([weight], **{"lr": 1.0, **options}).step()
    return 1.0 - weight.item()


def coast():
    weight = torch.ones(1, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0, momentum=0.5)
    for rate, gradient in ((1.0, 1.0), (0.1, 0.0)):
        before, optimizer.param_groups[0]["lr"] = weight.item(), rate
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    return before - weight.item()


# Keras on PyTorch has these defaults, too.
DEVICE = {
    "TF32 in matrix products": lambda: torch.get_float32_matmul_precision() != "highest",
    "TF32 in convolutions": lambda: torch.backends.cudnn.allow_tf32,
    "determinism": torch.are_deterministic_algorithms_enabled,
    "autotuning of GPU kernels": lambda: torch.backends.cudnn.benchmark,
}
UNASKED_DEVICE = {
    "GPU memory allocation": "takes a GPU",
    "CPU threads": "depends on the machine and its variables",
}

QUESTIONS = {
    "kernel initializer": lambda: level("weight"),
    "bias initializer": lambda: level("bias"),
    "normal initializers": lambda: cut(nn.init.xavier_normal_(torch.empty(1000, 1000)).numpy()),
    "range of the uniform initializer": uniform,
    "dense kernel's axes": lambda: axes(nn.Linear(4, 5).weight.shape),
    "convolution kernel's axes": lambda: axes(nn.Conv2d(4, 5, (2, 3)).weight.shape),
    "image layout": layout,
    "flatten's order": lambda: flattened(
        "channel, height, width", nn.Flatten()(torch.arange(24).view(1, 2, 3, 4))[0].tolist()
    ),
    "extra row of 'same' padding, stride 2": odd_zero,
    "partial pooling window": lambda: word(REST, nn.MaxPool2d(2)(torch.ones(1, 5, 5)).shape[1]),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: slope(nn.ReLU(), np.zeros(1, np.float32)).item(),
    "gradient of max pooling in a tie": lambda: word(TIES, tie()),
    "leaky_relu's slope": partial(given, nn.LeakyReLU, "negative_slope"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(given, nn.BatchNorm2d, "eps"),
    "batch norm's momentum": partial(given, nn.BatchNorm2d, "momentum"),
    "meaning of batch norm's momentum": lambda: word(AVERAGED, normed(0.75).running_mean),
    "batch norm's running variance": lambda: word(VARIANCE, normed(1.0).running_var),
    "cross-entropy takes": lambda: word(TAKES, loss(1)),
    "loss of a batch": lambda: reduced(loss(2), loss(1)),
    "sgd's learning rate": partial(given, optim.SGD, "lr"),
    "sgd's momentum": partial(given, optim.SGD, "momentum"),
    "sgd's nesterov": partial(given, optim.SGD, "nesterov"),
    "sgd's velocity": lambda: word(COASTED, coast()),
    "rmsprop's learning rate": partial(given, optim.RMSprop, "lr"),
    "rmsprop's rho": partial(given, optim.RMSprop, "alpha"),
    "rmsprop's epsilon": partial(given, optim.RMSprop, "eps"),
    "position of rmsprop's epsilon": lambda: word(PLACES, step(optim.RMSprop, alpha=0.0, eps=1e-3)),
    "adagrad's learning rate": partial(given, optim.Adagrad, "lr"),
    "adagrad's first accumulator": partial(given, optim.Adagrad, "initial_accumulator_value"),
    "adagrad's epsilon": partial(given, optim.Adagrad, "eps"),
    "position of adagrad's epsilon": lambda: word(PLACES, step(optim.Adagrad, eps=1e-3)),
    "adam's learning rate": partial(given, optim.Adam, "lr"),
    "adam's epsilon": partial(given, optim.Adam, "eps"),
    "position of adam's epsilon": lambda: word(
        CORRECTED, step(optim.Adam, betas=(0.5, 0.5), eps=1e-3)
    ),
    "adam's weight decay": lambda: word(DECAYED, step(optim.Adam, 0.0, lr=0.5, weight_decay=0.1)),
    "adamw's weight decay": partial(given, optim.AdamW, "weight_decay"),
    "adadelta's learning rate": partial(given, optim.Adadelta, "lr"),
    "adadelta's rho": partial(given, optim.Adadelta, "rho"),
    "adadelta's epsilon": partial(given, optim.Adadelta, "eps"),
    "batch size": partial(given, DataLoader, "batch_size"),
    "shuffling": lambda: next(iter(DataLoader(range(99), 99))).tolist() != [*range(99)],
    "last partial batch": lambda: {False: "kept", True: "dropped"}[given(DataLoader, "drop_last")],
    "dtype": lambda: str(torch.get_default_dtype()).removeprefix("torch."),
    "compiler": lambda: nn.Linear(1, 1)._compiled_call_impl is not None,
    **DEVICE,
}
UNASKED = {"loss of an epoch": "the loop is the user's", **UNASKED_DEVICE}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
