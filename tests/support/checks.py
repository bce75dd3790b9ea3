"""All checks of a proof, by name."""

from __future__ import annotations

from bench.worker.proof.checks import BEHAVES, COMPUTES, check_long, check_sync
from bench.worker.proof.dropout import check_dropout

ELSEWHERE = {
    "long": check_long,
    "sync": check_sync,
    "dropout": lambda make, case: check_dropout(make, case.job),
}
CHECKS = {**COMPUTES, **BEHAVES, **ELSEWHERE}
