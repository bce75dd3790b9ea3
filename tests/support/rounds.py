"""Records of rounds, some of them disturbed."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from bench.machine.disturbance import Disturbance
from tests.support.records import make_record

QUIET = Disturbance(
    other_cpu=0.01, steal=0.0, frequency=0.98, gpu_processes=None, gpu_throttled=None
)
LOUD = replace(QUIET, other_cpu=0.5)


def records(turns, *, loud=(), noise=0.01, seed=0, **factors):
    """Records of some backends over rounds, of which some are disturbed.

    The noise multiplies each epoch's time.
    """
    random = np.random.default_rng(seed)
    made = []
    for turn in turns:
        for backend, factor in factors.items():
            times = factor * np.exp(noise * random.normal(size=3))
            one = make_record(
                f"{backend}{turn}",
                times=tuple(times),
                accuracies=(0.9,) * 3,
                backend=backend,
                round=turn,
            )
            made.append(
                replace(one, disturbance=LOUD if turn in loud and backend == "jax" else QUIET)
            )
    return made


def longer(epoch, factor):
    return replace(
        epoch, training=replace(epoch.training, wall_seconds=factor * epoch.training.wall_seconds)
    )
