"""The specs' optimizers in PyTorch: its own where the formula is the spec's, written out where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from specs.model import Adadelta, Optimizer, RmsProp, Sgd


class RmsPropInsideRoot:
    """`v = rho v + (1 - rho) g^2; w = w - lr g / sqrt(v + epsilon)`, which `torch.optim.RMSprop` cannot do.

    Its epsilon is outside the root. Each line updates all weights in one call, as `foreach=True` does in PyTorch. It is
    no `torch.optim.Optimizer`: that class's hooks cost 71 calls a step, 15 % of softmax regression's time.
    """

    def __init__(self, parameters: list[Tensor], spec: RmsProp) -> None:
        self._spec, self._weights = spec, parameters
        self._v = [torch.zeros_like(weight) for weight in parameters]

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update of every weight from its gradient."""
        gradients = [weight.grad for weight in self._weights]
        torch._foreach_mul_(self._v, self._spec.rho)
        torch._foreach_addcmul_(self._v, gradients, gradients, 1.0 - self._spec.rho)
        roots = torch._foreach_add(self._v, self._spec.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, -self._spec.learning_rate)


def build_optimizer(spec: Optimizer, parameters: list[Tensor]) -> RmsPropInsideRoot | torch.optim.Optimizer:
    """The optimizer that the spec names, every constant given, none left to PyTorch's defaults."""
    match spec:
        case Sgd():
            return torch.optim.SGD(parameters, lr=spec.learning_rate, momentum=spec.momentum)
        case RmsProp(epsilon_form="inside_root"):
            return RmsPropInsideRoot(parameters, spec)
        case RmsProp():
            return torch.optim.RMSprop(
                parameters, lr=spec.learning_rate, alpha=spec.rho, eps=spec.epsilon, foreach=True
            )
        case Adadelta():
            return torch.optim.Adadelta(parameters, lr=spec.learning_rate, rho=spec.rho, eps=spec.epsilon, foreach=True)
