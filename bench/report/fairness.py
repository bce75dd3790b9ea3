"""Why the comparison is fair: what every contestant of a run did alike, by the records, and what was proven of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from backends.gaps import GAPS
from backends.registry import BACKENDS
from backends.terms import TERMS, terms_of
from bench.proof import Proof, deviation_of, proof_of, say
from bench.record import Record, meaning
from bench.report import words
from bench.report.document import Block, Folded, Heading, Table, Text

_ALIKE = (
    "Every matched backend started each training from the same initial weights (drawn once in NumPy and given to it),"
    " saw the same batches in the same order, and used the same update formulas with the same constants. Accuracy and"
    " loss were computed by the bench from the logits, of the last epoch, never of the best. What differs is dropout:"
    " timed runs use each framework's own generator, whose share, scale and freshness the proof checks."
)
_PROOF = (
    "The proof (`bench prove`) holds a backend to a reference in float64, through the very calls that are timed: its"
    " logits, and the loss and every weight after each of the first steps, for every layer, activation, loss, optimizer"
    " and initializer of the language; an epoch over a whole data set; that one call is as many steps, that exactly the"
    " ordered images are used, that the same seed repeats, that `sync` waits, and its own dropout. Figures are the"
    " largest deviation in units of the tolerance, each derived from float32's rounding: above 1 is a failure."
)
_CONTRACT = (
    "What each framework does unless told, what the workload or its language says, and what the adapter does about it."
    " The tests ask the installed frameworks for these defaults."
)
_CHECKS = ("prediction", "steps", "epoch", "long", "calls", "order", "extremes", "repeat", "purity", "sync", "dropout")


def fairness_blocks(records: Sequence[Record], proofs: Sequence[Proof]) -> list[Block]:
    """What was alike in this run, what was proven of each backend here, and, folded, the contract and the gaps."""
    matched = [record for record in records if record.job.mode == "matched"]
    backends = list(dict.fromkeys(record.job.backend for record in matched if record.job.backend in BACKENDS))
    if not backends:
        return []
    applied = _applied(matched, proofs)
    blocks: list[Block] = [
        Heading("Why the comparison is fair", 2),
        Text(_ALIKE),
        Table(
            ("backend", "races", "same initial weights", "same batches", "equal to the reference"),
            _rows(matched, applied),
        ),
        Text(_PROOF),
    ]
    proven = {key: proof for key, proof in applied.items() if proof is not None}
    if proven:
        several = len({device for _, device in proven}) > 1
        rows = [
            (f"{b} {d}" if several else b, *(words.tolerances(deviation_of(proof, check)) for check in _CHECKS))
            for (b, d), proof in proven.items()
        ]
        blocks.append(Table(("largest deviation", *_CHECKS), tuple(rows)))
    blocks += [
        Folded("The contract: what each framework would have done, and what it was made to do", _contract(backends)),
        Folded("Gaps: what a backend does not do, or was not proven to", _gaps(backends)),
    ]
    return blocks


def proof_line(records: Sequence[Record], proofs: Sequence[Proof]) -> str:
    """One line for a terminal: which of a run's backends are proven on this machine, and what to type for the rest."""
    applied = _applied([record for record in records if record.job.mode == "matched"], proofs)
    left = {backend: proof for (backend, _), proof in applied.items() if proof is None or proof.verdict != "proven"}
    wrong = [backend for backend, proof in left.items() if proof is not None and proof.verdict == "not equal"]
    if wrong:
        return f"NOT EQUAL to the reference on this machine: {', '.join(wrong)}. See the report."
    left.pop("reference", None)
    if left:
        some = f" --backend {','.join(left)}" if len(left) < len(applied) else ""
        return f"Not proven equal to the reference here: {', '.join(left)}. Type: bench prove{some}"
    return "Proven equal to the float64 reference on this machine: all backends." if applied else ""


def _applied(records: Iterable[Record], proofs: Sequence[Proof]) -> dict[tuple[str, str], Proof | None]:
    """By backend and device, the proof that speaks of all its records; None where one of them has none."""
    found: dict[tuple[str, str], Proof | None] = {}
    for record in records:
        key = record.job.backend, record.job.device
        proof = proof_of(record, proofs)
        found[key] = proof if found.get(key, proof) is not None else None
    return found


def _rows(records: Sequence[Record], applied: Mapping[tuple[str, str], Proof | None]) -> tuple[tuple[str, ...], ...]:
    races: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        if record.startup is not None:
            job = record.job
            races[meaning(job.workload), record.data.checksum, job.seed, job.batch_size].append(record)
    rows = []
    for (backend, device), proof in applied.items():
        own = [race for race in races.values() if any(_is(record, backend, device) for record in race)]
        contested = [race for race in own if len(race) > 1]
        weights = sum(len({r.startup.weights_checksum for r in race if r.startup}) == 1 for race in contested)
        orders = sum(_same_order(race) for race in contested)
        of = f" of {len(contested)}"
        name = backend if device == "cpu" else f"{backend} {device}"
        alike = (f"{weights}{of}", f"{orders}{of}") if contested else ("raced alone", "raced alone")
        verdict = "it is the reference" if backend == "reference" else _verdict(proof, backend)
        rows.append((name, str(len(own)), *alike, verdict))
    return tuple(rows)


def _is(record: Record, backend: str, device: str) -> bool:
    return (record.job.backend, record.job.device) == (backend, device)


def _same_order(race: Sequence[Record]) -> bool:
    """Whether all saw the same images in the same order, in every epoch that two of them came to."""
    seen: dict[int, set[str]] = defaultdict(set)
    for record in race:
        for epoch in record.epochs:
            seen[epoch.number].add(epoch.order_checksum)
    return all(len(orders) == 1 for orders in seen.values())


def _verdict(proof: Proof | None, backend: str) -> str:
    if proof is None:
        return f"not proven for this machine, these versions and this adapter: `bench prove --backend {backend}`"
    if proof.verdict != "proven" or proof.worst is None:
        return say(proof)
    few = ", on a few models: see the gaps" if BACKENDS[backend].compiles_slowly else ""
    share = words.tolerances(proof.worst[1].deviation)
    return f"proven on this machine on {proof.started[:10]}, to {share} of the tolerance{few}"


def _contract(backends: Sequence[str]) -> list[Block]:
    """A row per term and per way to stand on it, with the backends that stand so."""
    stands = {b: terms_of(b).stands for b in backends if b != "reference"}
    rows: list[tuple[str, ...]] = []
    for number, term in enumerate(TERMS):
        ways: dict[tuple[str, str], list[str]] = defaultdict(list)
        for backend, own in stands.items():
            ways[own[number].text, own[number].enforced].append(backend)
        for place, ((default, enforced), who) in enumerate(ways.items()):
            first = (term.name, term.spec) if place == 0 else ("", "")
            rows.append((*first, ", ".join(who), default, enforced))
    return [Text(_CONTRACT), Table(("term", "the spec says", "backends", "default", "enforced"), tuple(rows))]


def _gaps(backends: Sequence[str]) -> list[Block]:
    rows = [
        (backend, feature, gap.kind, gap.reason)
        for backend in backends
        for feature, gap in GAPS.get(backend, {}).items()
    ]
    return [Table(("backend", "feature or model of the proof", "gap", "why"), tuple(rows))]
