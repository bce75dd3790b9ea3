"""A workload's layers as functions of CNTK, and the weights in CNTK's layout.

CNTK's images are (channels, height, width), and so it flattens them channel first. `image` is the
shape (height, width, channels) of the image that was flattened just before a weight, or None.
"""

import cntk as C
import numpy as np

_ACTIVATIONS = {
    "relu": C.relu,
    "elu": C.elu,
    "softplus": C.softplus,
    "sigmoid": C.sigmoid,
    "tanh": C.tanh,
}
_CONVOLUTION = 4  # dimensions of its kernel


class Model:
    """A workload's weights, and its layers as functions of them.

    Attributes:
        weights: canonical name -> CNTK's variable, and `image`.
        norms: the statistics of each batch norm.
        masks: for each dropout layer a variable of the values that it keeps.
    """

    def __init__(self, description):
        self._layers, self._seed = description["layers"], description["seed"]
        self._slope = description["leaky_slope"]
        self.weights, self.norms, self.masks = {}, [], []
        self._mask_images, self._dropouts = [], []
        image = None
        for layer in self._layers:
            image = layer["input"] if layer["type"] == "flatten" else image
            self._add(layer, image if len(layer["input"]) == 1 else None)
            image = None if layer["type"] == "dense" else image

    def _add(self, layer, image):
        """Make the variables of a layer."""
        for name, shape in layer["parameters"].items():
            place = None if name.endswith(".bias") else image
            value = to_cntk(np.zeros(shape, np.float32), place)
            if layer["type"] == "conv2d" and value.ndim == 1:
                value = value.reshape(-1, 1, 1)  # a bias per channel
            self.weights[name] = C.parameter(init=value), place
        if layer["type"] == "batch_norm":
            self.norms.append(Norm(layer))
            for name, variable in self.norms[-1].state.items():
                self.weights[name] = variable, image
        if layer["type"] == "dropout":
            shape = images_to_cntk(np.empty([1] + layer["input"])).shape[1:]
            self.masks.append(C.input_variable(shape))
            self._mask_images.append(image)

    @property
    def parameters(self):
        """CNTK's variables that are trained."""
        return [each for each, _ in self.weights.values() if isinstance(each, C.Parameter)]

    def set_weights(self, weights):
        """Set all weights from canonical ones.

        Raises:
            KeyError: one is missing.
        """
        for name, (variable, image) in self.weights.items():
            variable.value = to_cntk(weights[name], image).reshape(variable.shape)
        for norm in self.norms:
            norm.begin()

    def get_weights(self):
        """All weights in canonical layout."""
        for norm in self.norms:
            norm.store()
        found = {}
        for name, (variable, image) in self.weights.items():
            value = np.array(variable.value)
            found[name] = from_cntk(value.reshape(-1) if value.ndim == 3 else value, image)
        return found

    def masks_to_cntk(self, masks):
        """The values of `masks` for a batch, from those in canonical layout."""
        values = {}
        for variable, mask, image in zip(self.masks, masks, self._mask_images):
            shape = mask.shape
            if image is not None:
                mask = mask.reshape([len(mask)] + image)
            values[variable] = images_to_cntk(mask).reshape((shape[0],) + variable.shape)
        return values

    def logits(self, x, training=True, masked=False):
        """The logits of images x (channels, height, width), for training or for prediction.

        Args:
            x: CNTK's variable.
            training: whether dropout works, and batch norm uses the batch's statistics.
            masked: whether dropout uses `masks` instead of CNTK's own.
        """
        masks, norms = iter(self.masks if masked else ()), iter(self.norms)
        for layer in self._layers:
            kind = layer["type"]
            if kind == "dropout":
                if training:
                    x = self._dropout(layer, x, next(masks, None))
            elif kind == "batch_norm":
                scale, shift = self._own(layer, "scale"), self._own(layer, "shift")
                x = next(norms).apply(x, scale, shift, training)
            else:
                x = self._activate(layer, self._apply(layer, x))
        return x

    def _own(self, layer, name):
        return self.weights["{}.{}".format(layer["position"], name)][0]

    def _apply(self, layer, x):
        """A layer without its activation."""
        kind = layer["type"]
        if kind == "flatten":
            return C.reshape(x, layer["output"])
        if kind == "dense":
            return C.times(x, self._own(layer, "kernel")) + self._own(layer, "bias")
        if kind == "conv2d":
            return self._convolve(layer, x)
        pool = C.MAX_POOLING if kind == "max_pool2d" else C.AVG_POOLING
        size = tuple(layer["pool_size"])
        return C.pooling(x, pool, size, strides=size, auto_padding=[False])

    def _convolve(self, layer, x):
        """A convolution; zeros are added before it, where CNTK's own padding differs.

        With an odd kernel and stride 1 CNTK's padding is that of workloads.
        """
        zeros = layer["zeros"]
        is_plain = layer["strides"] == [1, 1] and all(before == after for before, after in zeros)
        own = [False] + [is_plain and any(sides) for sides in zeros]
        if not is_plain and any(map(any, zeros)):
            x = C.pad(x, pattern=[(0, 0)] + [tuple(sides) for sides in zeros])
        kernel, strides = self._own(layer, "kernel"), tuple(layer["strides"])
        return C.convolution(kernel, x, strides=strides, auto_padding=own) + self._own(
            layer, "bias"
        )

    def _activate(self, layer, x):
        """The activation of a layer.

        The derivative of CNTK's own leaky ReLU is 1 at 0; here it is the slope.
        """
        name = layer.get("activation", "linear")
        if name == "linear":
            return x
        if name == "leaky_relu":
            return C.element_select(C.greater(x, 0.0), x, self._slope * x)
        return _ACTIVATIONS[name](x)

    def _dropout(self, layer, x, mask):
        if mask is not None:
            return x * mask / (1.0 - layer["rate"])
        function = C.dropout(x, layer["rate"], seed=self._seed_of(len(self._dropouts)))
        self._dropouts.append(function)
        return function

    def restart_dropouts(self):
        """Let all dropouts draw the masks of a new model."""
        for position, function in enumerate(self._dropouts):
            function.root_function.set_attribute("rngSeed", self._seed_of(position))

    def _seed_of(self, position):
        """The seed of a dropout layer: another one for each layer and each seed of a job."""
        return self._seed * 1000 + position


