"""PyTorch, eager: the data on the device, one gather per batch, the framework's own layers and autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backends import contract
from backends.contract import Job, Unsupported
from backends.pytorch_layout import from_torch, to_torch
from backends.pytorch_updates import build_optimizer
from specs.model import Conv2d, Dense, Dropout, Flatten, MaxPool2d
from specs.shapes import LayerShape, Shape, infer_shapes

_ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "linear": nn.Identity}


class PyTorch:
    """`nn.Sequential`, `functional.cross_entropy`, `loss.backward()`, `optimizer.step()`."""

    def __init__(self, job: Job) -> None:
        if job.compiled or job.precision == "bfloat16" or job.mode != "matched":
            raise Unsupported("this adapter trains eagerly, in float32 or TF32, in matched mode")
        if job.device != "cpu" and not torch.cuda.is_available():
            raise Unsupported(f"PyTorch {torch.__version__} sees no GPU: not a CUDA build, or no driver for it")
        _configure(job)
        self._job = job
        self._device = torch.device("cpu" if job.device == "cpu" else "cuda")  # the worker sees one GPU only
        self._model = nn.Sequential()
        self._weighted: dict[str, tuple[nn.Module, Shape | None]] = {}  # position -> module, image that it flattens
        self._dropouts: list[_Dropout] = []
        image: Shape | None = None
        for layer in infer_shapes(job.workload):
            image = layer.input if isinstance(layer.layer, Flatten) else image
            self._add(layer, image)
            image = None if isinstance(layer.layer, Dense) else image
        self._model.to(self._device)
        self._optimizer = build_optimizer(job.workload.optimizer, list(self._model.parameters()))

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # PyTorch's own layout is (n, channels, height, width); with one channel a CPU copies nothing.
        self._images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(self._device)
        self._labels = torch.from_numpy(labels).to(self._device)

    def set_weights(self, weights: contract.Weights) -> None:
        with torch.no_grad():
            for position, (module, image) in self._weighted.items():
                module.weight.copy_(torch.from_numpy(to_torch(weights[f"{position}.kernel"], image)))
                module.bias.copy_(torch.from_numpy(weights[f"{position}.bias"]))

    def get_weights(self) -> contract.Weights:
        weights = {}
        for position, (module, image) in self._weighted.items():
            weights[f"{position}.kernel"] = from_torch(module.weight.detach().cpu().numpy(), image)
            weights[f"{position}.bias"] = module.bias.detach().cpu().numpy().copy()
        return weights

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        self._model.train()
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        batches = torch.from_numpy(order).to(self._device).split(self._job.batch_size)
        for step, batch in enumerate(batches):
            if masks is not None:
                self._inject(masks, step)
            loss = functional.cross_entropy(
                self._model(self._images.index_select(0, batch)), self._labels.index_select(0, batch)
            )
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total.add_(loss.detach(), alpha=len(batch))  # on the device: `.item()` would wait for every step
        return total.item() / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        self._model.eval()
        with torch.inference_mode():
            batches = torch.from_numpy(images).split(contract.PREDICTION_BATCH)
            logits = [self._model(batch.to(self._device).permute(0, 3, 1, 2)) for batch in batches]
            return torch.cat(logits).cpu().numpy()  # (n, classes)

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def device_memory(self) -> contract.DeviceMemory | None:
        if self._device.type == "cpu":
            return None
        return contract.DeviceMemory(allocator_peak_bytes=torch.cuda.max_memory_allocated())

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "compiled": False,
            "device": str(next(self._model.parameters()).device),
        }

    def _add(self, layer: LayerShape, image: Shape | None) -> None:
        """Append a layer's modules to the model; `image` is the shape that a flatten before it had."""
        match layer.layer:
            case Dense(units=units, activation=activation):
                modules = [nn.Linear(layer.input[0], units), _ACTIVATIONS[activation]()]
                self._weighted[str(layer.position)] = modules[0], image
            case Conv2d(filters=filters, kernel_size=kernel_size, activation=activation):
                modules = [nn.Conv2d(layer.input[-1], filters, kernel_size), _ACTIVATIONS[activation]()]
                self._weighted[str(layer.position)] = modules[0], None
            case MaxPool2d(pool_size=pool_size):
                modules = [nn.MaxPool2d(pool_size)]
            case Flatten():
                modules = [nn.Flatten()]
            case Dropout(rate=rate):
                modules = [_Dropout(rate)]
                modules[0].image = image if len(layer.input) == 1 else None
                self._dropouts.extend(modules)
        self._model.extend(module for module in modules if not isinstance(module, nn.Identity))

    def _inject(self, masks: contract.Masks, step: int) -> None:
        size = self._job.batch_size
        for dropout, whole in zip(self._dropouts, masks, strict=True):
            mask = whole[step * size : (step + 1) * size]
            shape = dropout.image or mask.shape[1:]
            moved = np.moveaxis(mask.reshape(-1, *shape), -1, 1)  # channels first; a vector stays as it is
            dropout.mask = torch.from_numpy(moved.reshape(len(mask), -1) if dropout.image else moved).to(self._device)


class _Dropout(nn.Dropout):
    """The framework's dropout, or in the proof the injected mask by the same formula."""

    mask: Tensor | None = None
    image: Shape | None = None  # what a flatten before it had, where no dense layer stands between

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.mask is not None:
            return x * self.mask / (1.0 - self.p)
        return super().forward(x)


def _configure(job: Job) -> None:
    tf32 = job.precision == "tf32"
    torch.manual_seed(job.seed)  # for dropout: nothing else here is random
    torch.set_num_threads(job.threads)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = not job.deterministic  # autotuning on, as TensorFlow and XLA have it
    torch.use_deterministic_algorithms(job.deterministic)
