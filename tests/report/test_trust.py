"""The report's section on trust: what was the same, which backends are verified, the defaults."""

from __future__ import annotations

from msgspec.structs import replace

from bench.machine.host import this_machine
from bench.report.form.blocks import Folded, Table
from bench.report.section import trust
from tests.support.records import made_verification, make_record, piece, run_of
from tests.support.verifications import record


def run_with(records, verifications):
    run = run_of(*records)
    run.verifications = verifications
    return run


def line(records, verifications):
    return trust.verification_line(run_with(records, verifications))


def section(records, verifications):
    return trust.section(run_with(records, verifications))


def test_of_two_machines_the_worse_verdict_is_never_hidden():
    other = replace(this_machine(), name="n")
    verifications = [
        made_verification(pieces=(piece(2.0),)),
        made_verification(machine=other, key="n"),
    ]
    records = [record(), record(key="n", machine=other)]
    for order in (records, records[::-1]):
        assert line(order, verifications).startswith("NOT EQUAL")
        verdicts = {row[0]: row[5] for row in table(order, verifications)}
        assert {name: text.partition(":")[0][:11] for name, text in verdicts.items()} == {
            "pytorch m": "NOT EQUAL",
            "pytorch n": "verified on",
        }
    gpu = made_verification(device="cuda:0", pieces=(piece(2.0),))
    on_both = [record(), record(key="g", job={"device": "cuda:0"})]
    assert line(on_both, [gpu]).startswith("NOT EQUAL")


def test_a_backend_of_another_version_and_what_is_unsupported_do_not_stop_the_report():
    old = replace(make_record("b", backend="gone"), adapter_checksum="a")
    assert (
        table([old], [made_verification(backend="gone")])[0][5]
        == "not a backend of this version of framework-bench"
    )
    unsupported = replace(record(), status="unsupported")
    assert table([record(key="c"), unsupported], [made_verification()])[0][5].startswith(
        "verified on"
    )
    assert section([unsupported], []) == []
    rounds = [record(), record(key="c", job={"round": 1})]
    assert table(rounds, [])[0][2] == "no other backend"


def table(records, verifications):
    return next(block for block in section(records, verifications) if isinstance(block, Table)).rows


def test_the_report_says_of_every_backend_whether_it_trained_alike_and_was_verified():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    rows = table([record(), other], [made_verification()])
    assert rows[0] == (
        "pytorch",
        "1",
        "1 of 1",
        "1 of 1",
        "0 of 1",
        "verified on this machine on 2026-01-01, to 0.25 of the tolerance",
    )
    assert rows[1][:4] == ("jax", "1", "1 of 1", "1 of 1")
    assert "`bench verify --backend jax`" in rows[1][5]
    assert "NOT EQUAL" in table([record()], [made_verification(pieces=(piece(2.0),))])[0][5]
    assert table([record()], [made_verification()])[0][2] == "no other backend"


def test_other_weights_or_another_order_are_counted_and_other_seeds_are_other_groups():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    changed = replace(other, startup=replace(other.startup, weights_checksum="x"))
    assert table([record(), changed], [])[0][2:4] == ("0 of 1", "1 of 1")
    epochs = (*other.epochs[:3], replace(other.epochs[3], order_checksum="x"))
    assert table([record(), replace(other, epochs=epochs)], [])[0][2:4] == ("1 of 1", "0 of 1")
    seeds = [record(key=str(seed), job={"seed": seed}) for seed in range(3)]
    assert table([*seeds, other], [])[0][1:4] == ("3", "1 of 1", "1 of 1")


def test_one_line_says_what_is_verified_and_what_to_run_for_the_rest():
    other = replace(make_record("b", backend="jax"), adapter_checksum="a")
    assert (
        line([record()], [made_verification()])
        == "All backends are verified against the float64 reference on this machine."
    )
    text = line([record(), other], [made_verification()])
    assert (
        text
        == "Further checks of jax were not run on this machine. Run: `bench verify --backend jax`"
    )
    wrong = made_verification(pieces=(piece(2.0),))
    assert line([record()], [wrong]).startswith("NOT EQUAL")


def test_the_defaults_have_every_setting_and_backends_alike_are_in_one_row():
    from backends.defaults import SETTINGS

    other = make_record("b", backend="pytorch-compiled")
    [_, defaults, gaps] = [
        block for block in section([record(), other], []) if isinstance(block, Folded)
    ]
    rows = next(block for block in defaults.blocks if isinstance(block, Table)).rows
    assert [row[0] for row in rows if row[0]] == [setting.name for setting in SETTINGS]
    assert ("kernel initializer", "pytorch, pytorch-compiled") in {(row[0], row[2]) for row in rows}
    assert any(row[1] == "native mode" for row in gaps.blocks[0].rows)


def test_the_line_never_says_verified_of_what_disagrees_without_saying_so():
    others = [make_record(name, backend=name) for name in ("reference", "jax")]
    wrong = record(epochs=tuple(replace(e, running_loss=2.0) for e in record().epochs))
    verified = [made_verification(), made_verification(backend="jax", key="j")]
    right = [replace(other, adapter_checksum="a") for other in others]
    text = line([*right, wrong], verified)
    assert text.endswith("this machine. But pytorch disagrees here on softmax.")
    text = line([*right, wrong], [])
    assert text.startswith(
        "pytorch disagrees here on softmax. Further checks of jax, pytorch were not run on this"
        " machine. Run: "
    )
    assert text.endswith("`bench verify --backend jax,pytorch`")
