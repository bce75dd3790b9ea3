"""Whether the result of a job may be believed: its own verification, and the other jobs.

Records do not store the judgement: it is computed whenever they are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from backends.contract import kind_of
from bench.records.job import Record
from bench.statistics.agreement import agreement
from bench.statistics.learning import suspicion
from bench.statistics.native import native_suspicions
from bench.worker.lines import INFINITE, JobVerification
from bench.worker.verification.training import PREDICTION, PRODUCTS, WEIGHTS

Doubt = Literal["", "wrong", "disagrees", "suspect", "unconfirmed"]
# The kinds of device for which `results/` holds a verified run. On other kinds a deviation of a few
# tolerances may only mean that the tolerance is too small.
CONFIRMED_DEVICES = frozenset({"cpu"})
_UNCONFIRMED = 50.0  # tolerances; a larger deviation is wrong on any device


# The reasons for a job in bfloat16.
_OTHER_PRECISION = {
    PRODUCTS: "its products are computed in float32, not in bfloat16",
    PREDICTION: "its predictions are computed in float32, not in bfloat16",
    WEIGHTS: "its weights are kept in bfloat16, not in float32",
}


class Judgement(NamedTuple):
    """The judgement of a job that ended ok.

    Attributes:
        doubt: "wrong": its first steps differ from the reference; "disagrees": it is far from the
            other backends; "suspect": it did not learn, is outside the known range of this
            workload, or is a native job much worse than the matched ones; "unconfirmed": it differs
            a little from the reference, on a kind of device without confirmed tolerances; "" if
            there is no doubt.
        reason: why, in one line.
        agrees: whether it agrees with the other backends; None if it could not be compared.
    """

    doubt: Doubt
    reason: str
    agrees: bool | None

    @property
    def counts(self) -> bool:
        """Whether the result may be ranked."""
        return self.doubt in ("", "unconfirmed")


NOT_JUDGED = Judgement("", "", agrees=None)


def judgements(records: Iterable[Record]) -> dict[str, Judgement]:
    """The judgement of each job that ended ok, by the key of its record."""
    ended_ok = [record for record in records if record.status == "ok"]
    own_doubts = {record.key: _own(record) for record in ended_ok}
    # A wrong result must not move the median of the others.
    disagreements = agreement(r for r in ended_ok if own_doubts[r.key][0] != "wrong")
    matched = [record for record in ended_ok if record.job.mode == "matched"]
    judged = {
        record.key: _judge(record, *own_doubts[record.key], disagreements.get(record.key))
        for record in matched
    }
    native = [record for record in ended_ok if record.job.mode == "native"]
    why = native_suspicions(native, (r for r in matched if judged[r.key].counts))
    return judged | {
        record.key: Judgement("suspect", why[record.key], agrees=None)
        if why.get(record.key)
        else NOT_JUDGED
        for record in native
    }


def own_doubt(job_verification: JobVerification | None, device: str) -> tuple[Doubt, str]:
    """The doubt that follows from a job's own verification, and its reason."""
    if job_verification is None:
        return "", ""
    name, deviation = job_verification.worst
    if deviation <= 1.0:
        return "", ""
    if name in _OTHER_PRECISION:
        return "wrong", _OTHER_PRECISION[name]
    quantity = {"loss": "the loss", "prediction": "the prediction"}.get(
        name, f"the change of {name}"
    )
    times = f"{deviation:.3g} times its tolerance" if deviation < INFINITE else "completely"
    after = "after its last epoch" if name == "prediction" else "in its first steps"
    reason = f"{quantity} {after} differs from the reference by {times}"
    if times == "completely":
        reason = f"{quantity} {after} does not match the reference"
    confirmed = kind_of(device) in CONFIRMED_DEVICES
    return ("wrong" if confirmed or deviation > _UNCONFIRMED else "unconfirmed"), reason


def _own(record: Record) -> tuple[Doubt, str]:
    return own_doubt(record.verification, record.job.device)


def _judge(record: Record, doubt: Doubt, reason: str, disagreement: str | None) -> Judgement:
    agrees = None if disagreement is None else not disagreement
    if doubt == "wrong":
        return Judgement("wrong", reason, agrees=None)
    if disagreement:
        return Judgement("disagrees", disagreement, agrees)
    if why := suspicion(record, compared=agrees is not None):
        return Judgement("suspect", why, agrees)
    return Judgement(doubt, reason, agrees)
