"""All checks of a verification, by name."""

from __future__ import annotations

from bench.worker.verification.checks import BEHAVES, COMPUTES, check_long, check_sync
from bench.worker.verification.dropout import check_dropout

ELSEWHERE = {
    "long": check_long,
    "sync": check_sync,
    "dropout": lambda make, case: check_dropout(make, case.job),
}
CHECKS = {**COMPUTES, **BEHAVES, **ELSEWHERE}
