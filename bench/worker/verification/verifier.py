"""Verifies one backend in one process of the backend's environment.

It reports each model's findings at once, so that a process that dies loses none.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from backends.contract import Backend, Images, Job, Labels, Unsupported
from bench.worker.adapter import load_adapter
from bench.worker.assignment import Verify
from bench.worker.examples import read_part
from bench.worker.lines import Finding, ModelFindings, Settings
from bench.worker.tell import Tell, one_line
from bench.worker.verification.cases import MakeBackend, has_relu_or_max_pool, make_case
from bench.worker.verification.checks import (
    BEHAVES,
    COMPUTES,
    NATIVE,
    Check,
    check_long,
    check_sync,
)
from bench.worker.verification.dropout import check_dropout
from bench.worker.verification.expected import Examples
from bench.worker.verification.lower import BEHAVES_LOWER, COMPUTES_LOWER, check_float32
from bench.worker.verification.models import DROPOUT_PROBE, EVERY, KEPT, LONG
from bench.worker.verification.training import has_dropout, verify_training
from specs.model import Workload

_Find = Callable[[Job, Examples], ModelFindings]
_SEEDS = 8
_MAY_FLIP = frozenset({"steps", "epoch"})  # these checks train, so a flip can show in them


def work(assignment: Verify, tell: Tell) -> None:
    """Run every check of the assignment, and tell the findings model by model."""
    adapter = load_adapter(assignment)
    for findings in Verifier(assignment, adapter, tell).pieces():
        tell(findings)


class Verifier:
    """Runs every check on one backend, and writes the settings that the framework reports."""

    def __init__(self, assignment: Verify, make: MakeBackend, tell: Tell) -> None:
        self._assignment, self._adapter, self._tell = assignment, make, tell
        self._settled = False
        self._examples: dict[str, Examples] = {}  # by the folder

    def pieces(self) -> Iterator[ModelFindings]:
        """Yield the findings, model by model."""
        plan = self._assignment
        for name in plan.models:
            yield self._piece(name, EVERY[name], self._verify)
        for name in plan.behaviour:
            behaves = BEHAVES if plan.job.precision == "float32" else BEHAVES_LOWER
            yield self._piece(name, EVERY[name], self._checked(behaves))
        for name in plan.long:
            yield self._piece(name, LONG[name], self._checked({"long": check_long}))
        for name in plan.native:
            yield self._piece(name, EVERY[name], self._checked(NATIVE))
        for size in plan.sizes:
            yield self._piece(size.name, size.workload, self._check_size, size.batch_size)
        if plan.checks_behaviour:
            yield self._piece(plan.sync, EVERY[plan.sync], self._checked({"sync": check_sync}))
        if plan.checks_float32:
            yield self._piece("float32", KEPT, self._check_float32)
        if plan.checks_dropout:
            yield self._piece("dropout", DROPOUT_PROBE, self._check_dropout)

    def _make(self, job: Job) -> Backend:
        backend = self._adapter(job)
        if not self._settled:
            self._tell(Settings(settings=dict(backend.settings())))
            self._settled = True
        return backend

    def _piece(
        self,
        name: str,
        workload: Workload,
        find: _Find,
        batch_size: int | None = None,
    ) -> ModelFindings:
        size = batch_size or self._assignment.job.batch_size
        job = replace(self._assignment.job, workload=workload, batch_size=size)
        try:
            return replace(find(job, self._examples_of(name)), model=name)
        except Unsupported as error:
            return ModelFindings(model=name, seed=job.seed, findings=(), unsupported=str(error))
        except Exception as error:  # noqa: BLE001 - a framework may raise anything, and the other models must still be verified
            details = traceback.format_exc()
            return ModelFindings(
                model=name, seed=job.seed, findings=(), failed=one_line(error), details=details
            )

    def _examples_of(self, name: str) -> Examples:
        folder = Path(self._assignment.folders[name])
        if str(folder) not in self._examples:
            self._examples[str(folder)] = Examples(*read_part(folder, "train"), folder.name)
        return self._examples[str(folder)]

    def _verify(self, job: Job, examples: Examples) -> ModelFindings:
        return verify(self._make, job, examples.images, examples.labels)

    def _checked(self, checks: Mapping[str, Check]) -> _Find:
        def find(job: Job, examples: Examples) -> ModelFindings:
            case = make_case(job, examples.images, examples.labels)
            findings = tuple(check(self._make, case) for check in checks.values())
            return ModelFindings(model="", seed=job.seed, findings=findings)

        return find

    def _check_size(self, job: Job, examples: Examples) -> ModelFindings:
        """Check the first steps of a workload at a batch size, as a timed job is checked."""
        folder, backend = Path(self._assignment.references), self._make(job)
        backend.load(examples.images, examples.labels)
        findings = []
        for give_masks in (False, True) if has_dropout(job) else (False,):
            result = verify_training(backend, job, examples, folder, give_masks=give_masks)
            if result.not_verified:
                raise Unsupported(result.not_verified)
            name, deviation = result.worst
            where = f"{name}, with given masks" if give_masks else name
            findings.append(Finding(check="epoch", deviation=deviation, where=where))
        return ModelFindings(model="", seed=job.seed, findings=tuple(findings))

    def _check_float32(self, job: Job, _: Examples) -> ModelFindings:
        return ModelFindings(model="", seed=job.seed, findings=(check_float32(self._make, job),))

    def _check_dropout(self, job: Job, _: Examples) -> ModelFindings:
        return ModelFindings(model="", seed=job.seed, findings=(check_dropout(self._make, job),))


def verify(make: MakeBackend, job: Job, images: Images, labels: Labels) -> ModelFindings:
    """Check the computed values of a backend for a job's model.

    The first seed is the job's. A model with ReLU or max-pool is tried on up to 8 seeds, until one
    shows no flip (see `bench.worker.verification.cases`).
    """
    findings: tuple[Finding, ...] = ()
    computes = COMPUTES if job.precision == "float32" else COMPUTES_LOWER
    for seed in range(job.seed, job.seed + (_SEEDS if has_relu_or_max_pool(job) else 1)):
        case = make_case(replace(job, seed=seed), images, labels)
        findings = tuple(check(make, case) for check in computes.values())
        failed = {finding.check for finding in findings if not finding.passed}
        if not failed or failed - _MAY_FLIP:
            break
    return ModelFindings(model=job.workload.name, seed=seed, findings=findings)
