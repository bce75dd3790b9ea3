"""A key that is read from a file must be a plain name.

So a folder from somebody else cannot decide where files are written.
"""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec.structs import replace

from bench.machine.host import this_machine
from bench.records import limits, noise, verification
from bench.records.job import Record
from bench.records.limits import EngineLimits
from bench.records.noise import Calibration
from bench.records.stored import write
from bench.records.verification import Verification
from bench.statistics.noise import calibrate
from tests.support.records import made_verification, make_record, series

KEYS = (
    "{}/precious",
    "../../precious",
    "..",
    ".hidden",
    "a/b",
    "a\\b",
    "",
    "a\n",
    "a\x00",
    "a b",
    "ä",
    "x" * 201,
)


def made_limits():
    return EngineLimits(
        format=EngineLimits.FORMAT,
        key="k",
        status="ok",
        reason="",
        details="",
        environment="bench",
        device="cpu",
        threads=1,
        precision="float32",
        machine=this_machine(),
        versions={},
        adapter_checksum="",
        started="2026-01-01T00:00:00Z",
        wall_seconds=1.0,
        value_bytes=8,
        settings={},
        reached=(),
    )


MADE = {
    Record: make_record,
    Verification: made_verification,
    Calibration: lambda: calibrate(series([1.0, 2.0]), ())[0],
    EngineLimits: made_limits,
}


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_every_kind_of_record_has_a_plain_name_or_is_none(kind):
    content = json.loads(msgspec.json.encode(MADE[kind]()))
    for key in ("k", "softmax.keras-jax.cuda0.s0.r0.0123456789ab", "x" * 200):
        assert msgspec.json.decode(json.dumps({**content, "key": key}), type=kind).key == key
    for key in KEYS:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps({**content, "key": key}), type=kind)


@pytest.mark.parametrize("key", KEYS, ids=ascii)
def test_a_report_on_a_folder_from_elsewhere_writes_nothing_outside_of_it(key, bench, tmp_path):
    run = tmp_path / "r"
    write(run / "jobs", replace(make_record(backend="pytorch"), adapter_checksum="a"))
    made = (
        (
            run / noise.FOLDER,
            replace(MADE[Calibration](), machine=replace(this_machine(), name="m")),
        ),
        (run / verification.FOLDER, made_verification()),
        (run / limits.FOLDER, made_limits()),
        (run / "jobs", make_record(seed=1)),
    )
    for folder, content in made:
        folder.mkdir(exist_ok=True)
        hostile = {**json.loads(msgspec.json.encode(content)), "key": key.format(tmp_path)}
        (folder / "hostile.json").write_text(json.dumps(hostile))
    (tmp_path / "precious.json").write_text("mine")
    before = set(tmp_path.rglob("*"))
    code, _, errors = bench("report", "r")
    assert code == 0
    for folder in ("jobs", limits.FOLDER, noise.FOLDER, verification.FOLDER):
        assert f"{folder}/hostile.json: damaged, left out" in errors
    assert (tmp_path / "precious.json").read_text() == "mine"
    assert {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - before} == {
        "r"
    }


def test_a_plain_name_from_elsewhere_is_kept_beside_the_run(bench, tmp_path):
    """Otherwise the test above would also pass if nothing were ever written."""
    run = tmp_path / "r"
    write(run / "jobs", replace(make_record(backend="pytorch"), adapter_checksum="a"))
    made = replace(
        MADE[Calibration](), key="noise-from-elsewhere", machine=replace(this_machine(), name="m")
    )
    write(tmp_path / noise.FOLDER, made)
    write(
        tmp_path / verification.FOLDER,
        replace(made_verification(), key="verification-from-elsewhere"),
    )
    assert bench("report", "r")[0] == 0
    assert (run / noise.FOLDER / "noise-from-elsewhere.json").is_file()
    assert (run / verification.FOLDER / "verification-from-elsewhere.json").is_file()


@pytest.mark.parametrize("name", ["plots", noise.FOLDER, verification.FOLDER, "anonymous"])
def test_nothing_is_written_through_a_link_in_a_folder_from_elsewhere(name, bench, tmp_path):
    run, victim = tmp_path / "r", tmp_path / "victim"
    victim.mkdir()
    for backend in ("pytorch", "reference"):
        record = make_record(backend, backend=backend)
        write(run / "jobs", replace(record, adapter_checksum="a"))
    made = replace(MADE[Calibration](), machine=replace(this_machine(), name="m"))
    write(tmp_path / noise.FOLDER, made)
    write(tmp_path / verification.FOLDER, made_verification())
    (run / name).symlink_to(victim)
    code, _, errors = bench("report", "r", *(["--anonymous"] if name == "anonymous" else []))
    assert (code, [*victim.iterdir()]) == (2, [])
    assert f"r/{name}: is a link" in errors
