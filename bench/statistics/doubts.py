"""Lists the doubtful and the unconfirmed results of a run, for `bench check`.

`bench.statistics.judgement` judges each result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec import Struct

from backends.contract import Job, kind_with_ranks
from bench.records.job import Record, backend_name
from bench.statistics.judgement import Judgement, judgements


class Doubts(Struct, frozen=True, kw_only=True):
    """The doubtful results of a workload on a kind of device.

    Attributes:
        backends: the backends whose results were judged.
        doubtful: the backends with a result that is wrong, disagrees or is suspect.
        reasons: one text per doubtful job: the job and why it is doubtful.
        remarks: texts on the other jobs that are unconfirmed or could not be verified. They do not
            fail the check.
    """

    workload: str
    device: str
    backends: tuple[str, ...]
    doubtful: tuple[str, ...]
    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no result is in doubt."""
        return not self.reasons


def check_doubts(run: Sequence[Record], backends: Container[str] | None = None) -> list[Doubts]:
    """Find the doubtful results of a run, see `bench.statistics.judgement`.

    Args:
        run: all records of the run.
        backends: the backends to report; None for all. They are compared with all backends.

    Returns:
        one `Doubts` per workload and kind of device that has a job in matched mode, or a job in
        native mode that is in doubt.
    """
    judged = judgements(run)
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in run:
        if backends is not None and record.job.backend not in backends:
            continue
        if record.key in judged and (record.job.mode == "matched" or judged[record.key].doubt):
            groups[record.job.workload.name, kind_with_ranks(record.job.device)].append(record)
    return [_doubts(*name, records, judged) for name, records in groups.items()]


def _doubts(
    workload: str, device: str, records: Sequence[Record], judged: Mapping[str, Judgement]
) -> Doubts:
    """The doubts of the records of a workload on a kind of device."""
    ranked = [record for record in records if judged[record.key].counts]
    doubtful = [record for record in records if not judged[record.key].counts]
    unconfirmed = [record for record in ranked if judged[record.key].doubt]
    return Doubts(
        workload=workload,
        device=device,
        backends=_backends(records),
        doubtful=_backends(doubtful),
        reasons=tuple(_reason(record, judged[record.key]) for record in doubtful),
        remarks=(
            *(_reason(record, judged[record.key]) for record in unconfirmed),
            *_not_verified(ranked),
        ),
    )


def _backends(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(backend_name(record.job) for record in records))


def _reason(record: Record, judgement: Judgement) -> str:
    return f"{_job_text(record.job)}: {judgement.doubt}, {judgement.reason}"


def _not_verified(records: Iterable[Record]) -> list[str]:
    """One text per reason why jobs could not be verified, with the backends of these jobs."""
    by_reason: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.verification is not None and record.verification.not_verified:
            by_reason[record.verification.not_verified].append(record)
    return [
        f"{', '.join(_backends(of_reason))}: not verified by the first steps, {reason}"
        for reason, of_reason in by_reason.items()
    ]


def _job_text(job: Job) -> str:
    """The backend, batch size (if it is not the recipe's), seed and round of a job, as text."""
    is_default = job.batch_size == job.workload.recipe.batch_size
    batch = "" if is_default else f", batch size {job.batch_size}"
    text = f"{backend_name(job)}{batch}, seed {job.seed}"
    return f"{text}{f', round {job.round}' if job.round else ''}"
