"""`--anonymous`: no byte of what is written tells whose machine it was."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.command import acceptance
from bench.command.parser import make_parser
from bench.machine.gpu_facts import Fact
from bench.machine.gpu_state import GpuState
from bench.machine.nvml import Gpu
from bench.records import noise
from bench.records.anonymous import Neutral
from bench.records.command import write_command
from bench.records.job import Record
from bench.records.limits import EngineLimits
from bench.records.stored import read, write
from bench.records.turns import Member, Turns
from bench.records.verification import Verification
from bench.worker.energy import Counter
from bench.worker.lines import JobVerification, Turn
from tests.support.records import a_machine, made_limits, made_verification, make_record, piece

HOST, USER, OTHER = "vault7.example.org", "alicia", "bertram"
BOARD = "GPU-5f3a9c1e-1111-2222-3333-444455556666"
SLICE = "MIG-77777777-8888-9999-aaaa-bbbbccccdddd"
SECRETS = (
    HOST,
    "vault7",
    "example.org",
    USER,
    OTHER,
    "/home",
    "/scratch",
    BOARD,
    SLICE,
    "5f3a9c1e",
)
PRIVATE = f"vault7: no file '/scratch/my data/x' nor /home/{OTHER}/y:3, says {USER} on {BOARD}"


def a_gpu(uuid, board=""):
    return Gpu(index=0, uuid=uuid, name="H200", memory_bytes=10**11, driver="550", board=board)


MACHINE = replace(a_machine(), name=HOST, gpus=(a_gpu(BOARD), a_gpu(SLICE, BOARD)))
OF_WORKER = {
    "reason": PRIVATE,
    "details": f"Traceback\n{PRIVATE}",
    "variables": (f"XLA_FLAGS=--xla_dump_to=/home/{USER}/dump",),
}


def jobs():
    settings = {"library": f"/home/{USER}/lib/libcudnn.so", "threads": 1}
    for number, device in enumerate(("cpu", "cuda:0", f"spark://{HOST}:7077")):
        record = make_record(f"{HOST}.{number}", device=device, backend="pytorch")
        startup = replace(record.startup, settings=settings, energy=Counter(reason=f"no {PRIVATE}"))
        verified = JobVerification(
            method="exact", steps=1, partial_batch=0, not_verified=PRIVATE, deviations={}
        )
        state = GpuState(uuid=BOARD, reasons=(PRIVATE,))
        yield replace(record, startup=startup, verification=verified, gpu=state)
    yield make_record("beside", backend="reference")
    yield replace(make_record("failed", status="failed", backend="jax"), **OF_WORKER)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in which every free text, name and identifier gives somebody away."""
    monkeypatch.setattr("platform.node", lambda: HOST)
    monkeypatch.setattr("getpass.getuser", lambda: USER)
    folder = tmp_path / "results" / "acceptance" / "smoke"
    records = [replace(record, machine=MACHINE) for record in jobs()]
    for record in records:
        write(folder / "jobs", record)
    turn = Turn(wall_seconds=1.0, cpu_seconds=1.0, waited_seconds=0.0, waited_cpu_seconds=0.0)
    member = Member(
        job=records[0].key, backend="pytorch", is_new=False, share=1.0, turns=(turn, turn)
    )
    write(
        folder / "turns",
        Turns(
            format=Turns.FORMAT,
            key="t",
            machine=MACHINE,
            versions={},
            members=(member,),
            orders=((0,), (0,)),
            refused=PRIVATE,
            disturbance=None,
            started="2026-01-01T00:00:00Z",
            wall_seconds=2.0,
        ),
    )
    write(folder / "limits", made_limits(machine=MACHINE, **OF_WORKER))
    pieces = (replace(piece(0.5), failed=PRIVATE, details=PRIVATE),)
    checked = made_verification(machine=MACHINE, adapter_checksum="", pieces=pieces, **OF_WORKER)
    write(folder / "verifications", replace(checked, variables=()))
    (folder / "verifications" / f"{HOST}.json").write_text("damaged")
    write_command(folder, ["run", "smoke", "--results", f"/home/{USER}/results"])
    return folder


