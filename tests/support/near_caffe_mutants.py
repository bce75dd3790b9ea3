"""Programs of Caffe that are wrong in one way each, for `tests/backends/test_caffe.py`.

They run in the old Python, see `backends.far`.
"""

from caffe import layers

from backends.caffe import near_caffe
from backends.caffe.near_caffe import NearCaffe
from backends.caffe.near_network import Network


class RoundsUp(NearCaffe):
    """Pools have Caffe's own rounding."""

    def __init__(self, description):
        class Pools(Network):
            @staticmethod
            def _pool(x, layer, kind):
                height, width = layer["pool_size"]
                sizes = {"kernel_h": height, "kernel_w": width}
                return layers.Pooling(x, pool=kind, stride_h=height, stride_w=width, **sizes)

        near_caffe.Network = Pools
        super().__init__(description)


class PadsBothSides(NearCaffe):
    """Zeros that should come after an axis only come before it, too; the shapes are right."""

    def __init__(self, description):
        for layer in description["layers"]:
            if "zeros" in layer:
                layer["zeros"] = [(after, after) for _, after in layer["zeros"]]
        super().__init__(description)


class ClipsLoss(NearCaffe):
    """The loss is Caffe's, which is at most 87.3."""

    def _loss(self, net, count):
        del count
        return float(net.blobs["loss"].data)


class HalvesLoss(NearCaffe):
    """The quadratic loss and its gradient are Caffe's: half of the sum over the classes."""

    def __init__(self, description):
        class Halves(Network):
            def _end(self, logits, loss, classes):
                del loss
                self._net["label"] = self._input([classes])
                probabilities = layers.Softmax(logits)
                self._net["loss"] = layers.EuclideanLoss(probabilities, self._net["label"])

        near_caffe.Network = Halves
        super().__init__(description)


class OwnEpsilon(NearCaffe):
    """Caffe's solver of the same name is used, wherever it has its epsilon."""

    def __init__(self, description):
        near_caffe.has_solver = lambda spec: True
        super().__init__(description)


class UnscaledMasks(NearCaffe):
    """Kept values are not scaled."""

    def _masked_net(self):
        net = super()._masked_net()
        self._masks = [mask._replace(rate=0.0) for mask in self._masks]
        return net


class KeepsState(NearCaffe):
    """A reset keeps the solver with its velocities."""

    def reset(self, weights):
        near_caffe.caffe.set_random_seed(self._description["seed"])
        self.set_weights(weights)


class KeepsSeed(NearCaffe):
    """A reset does not seed dropout."""

    def _build(self):
        seed, near_caffe.caffe.set_random_seed = near_caffe.caffe.set_random_seed, lambda seed: None
        super()._build()
        near_caffe.caffe.set_random_seed = seed
        if not hasattr(self, "_images"):
            seed(self._description["seed"])


class ChannelsLast(NearCaffe):
    """The rows of the kernel after a flatten keep the order of the workload."""

    def __init__(self, description):
        for layer in description["layers"]:
            layer["flattened"] = None
        super().__init__(description)


class DropsInPlace(NearCaffe):
    """Dropout overwrites what the derivative of the layer before it needs."""

    def __init__(self, description):
        class InPlace(Network):
            def _dropout(self, x, layer):
                return layers.Dropout(x, dropout_ratio=layer["rate"], in_place=True)

        near_caffe.Network = InPlace
        super().__init__(description)
