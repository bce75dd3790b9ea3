"""Measures the framework's operations; a real family calls its framework here."""

from __future__ import annotations

from backends.contract import Job
from backends.reference.engine import ReferenceEngine
from toy_family.device import require_device, settings


class ToyEngine(ReferenceEngine):
    """NumPy's matrix product, convolution and sum."""

    def __init__(self, job: Job) -> None:
        require_device(job)

    def settings(self) -> dict[str, str | int | bool | None]:
        return settings()
