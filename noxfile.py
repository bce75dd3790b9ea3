"""The project's commands: `nox -s bench`, `check`, `tests`, `lint`, `types`, `perf`.

Each makes what it needs, and costs nothing extra when it is run again.
"""

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"  # with pip, which also knows local wheels
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["bench"]

COLUMNS = "--benchmark-columns=min,median,max,rounds"
GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


def install(session: nox.Session, *groups: str) -> None:
    """The bench itself, from this folder, and the tools of some groups of pyproject.toml."""
    tools = [requirement for group in groups for requirement in GROUPS[group]]
    session.install("--quiet", "--constraint", "constraints.txt", "--editable", ".", *tools)


def install_frameworks(session: nox.Session) -> None:
    """The frameworks' own environments; `--install-only` comes this far."""
    session.run_install("bench", "environment", "create")


@nox.session
def bench(session: nox.Session) -> None:
    """Run a suite and write its report: nox -s bench -- smoke --seeds 0,1 (default: quick)."""
    install(session)
    install_frameworks(session)
    if not session.posargs:  # `quick` takes MNIST; without it the run says so and uses its stand-in
        session.run_install("bench", "data", "fetch", success_codes=[0, 1])
    session.run("bench", "run", *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Did accuracy fall against results/baselines/quick? nox -s check -- pytorch (default: all)."""
    install(session)
    install_frameworks(session)
    backends = ["--backend", ",".join(session.posargs)] if session.posargs else []
    session.run_install("bench", "data", "fetch", success_codes=[0, 1])
    # 1: a job failed or results disagree; the gate names it
    session.run("bench", "run", "quick", "--run", "check", *backends, success_codes=[0, 1])
    against = ("--against", "results/baselines/quick")
    session.run("bench", "check", "results/check", *against, *backends)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; the fast part, without frameworks: nox -s tests -- -m "not framework"."""
    install(session, "test")
    session.install("--quiet", "./tests/toy_family")
    if not any("not framework" in argument for argument in session.posargs):
        install_frameworks(session)
    # Two processes: frameworks start and compile on one CPU. More would need much memory.
    session.run("pytest", "--numprocesses=2", "--dist=loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint."""
    session.install("--quiet", *GROUPS["lint"])
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    install(session, "types")
    session.run("mypy")


@nox.session
def perf(session: nox.Session) -> None:
    """Measure what the bench itself costs, into results/speed/; half an hour on an idle machine.

    Without the comparison with loops written by hand: nox -s perf -- -k 'not tax'.
    """
    install(session, "test")
    install_frameworks(session)
    session.run(
        *("pytest", "tests/perf", "--benchmark-enable", "--benchmark-only"),
        *("--benchmark-storage=results/speed", "--benchmark-save=speed", COLUMNS),
        *session.posargs,
    )
    compare = ("--storage=results/speed", "compare", COLUMNS.replace("benchmark-", ""))
    session.run("python", "-m", "pytest_benchmark", *compare)
