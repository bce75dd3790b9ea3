"""Writes a workload as a script in the style of PyTorch's quickstart."""

from __future__ import annotations

from backends.pytorch.defaults import DEFAULTS
from backends.script import (
    END,
    assemble,
    data_of,
    kinds,
    listed,
    number,
    padding_of,
    pair,
    settings_to_pass,
    wrapped,
)
from specs.model import (
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Optimizer,
    RmsProp,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

_ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU()",  # PyTorch's own slope is the one of `specs.model`
    "elu": "nn.ELU()",
    "softplus": "nn.Softplus()",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
}
_INITIALIZERS = {
    "glorot_uniform": "xavier_uniform_(layer.weight)",
    "glorot_normal": "xavier_normal_(layer.weight)",
    "he_uniform": "kaiming_uniform_(layer.weight)",
    "he_normal": "kaiming_normal_(layer.weight)",
    "lecun_normal": 'kaiming_normal_(layer.weight, nonlinearity="linear")',
    "uniform": "uniform_(layer.weight, -0.05, 0.05)",
    "zeros": "zeros_(layer.weight)",
}
_OPTIMIZERS = {
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "adadelta": "Adadelta",
}
_ARGUMENTS = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "initial_accumulator": "initial_accumulator_value",
}
_EXPAND = '''\
def expand(images, labels):
    """Add four copies, shifted by one pixel up, down, left and right."""
    padded = functional.pad(images, (1, 1, 1, 1))
    corners = [(1, 1), (2, 1), (0, 1), (1, 2), (1, 0)]
    copies = [padded[:, row : row + 28, left : left + 28] for row, left in corners]
    return torch.cat(copies), labels.repeat(5)
'''
_SQUARED_ERROR = '''\
def squared_error(logits, labels):
    """The mean squared error of the softmax probabilities."""
    one_hot = functional.one_hot(labels, 10).float()
    return functional.mse_loss(logits.softmax(dim=1), one_hot)
'''
_TRAIN = """\
def train(model, loader, loss_function, optimizer):
    model.train()
    for images, labels in loader:
        loss = loss_function(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
_TEST = """\
def test(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    return correct / len(loader.dataset)
"""
_EPOCHS = """\
    for epoch in range(EPOCHS):
        train(model, train_loader, loss_function, optimizer)
        print(f"epoch {epoch + 1}: test accuracy {test(model, test_loader):.4f}")
"""


def script(workload: Workload) -> str:
    """The workload in PyTorch: `nn.Sequential`, a DataLoader, and a loop over its batches.

    Raises:
        Unsupported: a script cannot have the workload's data.
    """
    is_expanded = data_of(workload).is_expanded
    is_quadratic = workload.loss == "mean_squared_error"
    imports = ["import torch", "from torch import nn"]
    imports += ["from torch.nn import functional"] if is_expanded or is_quadratic else []
    imports += ["from torch.utils.data import DataLoader"]
    imports += ["from torchvision import datasets, transforms"]
    return assemble(
        workload,
        "PyTorch",
        "pytorch",
        "\n".join(imports),
        f"BATCH_SIZE = {workload.recipe.batch_size}\nEPOCHS = {workload.recipe.epochs}",
        _EXPAND if is_expanded else "",
        _load_data(workload),
        _build_model(workload),
        _SQUARED_ERROR if is_quadratic else "",
        _TRAIN,
        _TEST,
        _main(workload),
        END,
    )


def _load_data(workload: Workload) -> str:
    data = data_of(workload)
    kind = "FashionMNIST" if data.archive == "fashion-mnist" else "MNIST"
    sets = [
        wrapped(
            f"{name}_data = datasets.{kind}(",
            ('"data"', f"train={is_train}", "download=True", "transform=to_tensor"),
            ")",
            4,
        )
        for name, is_train in (("train", True), ("test", False))
    ]
    arrays = "train_data.data, train_data.targets"
    expand = f"    {arrays} = expand({arrays})"
    loader = ["train_data", "batch_size=BATCH_SIZE", "shuffle=True"]
    if workload.recipe.last_partial_batch == "drop":
        loader.append("drop_last=True")
    return "\n".join(
        [
            "def load_data():",
            "    to_tensor = transforms.ToTensor()",
            sets[0],
            *([expand] if data.is_expanded else []),
            sets[1],
            wrapped("train_loader = DataLoader(", loader, ")", 4),
            "    test_loader = DataLoader(test_data, batch_size=BATCH_SIZE)",
            "    return train_loader, test_loader",
        ]
    )


def _initialize(workload: Workload) -> list[str]:
    """The lines that draw the weights; those that PyTorch draws have another distribution."""
    found = {"dense": "nn.Linear", "conv2d": "nn.Conv2d"}
    classes = [text for kind, text in found.items() if kind in kinds(workload.layers)]
    kind = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
    return [
        "    for layer in model:",
        f"        if isinstance(layer, {kind}):",
        f"            nn.init.{_INITIALIZERS[workload.recipe.initializer]}",
        "            nn.init.zeros_(layer.bias)",
    ]


def _build_model(workload: Workload) -> str:
    shapes = infer_shapes(workload)
    lines = [line for shape in shapes for line in _layer(shape)]
    comments = []
    if "batch_norm" in kinds(workload.layers):
        comments += [
            "    # Batch norm: PyTorch's momentum is the weight of the new value, and its running",
            "    # variance is the unbiased one, with n - 1.",
        ]
    return "\n".join(
        [
            "def build_model():",
            *comments,
            listed("model = nn.Sequential(", lines, ")", 4),
            *_initialize(workload),
            "    return model",
        ]
    )


def _layer(shape: LayerShape) -> list[str]:
    """The texts of a layer and its activation."""
    match shape.layer:
        case Dense(units=units, activation=activation):
            return [f"nn.Linear({shape.input[0]}, {units})", *_activation(activation)]
        case Conv2d(activation=activation):
            return [*_convolution(shape, shape.layer), *_activation(activation)]
        case MaxPool2d(pool_size=pool_size):
            return [f"nn.MaxPool2d({pair(pool_size)})"]
        case AvgPool2d(pool_size=pool_size):
            return [f"nn.AvgPool2d({pair(pool_size)})"]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            known = {row.setting: row.value for row in DEFAULTS}
            new = round(1 - momentum, 12)  # without the error of the subtraction
            items = [str(shape.output[-1])]
            items += [f"eps={number(epsilon)}"] if epsilon != known["batch norm's epsilon"] else []
            items += [f"momentum={new}"] if new != known["batch norm's momentum"] else []
            dimensions = 1 if len(shape.output) == 1 else 2
            return [f"nn.BatchNorm{dimensions}d({', '.join(items)})"]
        case Flatten():
            return ["nn.Flatten()"]
        case Dropout(rate=rate):
            return [f"nn.Dropout({rate})"]


def _convolution(shape: LayerShape, spec: Conv2d) -> list[str]:
    """The texts of a convolution, and of the padding before it if PyTorch's own cannot do it."""
    items = [str(shape.input[2]), str(spec.filters), pair(spec.kernel_size)]
    if spec.strides == (1, 1):
        items += ['padding="same"'] if spec.padding == "same" else []
        return [f"nn.Conv2d({', '.join(items)})"]
    items.append(f"stride={pair(spec.strides)}")
    if spec.padding == "valid":
        return [f"nn.Conv2d({', '.join(items)})"]
    # PyTorch has no padding="same" with strides.
    (above, below), (left, right) = padding_of(shape.input, spec.kernel_size, spec.strides)
    if (above, left) == (below, right):
        return [f"nn.Conv2d({', '.join(items)}, padding={pair((above, left))})"]
    return [f"nn.ZeroPad2d({(left, right, above, below)})", f"nn.Conv2d({', '.join(items)})"]


def _activation(name: str) -> list[str]:
    return [] if name == "linear" else [_ACTIVATIONS[name]]


def _main(workload: Workload) -> str:
    spec = workload.optimizer
    passed = dict(settings_to_pass(spec, DEFAULTS))
    items = ["model.parameters()"]
    if passed.keys() & {"beta_1", "beta_2"} and isinstance(spec, Adam | AdamW):
        items.append(f"betas=({spec.beta_1}, {spec.beta_2})")
    items += [
        f"{_argument(name, spec)}={number(value)}"
        for name, value in passed.items()
        if not name.startswith("beta")
    ]
    quadratic = workload.loss == "mean_squared_error"
    kind = _OPTIMIZERS[str(spec.__struct_config__.tag)]
    return "\n".join(
        [
            "def main():",
            "    train_loader, test_loader = load_data()",
            "    model = build_model()",
            f"    loss_function = {'squared_error' if quadratic else 'nn.CrossEntropyLoss()'}",
            *_difference(workload),
            wrapped(f"optimizer = torch.optim.{kind}(", items, ")", 4),
            _EPOCHS,
        ]
    )


def _argument(setting: str, spec: Optimizer) -> str:
    """PyTorch's name of an optimizer's setting."""
    if isinstance(spec, RmsProp) and setting == "rho":
        return "alpha"
    return _ARGUMENTS.get(setting, setting)


def _difference(workload: Workload) -> list[str]:
    """A comment, if PyTorch's optimizer has its epsilon at another place than the workload."""
    match workload.optimizer:
        case RmsProp(epsilon_form="inside_root") | Adagrad(epsilon_form="inside_root"):
            return [
                "    # PyTorch divides by sqrt(v) + eps. Specified is sqrt(v + eps), as in Keras."
            ]
        case Adam(epsilon_form="before_correction") | AdamW(epsilon_form="before_correction"):
            return [
                "    # PyTorch adds eps after the bias correction. Specified is before it, as in",
                "    # Keras.",
            ]
        case _:
            return []
