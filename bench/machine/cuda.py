"""Decides which builds for NVIDIA GPUs run on a machine: by driver, GPUs and processor."""

from __future__ import annotations

import platform
from typing import NamedTuple

from backends.family import Capability, CudaBuild
from bench.machine.nvml import ask, can_ask


class Hardware(NamedTuple):
    """The hardware that an environment for NVIDIA GPUs has to run on.

    Attributes:
        driver: the version of NVIDIA's driver: "580.65.06", or only "580".
        capabilities: the compute capabilities of the GPUs, each once.
        processor: as `platform.machine` names it.
        system: as `platform.system` names it.
    """

    driver: str
    capabilities: tuple[Capability, ...]
    processor: str
    system: str

    def __str__(self) -> str:
        capabilities = ", ".join(f"{major}.{minor}" for major, minor in self.capabilities)
        return (
            f"{self.system} on {self.processor}, driver {self.driver}, compute capability"
            f" {capabilities}"
        )

    def misfit(self, build: CudaBuild) -> str:
        """Why a build does not run on these machines, as "needs ..." or the like; "" if it does."""
        if self.system != "Linux" or self.processor not in build.lowest:
            return f"is for Linux on {' or '.join(build.lowest)}"
        if int(self.driver.partition(".")[0]) < build.minimum_driver:
            return f"needs driver {build.minimum_driver} or newer"
        lowest, highest = build.lowest[self.processor], build.highest
        if min(self.capabilities) < lowest:
            return f"has no code for compute capabilities below {lowest[0]}.{lowest[1]}"
        if highest is not None and max(self.capabilities) > highest:
            return f"does not run on compute capabilities from {highest[0] + 1}.0 on"
        return ""


def this_hardware() -> Hardware | None:
    """This machine's hardware as NVML reports it; None without a driver, or without an answer."""
    if not can_ask():
        return None
    driver = ask("nvmlSystemGetDriverVersion")
    boards = range(ask("nvmlDeviceGetCount") or 0)
    handles = [ask("nvmlDeviceGetHandleByIndex", board) for board in boards]
    # A board without a handle is one that this process may not use.
    capabilities = {
        ask("nvmlDeviceGetCudaComputeCapability", handle)
        for handle in handles
        if handle is not None
    }
    known = {capability for capability in capabilities if capability}
    return of_this_computer(str(driver), known) if driver and known else None


def of_this_computer(driver: str, capabilities: set[Capability]) -> Hardware:
    """The hardware with this driver, these GPUs, and this machine's processor and system."""
    sorted_capabilities = tuple(sorted(capabilities))
    return Hardware(driver, sorted_capabilities, platform.machine(), platform.system())
