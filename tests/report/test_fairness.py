"""The report's section on fairness: what was alike, which backends are verified, the contract."""

from __future__ import annotations

from msgspec.structs import replace

from bench.machine.host import this_machine
from bench.report.form.document import Folded, Table
from bench.report.section.fairness import fairness_blocks, verification_line
from tests.support.records import made_verification, make_record, piece
from tests.support.verifications import record


def test_of_two_machines_the_worse_verdict_is_never_hidden():
    other = replace(this_machine(), name="n")
    verifications = [
        made_verification(pieces=(piece(2.0),)),
        made_verification(machine=other, key="n"),
    ]
    records = [record(), record(machine=other)]
    for order in (records, records[::-1]):
        assert verification_line(order, verifications, {}).startswith("NOT EQUAL")
        verdicts = {row[0]: row[4] for row in table(order, verifications)}
        assert {name: text.partition(":")[0][:11] for name, text in verdicts.items()} == {
            "pytorch m": "NOT EQUAL",
            "pytorch n": "verified on",
        }
    gpu = made_verification(device="cuda:0", pieces=(piece(2.0),))
    assert verification_line([record(), record(job={"device": "cuda:0"})], [gpu], {}).startswith(
        "NOT EQUAL"
    )


def test_a_backend_of_another_version_and_what_is_unsupported_do_not_stop_the_report():
    old = replace(make_record("b", backend="theano"), adapter_checksum="a")
    assert (
        table([old], [made_verification(backend="theano")])[0][4]
        == "not a backend of this version of the bench"
    )
    unsupported = replace(record(), status="unsupported")
    assert table([record(key="c"), unsupported], [made_verification()])[0][4].startswith(
        "verified on"
    )
    assert fairness_blocks([unsupported], [], {}) == []
    rounds = [record(), record(key="c", job={"round": 1})]
    assert table(rounds, [])[0][2] == "raced alone"


def table(records, verifications):
    return next(
        block for block in fairness_blocks(records, verifications, {}) if isinstance(block, Table)
    ).rows


def test_the_report_says_of_every_backend_whether_it_raced_alike_and_was_verified():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    rows = table([record(), other], [made_verification()])
    assert rows[0] == (
        "pytorch",
        "1",
        "1 of 1",
        "1 of 1",
        "verified on this machine on 2026-01-01, to 0.25 of the tolerance",
    )
    assert rows[1][:4] == ("jax", "1", "1 of 1", "1 of 1")
    assert "`bench verify --backend jax`" in rows[1][4]
    assert "NOT EQUAL" in table([record()], [made_verification(pieces=(piece(2.0),))])[0][4]
    assert table([record()], [made_verification()])[0][2] == "raced alone"


def test_other_weights_or_another_order_are_counted_and_other_seeds_are_other_races():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    changed = replace(other, startup=replace(other.startup, weights_checksum="x"))
    assert table([record(), changed], [])[0][2:4] == ("0 of 1", "1 of 1")
    epochs = (*other.epochs[:3], replace(other.epochs[3], order_checksum="x"))
    assert table([record(), replace(other, epochs=epochs)], [])[0][2:4] == ("1 of 1", "0 of 1")
    seeds = [record(key=str(seed), job={"seed": seed}) for seed in range(3)]
    assert table([*seeds, other], [])[0][1:4] == ("3", "1 of 1", "1 of 1")


def test_one_line_says_what_is_verified_and_what_to_type_for_the_rest():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    assert (
        verification_line([record()], [made_verification()], {})
        == "ModelFindings equal to the float64 reference on this machine: all backends."
    )
    assert verification_line([record(), other], [made_verification()], {}).endswith(
        "jax. Type: bench verify --backend jax"
    )
    assert verification_line([record()], [made_verification(pieces=(piece(2.0),))], {}).startswith(
        "NOT EQUAL"
    )


def test_the_contract_has_every_term_and_who_stands_on_it_alike_stands_together():
    from backends.defaults import SETTINGS

    other = make_record("b", backend="pytorch-compiled")
    [contract, gaps] = [
        block for block in fairness_blocks([record(), other], [], {}) if isinstance(block, Folded)
    ]
    rows = next(block for block in contract.blocks if isinstance(block, Table)).rows
    assert [row[0] for row in rows if row[0]] == [setting.name for setting in SETTINGS]
    assert ("kernel initializer", "pytorch, pytorch-compiled") in {(row[0], row[2]) for row in rows}
    assert any(row[1] == "native mode" for row in gaps.blocks[0].rows)


def test_the_line_never_says_verified_of_what_disagrees_without_saying_so():
    who = {("pytorch", "cpu", "m"): ["softmax", "cnn"]}
    line = verification_line([record()], [made_verification()], who)
    assert line.endswith(
        "this machine: all backends. But pytorch disagrees here on softmax and cnn."
    )
    line = verification_line([record()], [], who)
    assert line.startswith("pytorch disagrees here on softmax and cnn. Not verified")
    assert line.endswith("Type: bench verify")
