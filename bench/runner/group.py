"""Runs the jobs of a group; their workers stay alive, and take turns when all jobs have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Job
from bench.machine import room
from bench.machine.host import Machine, gpu_of, job_cpus
from bench.machine.needs import needs_of
from bench.machine.watch import Watch
from bench.records import weights as records_weights
from bench.records.job import Record, SlurmTask
from bench.records.key import make_key, unusual
from bench.records.learned import path_of
from bench.records.stored import write
from bench.records.turns import FOLDER, Turns, refusal
from bench.runner.jobs import make_record
from bench.runner.process import Worker
from bench.runner.task import Observer, TrainingTask, refused
from bench.runner.tasks import remove_files
from bench.runner.turns import Session, Wanted
from bench.statistics.judgement import own_doubt
from bench.worker.clock import monotonic_seconds, utc

_TOO_LITTLE_MEMORY = ("out of memory", "killed")


class GroupRunner(Struct, frozen=True, kw_only=True):
    """Runs jobs of one group, round and seed, and then their turns.

    Attributes:
        folder: the run's folder.
        machine: this machine.
        timeout: a worker that writes no line for this many seconds is killed.
        observer: shows the progress.
        reused: key -> the record of a job that is not run again.
        wanted: the turns.
        taken: key -> the turns so far; new ones are added.
        first_seed: jobs of this seed keep what they have learned, in round 0; None for no jobs.
        keep_weights: whether these jobs keep all weights, too.
        files: the folder of the workers' files; None for the folders of the records.
        slurm: this process's task in Slurm; None outside of Slurm.
    """

    folder: Path
    machine: Machine
    timeout: float
    observer: Observer
    reused: Mapping[str, Record]
    wanted: Wanted
    taken: dict[str, Turns]
    first_seed: int | None = None
    keep_weights: bool = False
    files: Path | None = None
    slurm: SlurmTask | None = None

    def run(self, tasks: Sequence[TrainingTask]) -> list[Record]:
        """Run the jobs in order, then the turns; returns the record of every job.

        Raises:
            RunError: the folder cannot be written, or an interpreter cannot be started.
            KeyboardInterrupt: the workers were killed; jobs that have ended keep their records.
        """
        turning = tasks_with_turns(tasks, self.wanted, self.taken)
        key = key_of(turning)
        waiting = _Waiting(self, self._kept(tasks))
        try:
            records = {task.key: waiting.record_of(task, turns=task in turning) for task in tasks}
            members = [task for task in turning if _may_turn(records[task.key])]
            if len(members) > 1:
                self.taken[key] = waiting.take_turns(key, members, records)
                write(self.folder / FOLDER, self.taken[key])
        finally:
            waiting.close()
        return list(records.values())

    def _kept(self, tasks: Sequence[TrainingTask]) -> dict[str, Record]:
        """The earlier records of these jobs that are not run again, by key.

        The times of a round are divided by each other, so all its jobs run on one GPU. If a
        scheduler now gives another GPU of the same kind, a finished round is kept, and an
        unfinished round is run again.
        """
        earlier = {task.key: self.reused[task.key] for task in tasks if task.key in self.reused}
        present_gpu = _uuid(self.machine, tasks[0].job.device) if tasks else ""
        gpu_of_key = {
            key: _uuid(record.machine, record.job.device) for key, record in earlier.items()
        }
        if len(earlier) == len(tasks) and len(set(gpu_of_key.values())) == 1:
            return earlier
        return {key: record for key, record in earlier.items() if gpu_of_key[key] == present_gpu}


def _uuid(machine: Machine, device: str) -> str:
    gpu = gpu_of(machine, device)
    return gpu.uuid if gpu else ""


class _Waiting:
    """The workers of a group that wait for their turns.

    Args:
        runner: the group's runner.
        kept: the earlier records of jobs that are not run again, by key.
    """

    def __init__(self, runner: GroupRunner, kept: Mapping[str, Record]) -> None:
        self._runner, self._kept = runner, kept
        self._workers: dict[str, Worker] = {}
        self._new: set[str] = set()  # the keys of workers that were started for the turns alone
        self._records: list[Record] = []
        self._no_room = ""

    def record_of(self, task: TrainingTask, *, turns: bool) -> Record:
        """The record of a job: reused, or from its worker, which then waits for turns."""
        runner = self._runner
        record = self._kept.get(task.key)
        is_reused = record is not None
        if record is None:
            runner.observer.started(task)
            self._make_room(task)
            record = self._run(task, turns=turns and not self._no_room)
            if self._workers and record.status in _TOO_LITTLE_MEMORY:
                self._give_up(
                    f"{task.job.backend} ended while other workers waited: {record.status}"
                )
                record = self._run(task, turns=False)  # alone, it may have enough memory
        try:
            if not is_reused:
                write(runner.folder / "jobs", record)
        finally:
            if task.key not in self._workers:
                for folder in (runner.files or runner.folder / "jobs", runner.folder / FOLDER):
                    remove_files(task, folder, record)
        self._records.append(record)
        runner.observer.ended(task, record, reused=is_reused)
        return record

    def take_turns(
        self, key: str, tasks: Sequence[TrainingTask], records: Mapping[str, Record]
    ) -> Turns:
        """Let the workers of these tasks take their turns; missing workers are started first."""
        runner, started, began = self._runner, utc(), monotonic_seconds()
        for task in tasks:
            self._start_for_turns(task)
        by_key = {task.key: self._workers[task.key] for task in tasks if task.key in self._workers}
        job = tasks[0].job
        pids = [worker.pid for worker in self._workers.values()]
        cpus = job_cpus(job.threads, gpu_of(runner.machine, job.device))
        watch = Watch(cpus, None, pids)
        session = Session(by_key, records, self._new, partial(runner.observer.turned, tasks))
        if not self._no_room:
            session.run(runner.wanted)
        members, orders = session.members, session.orders
        return Turns(
            format=Turns.FORMAT,
            key=key,
            machine=runner.machine,
            versions={},
            members=members,
            orders=orders,
            refused=self._no_room
            or refusal(members)
            or ("" if orders else "all workers have ended"),
            disturbance=watch.end(),
            started=started,
            wall_seconds=monotonic_seconds() - began,
        )

    def close(self) -> None:
        """End all workers, and remove their files."""
        for worker in self._workers.values():
            worker.close()
            worker.remove_files()
        self._workers.clear()

    def _run(self, task: TrainingTask, *, turns: bool) -> Record:
        machine = self._runner.machine
        if reason := _cannot_fit(task, machine):
            return make_record(task, machine, refused(reason)).checked()
        folder, learned, weights = self._runner.folder, "", ""
        if keeps_learned(task.job, self._runner.first_seed):
            learned = str(path_of(folder.resolve(), task.key))
            if self._runner.keep_weights and task.job.mode == "matched":
                weights = str(records_weights.path_of(folder.resolve(), task.key))
        assignment = replace(task.assignment, takes_turns=turns, learned=learned, weights=weights)
        worker = self._start(
            replace(task, assignment=assignment), self._runner.files or folder / "jobs"
        )
        result = worker.result(self._runner.timeout, partial(self._runner.observer.advanced, task))
        if worker.is_alive:
            self._workers[task.key] = worker
        record = make_record(task, machine, result).checked()
        return replace(record, slurm=self._runner.slurm)

    def _start(self, task: TrainingTask, folder: Path) -> Worker:
        return Worker(task, folder, self._runner.machine, list(self._workers.values()))

    def _start_for_turns(self, task: TrainingTask) -> None:
        """Start a worker that trains no epochs, for a job that has a record from before."""
        if task.key in self._workers or self._no_room:
            return
        self._make_room(task)
        if self._no_room:
            return
        assignment = replace(task.assignment, only_turns=True)
        folder = self._runner.files or self._runner.folder / FOLDER
        worker = self._start(replace(task, assignment=assignment), folder)
        worker.result(self._runner.timeout, lambda _: None)
        if worker.is_alive:
            self._workers[task.key] = worker
            self._new.add(task.key)
        else:
            worker.remove_files()

    def _make_room(self, task: TrainingTask) -> None:
        """End the waiting workers if the next one may not fit beside them into memory."""
        if not self._workers:
            return
        phases = [epoch.training.peak_rss_bytes or 0 for r in self._records for epoch in r.epochs]
        gpu = gpu_of(self._runner.machine, task.job.device)
        reason = room.no_room(
            max(phases, default=0),
            max((record.device_peak_bytes or 0 for record in self._records), default=0),
            gpu.uuid if gpu else None,
        )
        if reason:
            self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self._no_room = f"no turns: {reason}"
        self.close()


def _cannot_fit(task: TrainingTask, machine: Machine) -> str:
    """Why a job cannot have enough memory; "" if it can."""
    gpu = gpu_of(machine, task.job.device)
    needs = needs_of(task.job, task.data.train_examples + task.data.test_examples)
    return room.cannot_fit(needs, gpu.uuid if gpu else None)


def keeps_learned(job: Job, first_seed: int | None) -> bool:
    """Whether a job keeps what it has learned."""
    return job.seed == first_seed and job.round == 0


def tasks_with_turns(
    tasks: Sequence[TrainingTask], wanted: Wanted, taken: Mapping[str, Turns]
) -> list[TrainingTask]:
    """The tasks of one group, round and seed that still have to take turns; [] if none has.

    Args:
        tasks: all tasks of the group, round and seed.
        wanted: the turns that are wanted.
        taken: key -> the turns so far.
    """
    matched = [task for task in tasks if task.job.mode == "matched"]
    is_enough = wanted.sweeps == 0 or wanted.suffices(taken.get(key_of(matched)))
    return [] if is_enough or len(matched) <= 1 else matched


def key_of(tasks: Sequence[TrainingTask]) -> str:
    """The key of the turns of some tasks."""
    job = tasks[0].job if tasks else None
    if job is None:
        return make_key(("none",), ())
    names = (job.workload.name, job.device, *unusual(job.precision))
    repetition = (f"s{job.seed}", f"r{job.round}")
    return make_key((*names, *repetition), tuple(sorted(task.key for task in tasks)))


def _may_turn(record: Record) -> bool:
    """Whether a job's backend takes turns: only if the job ended ok and is not wrong."""
    doubt, _ = own_doubt(record.verification, record.job.device)
    return record.status == "ok" and bool(record.epochs) and doubt != "wrong"
