"""The classes of the layers, as the text of a script in NumPy: forward and backward by hand."""

from __future__ import annotations

from backends.script import kinds, number, padding_of, starts_flat
from specs.model import (
    LEAKY_SLOPE,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes

# The square of the range or of the deviation of an initializer.
_SQUARES = {
    "glorot_uniform": "6 / (fan_in + fan_out)",
    "he_uniform": "6 / fan_in",
    "glorot_normal": "2 / (fan_in + fan_out)",
    "he_normal": "2 / fan_in",
    "lecun_normal": "1 / fan_in",
}
_DENSE = """\
class Dense:
    def __init__(self, inputs, outputs):
        self.weights = [draw(inputs, outputs), np.zeros(outputs)]

    def forward(self, x{training}):
        kernel, bias = self.weights
        self.x = x
        return x @ kernel + bias

    def backward(self, gradient):
        self.gradients = [self.x.T @ gradient, gradient.sum(axis=0)]
        return gradient @ self.weights[0].T
"""
_CONV = """\
class Conv:
    def __init__(self, size, inputs, outputs{strides_argument}):
        self.weights = [draw(*size, inputs, outputs), np.zeros(outputs)]{strides_attribute}

    def forward(self, x{training}):
        kernel, bias = self.weights
        self.x = x
        # (n, rows, columns, channels, kernel height, kernel width)
        self.windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2)){strided}
        return np.tensordot(self.windows, kernel, axes=((4, 5, 3), (0, 1, 2))) + bias

    def backward(self, gradient):
        kernel, _ = self.weights
        by_kernel = np.tensordot(self.windows, gradient, axes=((0, 1, 2), (0, 1, 2)))
        self.gradients = [by_kernel.transpose(1, 2, 0, 3), gradient.sum(axis=(0, 1, 2))]
        by_x = np.zeros(self.x.shape)
        rows, columns = gradient.shape[1:3]
        for i, j in np.ndindex(kernel.shape[:2]):
            by_x[:, {rows}, {columns}] += gradient @ kernel[i, j].T
        return by_x
"""
_PAD = """\
class Pad:
    weights = gradients = ()

    def __init__(self, above, below, left, right):
        self.zeros = ((0, 0), (above, below), (left, right), (0, 0))

    def forward(self, x{training}):
        (_, self.rows, self.columns, _) = x.shape
        return np.pad(x, self.zeros)

    def backward(self, gradient):
        (above, _), (left, _) = self.zeros[1:3]
        return gradient[:, above : above + self.rows, left : left + self.columns]
"""
_POOL_WINDOWS = '''\
def windows_of(images, size):
    """The windows, (n, rows, columns, channels, *size), which do not overlap."""
    windows = sliding_window_view(images, size, axis=(1, 2), writeable=True)
    return windows[:, :: size[0], :: size[1]]
'''
_MAX_POOL = """\
class MaxPool:
    weights = gradients = ()

    def __init__(self, size):
        self.size = size

    def forward(self, x{training}):
        self.shape = x.shape
        windows = windows_of(x, self.size)
        windows = windows.reshape(*windows.shape[:4], -1)
        self.largest = windows.argmax(axis=-1)  # the first one gets the gradient
        return windows.max(axis=-1)

    def backward(self, gradient):
        by_x = np.zeros(self.shape)
        windows = windows_of(by_x, self.size)
        is_largest = self.largest[..., None] == np.arange(self.size[0] * self.size[1])
        windows[:] = is_largest.reshape(windows.shape) * gradient[..., None, None]
        return by_x
"""
_AVERAGE_POOL = """\
class AveragePool:
    weights = gradients = ()

    def __init__(self, size):
        self.size = size

    def forward(self, x{training}):
        self.shape = x.shape
        return windows_of(x, self.size).mean(axis=(4, 5))

    def backward(self, gradient):
        by_x = np.zeros(self.shape)
        by_windows = windows_of(by_x, self.size)
        by_windows[:] = gradient[..., None, None] / (self.size[0] * self.size[1])
        return by_x
"""
_FLATTEN = """\
class Flatten:
    weights = gradients = ()

    def forward(self, x{training}):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient):
        return gradient.reshape(self.shape)
"""
_DROPOUT = """\
class Dropout:
    weights = gradients = ()

    def __init__(self, rate):
        self.rate = rate

    def forward(self, x, training):
        if not training:
            return x
        self.scale = (rng.random(x.shape) >= self.rate) / (1 - self.rate)
        return x * self.scale

    def backward(self, gradient):
        return gradient * self.scale
"""
_BATCH_NORM = """\
class BatchNorm:
    def __init__(self, channels, momentum, epsilon):
        self.weights = [np.ones(channels), np.zeros(channels)]
        self.mean, self.variance = np.zeros(channels), np.ones(channels)
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, x, training):
        scale, shift = self.weights
        self.axes = tuple(range(x.ndim - 1))
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = x.mean(self.axes), x.var(self.axes)
            self.mean += (1 - self.momentum) * (mean - self.mean)
            self.variance += (1 - self.momentum) * (variance - self.variance)
        self.deviation = np.sqrt(variance + self.epsilon)
        self.normal = (x - mean) / self.deviation
        return scale * self.normal + shift

    def backward(self, gradient):
        product = gradient * self.normal
        self.gradients = [product.sum(self.axes), gradient.sum(self.axes)]
        centred = gradient - gradient.mean(self.axes)
        centred -= self.normal * product.mean(self.axes)
        return self.weights[0] / self.deviation * centred
"""
_ACTIVATION = """\
class {name}:
    weights = gradients = ()

    def forward(self, x{training}):
        self.y = {value}
        return self.y

    def backward(self, gradient):
        return gradient * {slope}
"""
# activation -> class, value of x, and derivative by the value y.
_ACTIVATIONS = {
    "relu": ("Relu", "np.maximum(x, 0)", "(self.y > 0)"),
    "leaky_relu": (
        "LeakyRelu",
        f"np.where(x > 0, x, {LEAKY_SLOPE} * x)",
        f"np.where(self.y > 0, 1, {LEAKY_SLOPE})",
    ),
    "elu": (
        "Elu",
        "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))",
        "np.where(self.y > 0, 1, self.y + 1)",
    ),
    "softplus": ("Softplus", "np.logaddexp(x, 0)", "-np.expm1(-self.y)"),
    "sigmoid": ("Sigmoid", "0.5 + 0.5 * np.tanh(0.5 * x)", "self.y * (1 - self.y)"),
    "tanh": ("Tanh", "np.tanh(x)", "(1 - self.y**2)"),
}


def classes(workload: Workload) -> list[str]:
    """The classes of the layers that the workload has, in the order of their first use."""
    shapes = infer_shapes(workload)[int(starts_flat(workload)) :]
    found = kinds(shape.layer for shape in shapes)
    activations = dict.fromkeys(
        layer.activation
        for layer in workload.layers
        if isinstance(layer, Dense | Conv2d) and layer.activation != "linear"
    )
    has_padding = any("Pad(" in line for shape in shapes for line in call_of(shape))
    has_pools = bool(found & {"max_pool2d", "avg_pool2d"})
    return [
        draw(workload),
        _FLATTEN if "flatten" in found else "",
        _DENSE,
        _PAD if has_padding else "",
        _convolution(workload) if "conv2d" in found else "",
        *(_activation(name) for name in activations),
        _POOL_WINDOWS if has_pools else "",
        _MAX_POOL if "max_pool2d" in found else "",
        _AVERAGE_POOL if "avg_pool2d" in found else "",
        _DROPOUT if "dropout" in found else "",
        _BATCH_NORM if "batch_norm" in found else "",
    ]


def _activation(name: str) -> str:
    kind, value, slope = _ACTIVATIONS[name]
    text = _ACTIVATION.replace("{name}", kind).replace("{value}", value)
    return text.replace("{slope}", slope)


def draw(workload: Workload) -> str:
    """The function that draws a kernel by the workload's initializer."""
    initializer = workload.recipe.initializer
    has_convolutions = "conv2d" in kinds(workload.layers)
    head = "def draw(*shape):" if has_convolutions else "def draw(fan_in, fan_out):"
    shape = "shape" if has_convolutions else "(fan_in, fan_out)"
    if initializer == "zeros":
        return f"{head}\n    return np.zeros({shape})"
    if initializer == "uniform":
        return f"{head}\n    return rng.uniform(-0.05, 0.05, {shape})"
    is_uniform, square = initializer.endswith("uniform"), _SQUARES[initializer]
    fans = {
        "fan_in": "    fan_in = np.prod(shape[:-1])",
        "fan_out": "    fan_out = np.prod(shape[:-2]) * shape[-1]",
    }
    used = [line for name, line in fans.items() if name in square]
    name, drawn = (
        ("limit", "rng.uniform(-limit, limit")
        if is_uniform
        else ("deviation", "rng.normal(0, deviation")
    )
    return "\n".join(
        [
            head,
            *(used if has_convolutions else []),
            f"    {name} = np.sqrt({square})",
            f"    return {drawn}, {shape})",
        ]
    )


def _convolution(workload: Workload) -> str:
    strided = "[:, :: self.strides[0], :: self.strides[1]]"
    rows, columns = "i : i + rows", "j : j + columns"
    if not is_strided(workload):
        text = _CONV.replace("{strides_argument}", "").replace("{strides_attribute}", "")
        return text.replace("{strided}", "").replace("{rows}", rows).replace("{columns}", columns)
    # One line would be too long for ruff.
    text = _CONV.replace(
        "        self.windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2)){strided}",
        "        windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))\n"
        f"        self.windows = windows{strided}",
    ).replace(
        "        rows, columns = gradient.shape[1:3]\n",
        "        down, right = self.strides\n"
        "        rows, columns = gradient.shape[1] * down, gradient.shape[2] * right\n",
    )
    text = text.replace(
        "            by_x[:, {rows}, {columns}] += gradient @ kernel[i, j].T",
        "            part = gradient @ kernel[i, j].T\n"
        "            by_x[:, {rows}, {columns}] += part",
    )
    return (
        text.replace("{strides_argument}", ", strides")
        .replace("{strides_attribute}", "\n        self.strides = strides")
        .replace("{rows}", f"{rows} : down")
        .replace("{columns}", f"{columns} : right")
    )


def is_strided(workload: Workload) -> bool:
    """Whether a convolution has other strides than 1."""
    convolutions = (layer for layer in workload.layers if isinstance(layer, Conv2d))
    return any(layer.strides != (1, 1) for layer in convolutions)


def call_of(shape: LayerShape, *, strided: bool = False) -> list[str]:
    """The texts of a layer, of its padding and of its activation."""
    match shape.layer:
        case Dense(units=units, activation=activation):
            return [f"Dense({shape.input[0]}, {units})", *_named(activation)]
        case Conv2d(activation=activation) as spec:
            strides = f", {spec.strides}" if strided else ""
            conv = f"Conv({spec.kernel_size}, {shape.input[2]}, {spec.filters}{strides})"
            pad = []
            if spec.padding == "same":
                sides = padding_of(shape.input, spec.kernel_size, spec.strides)
                pad = [f"Pad({', '.join(str(zeros) for side in sides for zeros in side)})"]
            return [*pad, conv, *_named(activation)]
        case MaxPool2d(pool_size=pool_size):
            return [f"MaxPool({pool_size})"]
        case AvgPool2d(pool_size=pool_size):
            return [f"AveragePool({pool_size})"]
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            return [
                f"BatchNorm({shape.output[-1]}, momentum={momentum}, epsilon={number(epsilon)})"
            ]
        case Flatten():
            return ["Flatten()"]
        case Dropout(rate=rate):
            return [f"Dropout({rate})"]


def _named(activation: str) -> list[str]:
    return [] if activation == "linear" else [f"{_ACTIVATIONS[activation][0]}()"]
