"""The proof as a command and a record: what it says of right and wrong backends, how it ends, what it speaks of."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from test_report import make_record

from bench import proof
from bench.conformance import Finding
from bench.environments import Environments
from bench.machine import Gpu, this_machine
from bench.proof import Proof, checks_checksum, proof_of, read_proofs, say, write_proof
from bench.prove import make_task, plan, run_proof
from bench.proving import Proven
from bench.report.document import Folded, Table
from bench.report.fairness import fairness_blocks, proof_line
from bench.report.proofs import print_proofs

MODEL = "sigmoid, rmsprop outside"


def made_proof(**changes) -> Proof:
    """A proof in which everything is as it should be."""
    fields = {
        "format": proof.FORMAT,
        "key": "k",
        "status": "ok",
        "reason": "",
        "details": "",
        "backend": "pytorch",
        "mode": "matched",
        "device": "cpu",
        "threads": 1,
        "machine": replace(this_machine(), name="m"),
        "versions": {},
        "adapter_checksum": "a",
        "checks_checksum": checks_checksum(),
        "started": "2026-01-01T00:00:00Z",
        "wall_seconds": 1.0,
        "settings": {},
        "pieces": (piece(0.25),),
        "planned": 1,
    }
    return Proof(**{**fields, **changes})


def piece(deviation, check="steps"):
    return Proven(model="softmax", seed=0, findings=(Finding(check=check, deviation=deviation, where="step 0, loss"),))


def proof_by(adapter, folder, places, timeout=600.0) -> Proof:
    """A real proof of some adapter of the tests, on one model and no behaviour."""
    machine = this_machine()
    task = replace(make_task("reference", "matched", "cpu", 1, Environments(), machine), adapter=adapter)
    few = replace(plan(task, places), models=(MODEL,), behaviour=(), long=())
    return run_proof(task, few, folder, machine, timeout, lambda done: None)


def test_a_planted_wrong_epsilon_turns_the_proof_red_and_says_where(tmp_path, places):
    made = proof_by("tests.mutants:WrongEpsilon", tmp_path, places)
    assert (made.status, made.verdict) == ("ok", "not equal")
    assert f"NOT EQUAL: steps, epoch failed; the worst is steps of '{MODEL}', step" in say(made)
    assert read_proofs([tmp_path]) == [made]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    console = Console(width=100, file=io.StringIO())
    print_proofs([made], console)
    assert "0 of 1 proven equal" in console.file.getvalue()


@pytest.mark.parametrize(
    ("adapter", "status", "reason"),
    [
        ("tests.faulty:Raises", "ok", f"'{MODEL}': ValueError: the framework says no"),
        ("tests.faulty:IsKilled", "killed", "signal SIGKILL"),
        ("tests.faulty:Exits", "failed", "exit code 7"),
        ("tests.faulty:CannotBuild", "ok", "no float32 here"),
        ("tests.nowhere:Nothing", "failed", "No module named"),
    ],
)
def test_a_proof_that_does_not_come_to_its_end_is_a_record_and_proves_nothing(
    adapter, status, reason, tmp_path, places
):
    made = proof_by(adapter, tmp_path, places)
    assert (made.status, made.verdict) == (status, "not proven")
    assert say(made).startswith("NOT PROVEN: ")
    assert reason in say(made)


def test_a_proof_that_hangs_is_ended(tmp_path, places):
    made = proof_by("tests.faulty:Hangs", tmp_path, places, timeout=5.0)
    assert (made.status, made.verdict) == ("timeout", "not proven")


def test_the_command_proves_shows_keeps_and_the_report_of_a_run_takes_the_proof_with_it(bench, tmp_path):
    code, out, err = bench("prove", "--backend", "reference", "--threads", "1")
    assert code == 0, err
    assert "1 of 1 proven equal on " in out
    assert "reference cpu: proven, " in err
    [kept] = (tmp_path / "results" / "proofs").glob("reference.matched.cpu.*.json")
    code, out, err = bench(
        *("run", "softmax", "--backend", "reference", "--dataset", "mnist-5k", "--epochs", "1", "--threads", "1")
    )
    assert code == 0, err
    assert "Proven equal to the float64 reference on this machine: all backends." in out
    assert (tmp_path / "results" / "softmax" / "proofs" / kept.name).is_file()
    page = (tmp_path / "results" / "softmax" / "report.html").read_text()
    assert "Why the comparison is fair" in page
    assert "it is the reference" in page


def test_a_verdict_needs_every_check_to_run_and_to_pass():
    assert made_proof().verdict == "proven"
    assert made_proof(pieces=(piece(1.01),)).verdict == "not equal"
    assert made_proof(planned=2).verdict == "not proven"
    assert made_proof(status="killed").verdict == "not proven"
    assert made_proof(pieces=(Proven(model="x", seed=0, findings=(), unsupported="why"),)).verdict == "not proven"
    # what failed before the end failed
    assert made_proof(pieces=(piece(1.01),), status="killed").verdict == "not equal"


def record(**changes):
    made = make_record(changes.pop("key", "k"), backend="pytorch", **changes.pop("job", {}))
    return replace(made, **{"adapter_checksum": "a", **changes})


def test_a_proof_speaks_of_one_backend_device_machine_versions_and_adapter_only():
    proofs = [made_proof()]
    assert proof_of(record(), proofs) == proofs[0]
    others = (
        record(adapter_checksum="b"),
        record(versions={"torch": "2"}),
        record(machine=replace(this_machine(), name="other")),
        record(job={"device": "cuda:0"}),
        record(job={"precision": "tf32"}),
        record(job={"mode": "native"}),
    )
    assert [proof_of(other, proofs) for other in others] == [None] * len(others)
    newer = made_proof(started="2026-02-01T00:00:00Z", pieces=(piece(2.0),))
    assert proof_of(record(), [*proofs, newer]) == newer


def test_a_proof_by_other_checks_or_of_another_gpu_is_of_no_account():
    gpus = [Gpu(index=0, uuid=uuid, name="G", memory_bytes=1, driver="1") for uuid in ("GPU-a", "GPU-b")]
    here, there = (replace(this_machine(), name="m", gpus=(gpu,)) for gpu in gpus)
    on_gpu = made_proof(device="cuda:0", machine=here)
    assert proof_of(record(job={"device": "cuda:0"}, machine=here), [on_gpu]) == on_gpu
    assert proof_of(record(job={"device": "cuda:0"}, machine=there), [on_gpu]) is None
    assert proof_of(record(), [made_proof(checks_checksum="old")]) is None


def test_of_two_machines_the_worse_verdict_is_never_hidden():
    other = replace(this_machine(), name="n")
    proofs = [made_proof(pieces=(piece(2.0),)), made_proof(machine=other, key="n")]
    records = [record(), record(machine=other)]
    for order in (records, records[::-1]):
        assert proof_line(order, proofs, {}).startswith("NOT EQUAL")
        assert {row[0]: row[4][:9] for row in table(order, proofs)} == {
            "pytorch m": "NOT EQUAL",
            "pytorch n": "proven on",
        }
    gpu = made_proof(device="cuda:0", pieces=(piece(2.0),))
    assert proof_line([record(), record(job={"device": "cuda:0"})], [gpu], {}).startswith("NOT EQUAL")


def test_a_backend_of_another_version_and_what_is_unsupported_do_not_stop_the_report():
    old = replace(make_record("b", backend="theano"), adapter_checksum="a")
    assert table([old], [made_proof(backend="theano")])[0][4] == "not a backend of this version of the bench"
    unsupported = replace(record(), status="unsupported")
    assert table([record(key="c"), unsupported], [made_proof()])[0][4].startswith("proven on")
    assert fairness_blocks([unsupported], [], {}) == []
    rounds = [record(), record(key="c", job={"round": 1})]
    assert table(rounds, [])[0][2] == "raced alone"


def test_what_is_no_proof_is_left_out(tmp_path):
    write_proof(made_proof(), tmp_path)
    (tmp_path / "half.json").write_bytes(b'{"format": 1, "key"')
    (tmp_path / "other.json").write_text(json.dumps({"format": 1}))
    assert [one.key for one in read_proofs([tmp_path, Path("/nowhere")])] == ["k"]


def table(records, proofs):
    return next(block for block in fairness_blocks(records, proofs, {}) if isinstance(block, Table)).rows


def test_the_report_says_of_every_backend_whether_it_raced_alike_and_was_proven():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    rows = table([record(), other], [made_proof()])
    assert rows[0] == (
        "pytorch",
        "1",
        "1 of 1",
        "1 of 1",
        "proven on this machine on 2026-01-01, to 0.25 of the tolerance",
    )
    assert rows[1][:4] == ("jax", "1", "1 of 1", "1 of 1")
    assert "`bench prove --backend jax`" in rows[1][4]
    assert "NOT EQUAL" in table([record()], [made_proof(pieces=(piece(2.0),))])[0][4]
    assert table([record()], [made_proof()])[0][2] == "raced alone"


def test_other_weights_or_another_order_are_counted_and_other_seeds_are_other_races():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    changed = replace(other, startup=replace(other.startup, weights_checksum="x"))
    assert table([record(), changed], [])[0][2:4] == ("0 of 1", "1 of 1")
    epochs = (*other.epochs[:3], replace(other.epochs[3], order_checksum="x"))
    assert table([record(), replace(other, epochs=epochs)], [])[0][2:4] == ("1 of 1", "0 of 1")
    seeds = [record(key=str(seed), job={"seed": seed}) for seed in range(3)]
    assert table([*seeds, other], [])[0][1:4] == ("3", "1 of 1", "1 of 1")


def test_one_line_says_what_is_proven_and_what_to_type_for_the_rest():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    assert (
        proof_line([record()], [made_proof()], {})
        == "Proven equal to the float64 reference on this machine: all backends."
    )
    assert proof_line([record(), other], [made_proof()], {}).endswith("jax. Type: bench prove --backend jax")
    assert proof_line([record()], [made_proof(pieces=(piece(2.0),))], {}).startswith("NOT EQUAL")


def test_the_contract_has_every_term_and_who_stands_on_it_alike_stands_together():
    from backends.terms import TERMS

    other = make_record("b", backend="pytorch-compiled")
    [contract, gaps] = [block for block in fairness_blocks([record(), other], [], {}) if isinstance(block, Folded)]
    rows = next(block for block in contract.blocks if isinstance(block, Table)).rows
    assert [row[0] for row in rows if row[0]] == [term.name for term in TERMS]
    assert ("kernel initializer", "pytorch, pytorch-compiled") in {(row[0], row[2]) for row in rows}
    assert any(row[1] == "native mode" for row in gaps.blocks[0].rows)


def test_the_contract_command_shows_default_spec_and_what_is_enforced(bench):
    code, out, _ = bench("contract", "--backend", "jax,reference")
    assert code == 0
    assert "the spec says" in out
    assert "gap: native mode (never): JAX has no layers" in out.replace("\n", " ")
    assert "reference defines what the spec says" in out


def test_the_line_never_says_proven_of_what_disagrees_without_saying_so():
    who = {("pytorch", "cpu", "m"): ["softmax", "cnn"]}
    line = proof_line([record()], [made_proof()], who)
    assert line.endswith("this machine: all backends. But pytorch disagrees here on softmax and cnn.")
    line = proof_line([record()], [], who)
    assert line.startswith("pytorch disagrees here on softmax and cnn. Not proven")
    assert line.endswith("Type: bench prove")
