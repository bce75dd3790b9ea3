"""Variants of JAX that each change one thing: questions to a GPU."""

from __future__ import annotations

import jax

from backends import contract
from backends.jax.scan import Jax, _Training


class JaxUnroll(Jax):
    """Four steps in one turn of the scan's loop."""

    unroll = 4


class JaxStep(Jax):
    """A call of the compiled program for each step, without a loop in it."""

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        super().load(images, labels)
        self._steps = 1


class JaxRbg(Jax):
    """Dropout's masks are drawn by XLA's own generator."""

    def _start(self) -> _Training:
        return super()._start()._replace(key=jax.random.key(self._job.seed, impl="rbg"))
