"""Where PyTorch stands on the terms of `backends.terms`."""

from __future__ import annotations

from backends.terms import FORMS, GIVEN, KEPT, NUMPY, OFF, ON, ORDER, SET, BackendTerms, Stand

TURNED = "left as it is; weights are turned on their way in and out"

# `optim` and the layers are asked by name; `step` is how far one step moves a weight of 1.
ASKING = """
import torch
from torch import nn, optim
from torch.nn import functional
from torch.utils.data import DataLoader

def level(draws, inputs):
    found = draws.abs().max().item() * inputs**0.5, 2 * draws.abs().mean().item() * inputs**0.5
    return word({(1.0, 1.0): "uniform, ±1/√inputs"}, np.round(found, 1))

def slope(function, x):
    x.requires_grad_()
    function(x).sum().backward()
    return x.grad

def step(kind, gradient=1e-3, **options):
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    weight.grad = torch.full_like(weight, gradient)
    kind([weight], **{"lr": 1.0, **options}).step()
    return 1.0 - weight.item()

def coast():
    weight = torch.ones(1, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0, momentum=0.5)
    for rate in (1.0, 0.1):
        before, optimizer.param_groups[0]["lr"] = weight.item(), rate
        weight.grad = torch.full_like(weight, 1.0 if rate == 1.0 else 0.0)
        optimizer.step()
    return before - weight.item()

def odd_zero():
    try:
        nn.Conv2d(1, 1, 3, stride=2, padding="same")
    except ValueError:
        return "refused"

DENSE, CONVOLUTION = nn.Linear(100, 10_000), nn.Conv2d(4, 5, (2, 3))
NORM = nn.BatchNorm1d(1, momentum=0.75)
NORM(torch.tensor([[0.0], [2.0]]))
VARIED = nn.BatchNorm1d(1, momentum=1.0)
VARIED(torch.tensor([[0.0], [2.0]]))
DROPPED = nn.Dropout(0.2)(torch.ones(100_000))
EXAMPLE, LABEL = torch.tensor([[0.25, 0.75]]), torch.tensor([1])
LOSS = functional.cross_entropy(EXAMPLE, LABEL).item()
TWICE = functional.cross_entropy(EXAMPLE.repeat(2, 1), LABEL.repeat(2)).item()
FLAT = nn.Flatten()(torch.arange(24).view(1, 2, 3, 4))[0].tolist()
EDGE = nn.AvgPool2d(2, padding=1)(torch.ones(1, 2, 2))[0, 0, 0]
NORMAL = nn.init.xavier_normal_(torch.empty(1000, 1000)).numpy()
UNIFORM = [str(given(nn.init.uniform_, end)) for end in "ab"]
"""

DEVICE = (
    Stand("TF32 in matrix products", OFF, SET, "torch.get_float32_matmul_precision() != 'highest'"),
    Stand("TF32 in convolutions", ON, SET, "torch.backends.cudnn.allow_tf32"),
    Stand("determinism", OFF, SET, "torch.are_deterministic_algorithms_enabled()"),
    Stand("autotuning of GPU kernels", OFF, SET, "torch.backends.cudnn.benchmark"),
    Stand("GPU memory is taken", "as needed", KEPT, unasked="takes a GPU"),
    Stand("CPU threads", "one per core", SET, unasked="depends on the machine and its variables"),
)

