"""The commands: `nox -s bench`, `check`, `tests`, `verify`, `lint`, `types`, `perf`, `torture`.

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


@nox.session
def bench(session: nox.Session) -> None:
    """Run a suite and write its report: nox -s bench -- smoke --seeds 0,1 (default: quick)."""
    install(session)
    session.run("bench", "run", "--install", *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Did accuracy fall against results/baselines/quick? nox -s check -- pytorch (default: all)."""
    install(session)
    backends = ["--backend", ",".join(session.posargs)] if session.posargs else []
    # 1: a job failed or results disagree; the gate names it
    run = ("bench", "run", "quick", "--install", "--run", "check")
    session.run(*run, *backends, success_codes=[0, 1])
    against = ("--against", "results/baselines/quick")
    session.run("bench", "check", "results/check", *against, *backends)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; the fast part, without frameworks: nox -s tests -- -m "not framework"."""
    install(session, "test")
    session.install("--quiet", "./tests/toy_family")
    if not any("not framework" in argument for argument in session.posargs):
        session.run_install("bench", "environment", "create")
        session.run_install("bench", "environment", "create", "toy", "opencv")
        # Those of this machine's Pythons: the retired frameworks need old ones.
        session.run_install("bench", "environment", "create", "course-frameworks")
    # Two processes: frameworks start and compile on one CPU. More would need much memory.
    session.run("pytest", "--numprocesses=2", "--dist=loadfile", *session.posargs)


@nox.session
def verify(session: nox.Session) -> None:
    """Verify every backend, also those that run only when named: an hour and more."""
    install(session)
    session.run_install("bench", "environment", "create", "course-frameworks")
    session.run("bench", "verify", "--tuned", *session.posargs)
    for backend in ("spark", "mxnet", "chainer", "theano", "cntk", "caffe"):
        # 2: it is not installed, as this machine has not the Python that it needs; the line says so
        command = ("bench", "verify", "--backend", backend)
        session.run(*command, *session.posargs, success_codes=[0, 2])


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

    Without the comparison with handwritten loops: nox -s perf -- -k 'not overhead'.
    """
    install(session, "test")
    session.run_install("bench", "environment", "create")
    session.run(
        *("pytest", "tests/perf", "--benchmark-enable", "--benchmark-only"),
        *("--benchmark-storage=results/speed", "--benchmark-save=speed", COLUMNS),
        *session.posargs,
    )
    compare = ("--storage=results/speed", "compare", COLUMNS.replace("benchmark-", ""))
    session.run("python", "-m", "pytest_benchmark", *compare)


@nox.session
def torture(session: nox.Session) -> None:
    """Attack the bench, into results/torture/: nox -s torture -- --budget 1h; it can be resumed."""
    install(session, "test")
    session.run("python", "-m", "tests.torture", *session.posargs)
