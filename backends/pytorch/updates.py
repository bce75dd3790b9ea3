"""The specs' optimizers in PyTorch: its own where the formula is the spec's, written out where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class _Update:
    """What PyTorch's own optimizers cannot do. Each line updates all weights in one call, as `foreach=True` does there.

    It is no `torch.optim.Optimizer`: that class's hooks cost 71 calls a step, 15 % of softmax
    regression's time.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._weights = parameters

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for weight in self._weights:
            weight.grad = None

    def step(self) -> None:
        """One update of every weight from its gradient."""
        raise NotImplementedError


class RmsPropInsideRoot(_Update):
    """`v = rho v + (1 - rho) g^2; w = w - lr g / sqrt(v + epsilon)`; `torch.optim.RMSprop` has it outside the root."""

    def __init__(self, parameters: list[Tensor], spec: RmsProp) -> None:
        super().__init__(parameters)
        self._spec, self._v = spec, [torch.zeros_like(weight) for weight in parameters]

    @torch.no_grad()
    def step(self) -> None:
        gradients = [weight.grad for weight in self._weights]
        torch._foreach_mul_(self._v, self._spec.rho)
        torch._foreach_addcmul_(self._v, gradients, gradients, 1.0 - self._spec.rho)
        roots = torch._foreach_add(self._v, self._spec.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, -self._spec.learning_rate)


class AdagradInsideRoot(_Update):
    """`v = v + g^2; w = w - lr g / sqrt(v + epsilon)`; `torch.optim.Adagrad` has it outside the root."""

    def __init__(self, parameters: list[Tensor], spec: Adagrad) -> None:
        super().__init__(parameters)
        self._spec, self._v = (
            spec,
            [torch.full_like(weight, spec.initial_accumulator) for weight in parameters],
        )

    @torch.no_grad()
    def step(self) -> None:
        gradients = [weight.grad for weight in self._weights]
        torch._foreach_addcmul_(self._v, gradients, gradients)
        roots = torch._foreach_add(self._v, self._spec.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, -self._spec.learning_rate)


class AdamBeforeCorrection(_Update):
    """`w = w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)`; `torch.optim.Adam` corrects v first.

    With weight decay (AdamW), `w = w - lr decay w` comes first.
    """

    def __init__(self, parameters: list[Tensor], spec: Adam | AdamW) -> None:
        super().__init__(parameters)
        self._spec, self._t = spec, 0
        self._decay = spec.weight_decay if isinstance(spec, AdamW) else 0.0
        self._m = [torch.zeros_like(weight) for weight in parameters]
        self._v = [torch.zeros_like(weight) for weight in parameters]

    @torch.no_grad()
    def step(self) -> None:
        gradients = [weight.grad for weight in self._weights]
        spec = self._spec
        self._t += 1
        rate = (
            spec.learning_rate * (1.0 - spec.beta_2**self._t) ** 0.5 / (1.0 - spec.beta_1**self._t)
        )
        if self._decay:
            torch._foreach_mul_(self._weights, 1.0 - spec.learning_rate * self._decay)
        torch._foreach_lerp_(self._m, gradients, 1.0 - spec.beta_1)
        torch._foreach_mul_(self._v, spec.beta_2)
        torch._foreach_addcmul_(self._v, gradients, gradients, 1.0 - spec.beta_2)
        roots = torch._foreach_sqrt(self._v)
        torch._foreach_add_(roots, spec.epsilon)
        torch._foreach_addcdiv_(self._weights, self._m, roots, -rate)


def build_optimizer(spec: Optimizer, parameters: list[Tensor]) -> _Update | torch.optim.Optimizer:
    """The optimizer that the spec names, every constant given, none left to PyTorch's defaults."""
    match spec:
        case Sgd():
            return torch.optim.SGD(
                parameters,
                lr=spec.learning_rate,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                foreach=True,
            )
        case RmsProp(epsilon_form="inside_root"):
            return RmsPropInsideRoot(parameters, spec)
        case RmsProp():
            return torch.optim.RMSprop(
                parameters, lr=spec.learning_rate, alpha=spec.rho, eps=spec.epsilon, foreach=True
            )
        case Adagrad(epsilon_form="inside_root"):
            return AdagradInsideRoot(parameters, spec)
        case Adagrad():
            return torch.optim.Adagrad(
                parameters,
                lr=spec.learning_rate,
                initial_accumulator_value=spec.initial_accumulator,
                eps=spec.epsilon,
                foreach=True,
            )
        case Adam(epsilon_form="before_correction") | AdamW(epsilon_form="before_correction"):
            return AdamBeforeCorrection(parameters, spec)
        case Adam() | AdamW():
            return torch.optim.AdamW(
                parameters,
                lr=spec.learning_rate,
                betas=(spec.beta_1, spec.beta_2),
                eps=spec.epsilon,
                weight_decay=spec.weight_decay if isinstance(spec, AdamW) else 0.0,
                foreach=True,
            )
        case Adadelta():
            return torch.optim.Adadelta(
                parameters, lr=spec.learning_rate, rho=spec.rho, eps=spec.epsilon, foreach=True
            )
