"""Which device has which precision."""

from __future__ import annotations

import pytest

from backends.contract import Unsupported
from backends.family import Family, Gap
from backends.precision import refuse_gaps, require_hardware
from tests.support.jobs import make_job


def refusal(device, precision, capability=(9, 0)):
    """The reason why a device does not have a precision; "" if it has it."""

    def asked():
        assert device.startswith("cuda"), "only an NVIDIA GPU has a compute capability"
        return capability

    try:
        require_hardware(make_job(device=device, precision=precision), asked)
    except Unsupported as error:
        return str(error)
    return ""


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_gpus_since_ampere_have_every_precision(precision):
    assert refusal("cuda:0", precision, (8, 0)) == refusal("cuda:1", precision, (12, 0)) == ""


@pytest.mark.parametrize(("precision", "name"), [("tf32", "TF32"), ("bfloat16", "bfloat16")])
def test_older_gpus_have_only_float32(precision, name):
    reason = f"{name} needs compute capability 8.0, and this GPU has 7.5"
    assert refusal("cuda:0", precision, (7, 5)) == reason
    assert refusal("cuda:0", "float32", (7, 5)) == ""


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu:0"])
def test_no_other_device_has_tf32_but_bfloat16_is_left_to_the_framework(device):
    kind = device.partition(":")[0]
    expected = f"TF32 is a format of NVIDIA's tensor cores, and the device is {kind}"
    assert refusal(device, "tf32") == expected
    assert refusal(device, "bfloat16") == refusal(device, "float32") == ""


def test_a_gap_of_the_framework_is_the_reason():
    family = Family(
        backends={}, gaps={"toy": {"bfloat16": Gap(kind="never", reason="the toy has none")}}
    )
    with pytest.raises(Unsupported, match="the toy has none"):
        refuse_gaps(make_job(precision="bfloat16"), family)
    refuse_gaps(make_job(precision="tf32"), family)
    refuse_gaps(make_job(), family)
