"""The optimizers of `specs.model` in PyTorch.

Where PyTorch has the same formula, its own optimizer is used. The others are implemented here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class Update:
    """The base of the optimizers that PyTorch does not have.

    Each line of a `step` updates all weights in one call, as PyTorch's optimizers do with
    `foreach=True`. `torch.optim.Optimizer` is not used as the base, because its hooks cost 71 calls
    a step, 15 % of the time of softmax regression.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self._weights = parameters
        self._slots: list[tuple[list[Tensor], float]] = []

    def _slot(self, start: float = 0.0) -> list[Tensor]:
        """A new tensor per weight, with this value before the first step."""
        tensors = [torch.full_like(weight, start) for weight in self._weights]
        self._slots.append((tensors, start))
        return tensors

    def tensors(self) -> list[Tensor]:
        """All tensors that it keeps from step to step."""
        return [tensor for tensors, _ in self._slots for tensor in tensors]

    def reset(self) -> None:
        """Go back to the state before the first step."""
        for tensors, start in self._slots:
            for tensor in tensors:
                tensor.fill_(start)

    def zero_grad(self) -> None:
        """Remove the gradients of the last step."""
        for weight in self._weights:
            weight.grad = None

    def step(self) -> None:
        """One update of every weight from its gradient."""
        raise NotImplementedError


class RmsPropInsideRoot(Update):
    """`v = rho v + (1 - rho) g^2; w = w - lr g / sqrt(v + epsilon)`.

    `torch.optim.RMSprop` has epsilon outside the root.
    """

    def __init__(self, parameters: list[Tensor], spec: RmsProp) -> None:
        super().__init__(parameters)
        self._spec, self._v = spec, self._slot()

    @torch.no_grad()
    def step(self) -> None:
        gradients = [weight.grad for weight in self._weights]
        torch._foreach_mul_(self._v, self._spec.rho)
        torch._foreach_addcmul_(self._v, gradients, gradients, 1.0 - self._spec.rho)
        roots = torch._foreach_add(self._v, self._spec.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, -self._spec.learning_rate)


class AdagradInsideRoot(Update):
    """`v = v + g^2; w = w - lr g / sqrt(v + epsilon)`.

    `torch.optim.Adagrad` has epsilon outside the root.
    """

    def __init__(self, parameters: list[Tensor], spec: Adagrad) -> None:
        super().__init__(parameters)
        self._spec, self._v = spec, self._slot(spec.initial_accumulator)

    @torch.no_grad()
    def step(self) -> None:
        gradients = [weight.grad for weight in self._weights]
        torch._foreach_addcmul_(self._v, gradients, gradients)
        roots = torch._foreach_add(self._v, self._spec.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, -self._spec.learning_rate)


class AdamBeforeCorrection(Update):
    """`w = w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)`.

    `torch.optim.Adam` corrects v before it adds epsilon. With weight decay (AdamW), the step starts
    with `w = w - lr decay w`.
    """

    def __init__(self, parameters: list[Tensor], spec: Adam | AdamW) -> None:
        super().__init__(parameters)
        self._spec, self._t = spec, 0
        self._decay = spec.weight_decay if isinstance(spec, AdamW) else 0.0
        self._m, self._v = self._slot(), self._slot()
        self._rate: Tensor | None = None

    def reset(self) -> None:
        super().reset()
        self._t = 0

    def tensors(self) -> list[Tensor]:
        return [*super().tensors(), *([] if self._rate is None else [self._rate])]

    def compile(self, mode: str | None) -> None:
        """Compile the update; its rate is then a tensor, as a number would become a constant."""
        self._rate = torch.zeros((), device=self._weights[0].device)
        self._apply = torch.compile(self._apply, dynamic=False, mode=mode)

    def step(self) -> None:
        self._t += 1
        spec = self._spec
        first, second = 1.0 - spec.beta_1**self._t, 1.0 - spec.beta_2**self._t
        rate = spec.learning_rate * second**0.5 / first
        self._apply(rate if self._rate is None else self._rate.fill_(rate))

    @torch.no_grad()
    def _apply(self, rate: float | Tensor) -> None:
        gradients = [weight.grad for weight in self._weights]
        spec = self._spec
        if self._decay:
            torch._foreach_mul_(self._weights, 1.0 - spec.learning_rate * self._decay)
        torch._foreach_lerp_(self._m, gradients, 1.0 - spec.beta_1)
        torch._foreach_mul_(self._v, spec.beta_2)
        torch._foreach_addcmul_(self._v, gradients, gradients, 1.0 - spec.beta_2)
        roots = torch._foreach_sqrt(self._v)
        torch._foreach_add_(roots, spec.epsilon)
        if isinstance(rate, Tensor):
            steps = torch._foreach_mul(self._m, rate)
            torch._foreach_addcdiv_(self._weights, steps, roots, -1.0)
        else:
            torch._foreach_addcdiv_(self._weights, self._m, roots, -rate)


