"""The figures of the campaigns: JSON to go on from, and a table in Markdown to read."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct, field

from bench.machine.host import WITHOUT_GPUS, Machine, this_machine
from bench.records.files import write_atomically
from bench.worker.clock import utc
from tests.torture.campaign import Tried

_FILE, _TABLE = "figures.json", "README.md"
_MOST_KEPT = 100  # failures of a campaign whose text is kept; the others are counted
_MOST_SEEDS = 12  # of an oracle in the table


class Failure(Struct):
    """A promise that did not hold, and the command that repeats it."""

    seed: int
    oracle: str
    text: str
    repeat: str


class Campaign(Struct):
    """What a campaign has tried so far.

    Attributes:
        tries: in units, of which an attempt may have several.
        held: attempts without a fault.
        kinds: what was tried, and how often.
        lowered: what could not be done on this machine, and what was done instead.
        faults: of each oracle how many attempts found it.
    """

    name: str
    goal: int
    unit: str
    next_seed: int = 0
    attempts: int = 0
    held: int = 0
    tries: int = 0
    seconds: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    lowered: str = ""
    faults: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether the goal is reached."""
        return self.tries >= self.goal

    def add(self, tried: Tried, seconds: float) -> None:
        """Add an attempt, that with `next_seed`."""
        repeat = f"nox -s torture -- --only {self.name} --seed {self.next_seed}"
        for fault in tried.faults[: max(0, _MOST_KEPT - len(self.failures))]:
            shown = fault.text.encode("utf-8", "replace").decode()
            self.failures.append(Failure(self.next_seed, fault.oracle, shown[:4000], repeat))
        for oracle in {fault.oracle for fault in tried.faults}:
            self.faults[oracle] = self.faults.get(oracle, 0) + 1
        self.kinds = dict(Counter(self.kinds) + Counter(tried.kinds))
        self.next_seed += 1
        self.attempts += 1
        self.held += not tried.faults
        self.tries += tried.tries
        self.seconds += seconds
        self.lowered = tried.lowered or self.lowered


class Figures(Struct, kw_only=True):
    """The figures of all campaigns of one budget, on one machine and of one state of the code."""

    begun: str
    changed: str
    budget_seconds: float
    spent_seconds: float
    is_ended: bool
    commit: str
    machine: Machine
    versions: dict[str, str]
    campaigns: dict[str, Campaign]


def read_figures(folder: Path, budget_seconds: float, commit: str) -> Figures:
    """The figures to go on from, or new ones, with the seeds after those of the old."""
    seeds: dict[str, Campaign] = {}
    try:
        old = msgspec.json.decode((folder / _FILE).read_bytes(), type=Figures)
    except FileNotFoundError:
        pass
    else:
        if not old.is_ended and old.commit == commit:
            old.budget_seconds = budget_seconds
            return old
        seeds = old.campaigns
    return Figures(
        begun=utc(),
        changed=utc(),
        budget_seconds=budget_seconds,
        spent_seconds=0.0,
        is_ended=False,
        commit=commit,
        machine=this_machine(WITHOUT_GPUS),
        versions={"python": platform.python_version(), **_versions()},
        campaigns={
            name: Campaign(name, each.goal, each.unit, each.next_seed)
            for name, each in seeds.items()
        },
    )


def of_campaign(figures: Figures, name: str, goal: int, unit: str) -> Campaign:
    """The figures of a campaign, new ones if it has none."""
    campaign = figures.campaigns.setdefault(name, Campaign(name, goal, unit))
    campaign.goal, campaign.unit = goal, unit
    return campaign


def write_figures(folder: Path, figures: Figures) -> None:
    """Write the figures and their table."""
    figures.changed = utc()
    content = msgspec.json.format(msgspec.json.encode(figures), indent=1)
    write_atomically(folder / _FILE, content + b"\n")
    write_atomically(folder / _TABLE, _table(figures).encode())


def _table(figures: Figures) -> str:
    """The table, with a line for each promise that did not hold."""
    machine, versions = figures.machine, figures.versions
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    ending = "" if figures.is_ended else "; not ended yet"
    spent, budget = figures.spent_seconds / 60, figures.budget_seconds / 60
    lines = [
        "# Torture",
        "",
        (
            f"`nox -s torture`, {spent:.0f} of {budget:.0f} minutes, {figures.begun} to"
            f" {figures.changed}{ending}. Commit {figures.commit or 'unknown'}; {machine.system},"
            f" {machine.cpu}, {machine.allowed_cpus} CPUs; {named}."
        ),
        "",
        "| campaign | tried | of | attempts | held | did not | minutes |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.name} | {each.tries:,} {each.unit} | {each.goal:,} | {each.attempts} |"
        f" {each.held} | {each.attempts - each.held} | {each.seconds / 60:.1f} |"
        for each in figures.campaigns.values()
    ]
    lines += ["", "What did not hold (a seed is repeated with `--only CAMPAIGN --seed N`):", ""]
    lines += _failures(figures) or ["Nothing."]
    lowered = [f"- {each.name}: {each.lowered}" for each in figures.campaigns.values()]
    lines += ["", *[line for line in lowered if not line.endswith(": ")]]
    return "\n".join(lines).rstrip() + "\n"


def _failures(figures: Figures) -> list[str]:
    lines = []
    for each in figures.campaigns.values():
        for oracle, count in sorted(each.faults.items()):
            seeds = [one.seed for one in each.failures if one.oracle == oracle]
            shown = ", ".join(map(str, dict.fromkeys(seeds[:_MOST_SEEDS]))) or "not kept"
            lines.append(f"- {each.name}: {oracle}, in {count} attempts; seeds {shown}")
    return lines


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("framework-bench", "numpy", "msgspec", "pandas", "hypothesis")
    return {name: version(name) for name in names}
