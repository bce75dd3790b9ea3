"""What NVIDIA's library is asked of a GPU, with a library of our own: no GPU here is divided."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.machine.nvml import _partition


class NVMLError(Exception):
    pass


def library(*, mode, profiles):
    """A library that knows one GPU, divided as said; as many places as an A100 has."""

    def handle_of(handle, number):
        if number >= len(profiles):
            raise NVMLError
        return profiles[number]

    def mode_of(handle):
        if mode is None:
            raise NVMLError  # a GPU before Ampere
        return [mode, mode]

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_DEVICE_MIG_ENABLE=1,
        nvmlDeviceGetMigMode=mode_of,
        nvmlDeviceGetMaxMigDeviceCount=lambda handle: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=handle_of,
        nvmlDeviceGetName=lambda part: f"NVIDIA A100-SXM4-40GB MIG {part}",
    )


@pytest.mark.parametrize(
    ("mode", "profiles", "expected"),
    [
        (None, (), ""),
        (0, ("1g.5gb",), ""),
        (1, ("1g.5gb", "2g.10gb"), "1g.5gb, 2g.10gb"),
        (1, (), "divided, no instance"),
    ],
)
def test_the_profiles_of_a_divided_gpu_are_named_and_a_whole_one_has_none(mode, profiles, expected):
    assert _partition(library(mode=mode, profiles=profiles), "gpu") == expected


def test_an_old_library_knows_no_partitions():
    assert _partition(SimpleNamespace(NVMLError=NVMLError), "gpu") == ""