def told(folder):
    """The secrets in the names and bytes of all files in a folder, also packed ones."""
    found = set()
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = content + str(path.relative_to(folder)).encode()
        found |= {secret for secret in SECRETS if secret.encode().lower() in text.lower()}
    return found


def test_the_planted_secrets_are_found_where_nothing_is_left_out(run, bench):
    bench("report", str(run))
    assert told(run) == {*SECRETS}


def test_a_report_to_send_tells_nothing_and_can_be_read_again(run, bench):
    bench("report", str(run), "--anonymous")
    folder = run / "anonymous"
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.md", "epochs.csv", "summary.csv", "jobs"} <= names
    assert not told(folder)
    assert "machine-1" in (folder / "report.md").read_text()
    records, left_out = read([folder / "jobs"], Record)
    assert (len(records), left_out) == (5, [])
    assert [len(read([folder / name], kind)[0]) for name, kind in KINDS] == [1, 1, 1]
    bench("report", str(folder))
    assert not told(folder)


KINDS = (("turns", Turns), ("limits", EngineLimits), ("verifications", Verification))


@pytest.mark.parametrize("form", ["jsonl", "csv", "latex", "pytest-benchmark"])
def test_an_export_tells_nothing(form, run, bench, tmp_path):
    output = tmp_path / "out" / "file"
    assert (
        bench("export", str(run), "--format", form, "--anonymous", "--output", str(output))[0] == 0
    )
    assert output.stat().st_size
    assert not told(output.parent)


def test_the_archive_of_an_acceptance_tells_nothing(run, monkeypatch, tmp_path):
    monkeypatch.setattr(acceptance, "steps_of", lambda *_: [])
    monkeypatch.setattr(acceptance, "this_machine", lambda *_: MACHINE)
    fact = Fact("jax", f"unknown: no ptxas in /home/{USER}/bin on {HOST}, for {BOARD}")
    monkeypatch.setattr(acceptance, "gpu_facts", lambda *_: [fact])
    chosen = make_parser().parse_args(
        ["acceptance", "--anonymous", "--device", "cpu", "--results", str(tmp_path / "results")]
    )
    assert acceptance.acceptance(chosen) == 0
    path = run.parent / "acceptance.tar.gz"
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / path.name).write_bytes(path.read_bytes())
    assert not told(tmp_path / "sent")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert {(one.uid, one.gid, one.uname, one.gname) for one in members} == {(0, 0, "", "")}
    names = {one.name for one in members}
    assert "acceptance/report.html" in names
    assert {f"acceptance/smoke/{name}" for name in ("report.html", "plots/speed.svg")} <= names


def test_the_same_machine_has_the_same_name_everywhere_and_another_one_another():
    other = replace(MACHINE, name="zeta")
    records = [replace(record, machine=MACHINE) for record in jobs()]
    records.append(replace(records[0], key="z", machine=other))
    calibration = noise_of(MACHINE)
    neutral = Neutral([*records, calibration])
    names = [neutral.record(record).machine.name for record in (*records, calibration)]
    assert names == [*["machine-1"] * 5, "machine-2", "machine-1"]


def noise_of(machine):
    return noise.Calibration(
        format=noise.Calibration.FORMAT,
        key="c",
        machine=machine,
        versions={},
        device=f"spark://{HOST}:7077",
        threads=1,
        backend="spark",
        workload="softmax",
        dataset="mnist-5k",
        epochs=5,
        batch_size=64,
        wall=(0.01,),
        cpu=(0.01,),
        disturbed=0,
        ended="2026-01-01T00:00:00Z",
    )


def test_what_is_no_secret_stays():
    record = replace(
        make_record(status="failed"),
        machine=MACHINE,
        reason="a loss of 1/2 at 3 GFLOP/s, see https://example.net/a/b and and/or",
    )
    assert Neutral([record]).record(record).reason == record.reason


def test_models_are_not_exported_so(run, bench):
    code, _, errors = bench("export", str(run), "--format", "t7", "--anonymous")
    assert code == 2
    assert "models contain no names" in errors
    assert not (Path(run) / "exported").exists()