class Norm:
    """A batch norm's statistics.

    CNTK's running variance averages the unbiased variance of a batch, and its averages begin with
    the first batch. So CNTK stores the statistics of each batch only, and they are averaged here.

    Attributes:
        state: canonical name -> the variable of running mean and of running variance.
    """

    def __init__(self, layer):
        self._momentum, self._epsilon = layer["momentum"], layer["epsilon"]
        channels = layer["output"][-1]
        self._spatial = len(layer["output"]) > 1
        self._values_per_channel = int(np.prod(layer["output"][:-1]))
        self._batch = [C.constant(0.0, (channels,)), C.constant(1.0, (channels,))]
        starts = zip(layer["state"], (0.0, 1.0))
        self.state = {name: C.constant(start, (channels,)) for name, start in starts}
        self._count = C.constant(0.0, ())
        self.begin()

    def begin(self):
        """Take the running statistics from `state`."""
        self._running = [np.array(each.value) for each in self.state.values()]

    def store(self):
        """Write the running statistics into `state`."""
        for variable, value in zip(self.state.values(), self._running):
            variable.value = value

    def average(self, examples):
        """Average the statistics of a batch that was trained."""
        count = examples * self._values_per_channel
        mean, unbiased = (each.value for each in self._batch)
        for running, new in zip(self._running, (mean, unbiased * ((count - 1) / count))):
            running *= self._momentum
            running += (1.0 - self._momentum) * new

    def apply(self, x, scale, shift, training):
        """The layer; with a time constant of 0 CNTK stores the batch's statistics alone."""
        mean, variance = self._batch if training else self.state.values()
        return C.batch_normalization(
            x,
            scale,
            shift,
            mean,
            variance,
            spatial=self._spatial,
            normalization_time_constant=0 if training else float("inf"),
            blend_time_constant=0 if training else float("inf"),
            epsilon=self._epsilon,
            use_cudnn_engine=False,
            running_count=self._count,
        )


def images_to_cntk(images):
    """Images (n, height, width, channels) as (n, channels, height, width); vectors as they are."""
    if images.ndim > 2:
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images, np.float32)


def to_cntk(weight, image):
    """A weight in CNTK's layout: (height, width, in, out) -> (out, in, height, width).

    A dense kernel stays (in, out); its rows, and the values of a vector, change their order after a
    flattened image.
    """
    if weight.ndim == _CONVOLUTION:
        weight = weight.transpose(3, 2, 0, 1)
    elif image is not None:
        weight = np.moveaxis(weight.reshape(tuple(image) + weight.shape[1:]), 2, 0).reshape(
            weight.shape
        )
    return np.ascontiguousarray(weight, np.float32)


def from_cntk(weight, image):
    """The inverse of `to_cntk`."""
    if weight.ndim == _CONVOLUTION:
        weight = weight.transpose(2, 3, 1, 0)
    elif image is not None:
        height, width, channels = image
        rows = weight.reshape((channels, height, width) + weight.shape[1:])
        weight = np.moveaxis(rows, 0, 2).reshape(weight.shape)
    return np.ascontiguousarray(weight, np.float32)