STANDS = (
    Stand("kernel initializer", "uniform, ±1/√inputs", NUMPY, "level(DENSE.weight, 100)"),
    Stand("bias initializer", "uniform, ±1/√inputs", NUMPY, "level(DENSE.bias, 100)"),
    Stand("normal initializers", "not truncated", NUMPY, "cut(NORMAL)"),
    Stand("range of the uniform initializer", "0.0 to 1.0", NUMPY, "' to '.join(UNIFORM)"),
    Stand("dense kernel's axes", "(out, in)", TURNED, "axes(nn.Linear(4, 5).weight.shape)"),
    Stand("convolution kernel's axes", "(out, in, height, width)", TURNED, "axes(CONVOLUTION.weight.shape)"),
    Stand(
        "image layout",
        "channels first",
        "left as it is; images are turned once, when loaded",
        "{5: 'channels first'}[CONVOLUTION(torch.ones(1, 4, 7, 8)).shape[1]]",
    ),
    Stand(
        "flatten's order",
        "channel, height, width",
        "left as it is; the weights that follow are put in that order",
        "{True: 'channel, height, width'}[FLAT == [*range(24)]]",
    ),
    Stand("odd zero of padding same, stride 2", "refused", "a layer of zeros before the convolution", "odd_zero()"),
    Stand("rest that fills no pool", "dropped", KEPT, "word(REST, nn.MaxPool2d(2)(torch.ones(1, 5, 5)).shape[1])"),
    Stand("average pool over padding", "counts the zeros", "no padding asked for", "word(PADDED, EDGE)"),
    Stand("relu's derivative at 0", 0.0, KEPT, "slope(nn.ReLU(), torch.zeros(1)).item()"),
    Stand(
        "max pool's gradient in a tie",
        "to the first maximum",
        KEPT,
        "word(TIES, slope(nn.MaxPool2d(2), torch.ones(1, 2, 2)))",
    ),
    Stand("leaky_relu's slope", 0.01, GIVEN, "given(nn.LeakyReLU, 'negative_slope')"),
    Stand("dropout's number", "share dropped", KEPT, "share(DROPPED)"),
    Stand("dropout's scaling", "of what is kept, by 1 / (1 - rate)", KEPT, "word(SCALED, DROPPED.max())"),
    Stand("batch norm's epsilon", 1e-05, GIVEN, "given(nn.BatchNorm2d, 'eps')"),
    Stand("batch norm's momentum", 0.1, GIVEN, "given(nn.BatchNorm2d, 'momentum')"),
    Stand("batch norm's momentum is", "share taken anew", "given the other share", "word(AVERAGED, NORM.running_mean)"),
    Stand(
        "batch norm's running variance",
        "unbiased (n - 1)",
        "averages written out, of the biased one",
        "word(VARIANCE, VARIED.running_var)",
    ),
    Stand("cross-entropy takes", "logits", KEPT, "word(TAKES, LOSS)"),
    Stand("loss of a batch", "mean over its examples", KEPT, "reduced(TWICE, LOSS)"),
    Stand("loss of an epoch", None, "summed, each batch by its size", unasked="the loop is the user's"),
    Stand("sgd's learning rate", 0.001, GIVEN, "given(optim.SGD, 'lr')"),
    Stand("sgd's momentum", 0, GIVEN, "given(optim.SGD, 'momentum')"),
    Stand("sgd's nesterov", OFF, GIVEN, "given(optim.SGD, 'nesterov')"),
    Stand(
        "sgd's velocity",
        "holds no learning rate",
        "left as it is: equal while the rate is constant",
        "word(COASTED, coast())",
    ),
    Stand("rmsprop's learning rate", 0.01, GIVEN, "given(optim.RMSprop, 'lr')"),
    Stand("rmsprop's rho", 0.99, GIVEN, "given(optim.RMSprop, 'alpha')"),
    Stand("rmsprop's epsilon", 1e-08, GIVEN, "given(optim.RMSprop, 'eps')"),
    Stand(
        "rmsprop's epsilon stands", "outside the root", FORMS, "word(PLACES, step(optim.RMSprop, alpha=0.0, eps=1e-3))"
    ),
    Stand("adagrad's learning rate", 0.01, GIVEN, "given(optim.Adagrad, 'lr')"),
    Stand("adagrad's first accumulator", 0, GIVEN, "given(optim.Adagrad, 'initial_accumulator_value')"),
    Stand("adagrad's epsilon", 1e-10, GIVEN, "given(optim.Adagrad, 'eps')"),
    Stand("adagrad's epsilon stands", "outside the root", FORMS, "word(PLACES, step(optim.Adagrad, eps=1e-3))"),
    Stand("adam's learning rate", 0.001, GIVEN, "given(optim.Adam, 'lr')"),
    Stand("adam's epsilon", 1e-08, GIVEN, "given(optim.Adam, 'eps')"),
    Stand(
        "adam's epsilon comes",
        "after the correction",
        FORMS,
        "word(FORMS, step(optim.Adam, betas=(0.5, 0.5), eps=1e-3))",
    ),
    Stand(
        "adam's weight decay",
        "added to the gradient",
        "AdamW's, which is apart; for adam given 0",
        "word(DECAYED, step(optim.Adam, 0.0, lr=0.5, weight_decay=0.1))",
    ),
    Stand("adamw's weight decay", 0.01, GIVEN, "given(optim.AdamW, 'weight_decay')"),
    Stand("adadelta's learning rate", 1.0, GIVEN, "given(optim.Adadelta, 'lr')"),
    Stand("adadelta's rho", 0.9, GIVEN, "given(optim.Adadelta, 'rho')"),
    Stand("adadelta's epsilon", 1e-06, GIVEN, "given(optim.Adadelta, 'eps')"),
    Stand("batch size", 1, "no DataLoader: rows gathered on the device", "given(DataLoader, 'batch_size')"),
    Stand("shuffling", OFF, ORDER, "next(iter(DataLoader(range(99), 99))).tolist() != [*range(99)]"),
    Stand("last partial batch", "kept", ORDER, "{False: 'kept', True: 'dropped'}[given(DataLoader, 'drop_last')]"),
    Stand("dtype", "float32", KEPT, "str(torch.get_default_dtype()).removeprefix('torch.')"),
    *DEVICE,
)

_EAGER = "nn.Linear(1, 1)._compiled_call_impl is not None"
BACKENDS = {"pytorch": BackendTerms(asking=ASKING, stands=(*STANDS, Stand("compiler", OFF, KEPT, _EAGER)))}
