"""A verification as a record: its verdict, and the records that it applies to."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace

from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.stored import write
from bench.records.verification import read_verifications, verification_of
from bench.worker.lines import ModelFindings
from tests.support.records import made_verification, piece
from tests.support.verifications import record


def test_a_verdict_needs_every_check_to_run_and_to_pass():
    assert made_verification().verdict == "verified"
    assert made_verification(pieces=(piece(1.01),)).verdict == "not equal"
    assert made_verification(planned=2).verdict == "not verified"
    assert made_verification(status="killed").verdict == "not verified"
    assert (
        made_verification(
            pieces=(ModelFindings(model="x", seed=0, findings=(), unsupported="why"),)
        ).verdict
        == "not verified"
    )
    # what failed before the end failed
    assert made_verification(pieces=(piece(1.01),), status="killed").verdict == "not equal"


def test_a_verification_speaks_of_one_backend_device_machine_versions_and_adapter_only():
    verifications = [made_verification()]
    assert verification_of(record(), verifications) == verifications[0]
    others = (
        record(adapter_checksum="b"),
        record(versions={"torch": "2"}),
        record(machine=replace(this_machine(), name="other")),
        record(job={"device": "cuda:0"}),
        record(job={"precision": "tf32"}),
        record(job={"mode": "native"}),
    )
    assert [verification_of(other, verifications) for other in others] == [None] * len(others)
    newer = made_verification(started="2026-02-01T00:00:00Z", pieces=(piece(2.0),))
    assert verification_of(record(), [*verifications, newer]) == newer


def test_a_verification_by_other_checks_or_of_another_kind_of_gpu_is_of_no_account():
    gpu = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")
    kinds = (gpu, replace(gpu, uuid="GPU-b"), replace(gpu, driver="2"))
    here, alike, other = (replace(this_machine(), name="m", gpus=(kind,)) for kind in kinds)
    on_gpu = made_verification(device="cuda:0", machine=here)
    assert verification_of(record(job={"device": "cuda:0"}, machine=here), [on_gpu]) == on_gpu
    assert verification_of(record(job={"device": "cuda:0"}, machine=alike), [on_gpu]) == on_gpu
    assert verification_of(record(job={"device": "cuda:0"}, machine=other), [on_gpu]) is None
    assert verification_of(record(), [made_verification(checks_checksum="old")]) is None


def test_what_is_no_verification_is_left_out(tmp_path):
    write(tmp_path, made_verification())
    (tmp_path / "half.json").write_bytes(b'{"format": 1, "key"')
    (tmp_path / "other.json").write_text(json.dumps({"format": 1}))
    records, left_out = read_verifications([tmp_path, Path("/nowhere")])
    assert [record.key for record in records] == ["k"]
    assert [file.path.name for file in left_out] == ["half.json", "other.json"]