def reset_optimizer(optimizer: Update | torch.optim.Optimizer) -> None:
    """Go back to the state before the first step, in the same tensors.

    In SGD a momentum of 0 has the same effect as none: the first step is g either way.
    """
    if isinstance(optimizer, Update):
        optimizer.reset()
        return
    for group in optimizer.param_groups:
        for weight in group["params"]:
            for name, value in optimizer.state.get(weight, {}).items():
                if value is not None:
                    # Adagrad's "sum" is the only tensor that does not start at 0.
                    value.fill_(group["initial_accumulator_value"] if name == "sum" else 0.0)


def build_optimizer(
    spec: Optimizer, parameters: list[Tensor], *, fused: bool = False
) -> Update | torch.optim.Optimizer:
    """The optimizer that the workload names; every constant is passed explicitly.

    Args:
        spec: the optimizer.
        parameters: the weights.
        fused: use PyTorch's fused kernel where it has one.
    """
    # PyTorch accepts only one of the two.
    kernel = {"fused": True} if fused else {"foreach": True}
    match spec:
        case Sgd():
            return torch.optim.SGD(
                parameters,
                lr=spec.learning_rate,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                **kernel,
            )
        case RmsProp():
            return _rmsprop(spec, parameters)
        case Adagrad():
            return _adagrad(spec, parameters, kernel)
        case Adam() | AdamW():
            return _adam(spec, parameters, kernel)
        case Adadelta():
            return torch.optim.Adadelta(
                parameters, lr=spec.learning_rate, rho=spec.rho, eps=spec.epsilon, foreach=True
            )


def _rmsprop(spec: RmsProp, parameters: list[Tensor]) -> Update | torch.optim.Optimizer:
    if spec.epsilon_form == "inside_root":
        return RmsPropInsideRoot(parameters, spec)
    return torch.optim.RMSprop(
        parameters, lr=spec.learning_rate, alpha=spec.rho, eps=spec.epsilon, foreach=True
    )


def _adagrad(
    spec: Adagrad, parameters: list[Tensor], kernel: dict[str, bool]
) -> Update | torch.optim.Optimizer:
    if spec.epsilon_form == "inside_root":
        return AdagradInsideRoot(parameters, spec)
    return torch.optim.Adagrad(
        parameters,
        lr=spec.learning_rate,
        initial_accumulator_value=spec.initial_accumulator,
        eps=spec.epsilon,
        **kernel,
    )


def _adam(
    spec: Adam | AdamW, parameters: list[Tensor], kernel: dict[str, bool]
) -> Update | torch.optim.Optimizer:
    if spec.epsilon_form == "before_correction":
        return AdamBeforeCorrection(parameters, spec)
    return torch.optim.AdamW(
        parameters,
        lr=spec.learning_rate,
        betas=(spec.beta_1, spec.beta_2),
        eps=spec.epsilon,
        weight_decay=spec.weight_decay if isinstance(spec, AdamW) else 0.0,
        **kernel,
    )
