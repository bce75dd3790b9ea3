"""Records with a given accuracy, and the gate's verdicts on them."""

from __future__ import annotations

from msgspec.structs import replace

from bench.statistics.gate import check
from tests.support.records import make_record

IMAGES = 10_000


def result(accuracy, *, seed=0, data="d", status="ok", **job):
    """A record whose last epoch reached an accuracy on 10,000 images."""
    made = make_record(
        f"{job.get('backend', 'pytorch')}{seed}",
        accuracies=job.pop("accuracies", (0.5, 0.5, 0.5, accuracy)),
        status=status,
        data=data,
        seed=seed,
        **{"backend": "pytorch", **job},
    )
    return replace(made, data=replace(made.data, test_examples=IMAGES))


def statuses(run, baseline, **options):
    return {verdict.result[:2]: verdict.status for verdict in check(run, baseline, **options)}
