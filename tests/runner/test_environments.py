"""Environments: where they are made, which interpreter is taken, and where pip looks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backends.family import OWN_ENVIRONMENT
from bench.command.setup import choose_backends
from bench.records.files import PROJECT
from bench.runner import environments as runner_environments
from bench.runner.environments import (
    Environments,
    InstallError,
    environments_folder,
    inherited_by,
)
from bench.runner.installation import SOURCES, extra_index
from tests.support.command import QUICK

INDEX = "https://index.example/cpu"
PIP = [sys.executable, "-I", "-m", "pip"]


def test_a_clone_keeps_its_environments(monkeypatch, tmp_path):
    monkeypatch.setenv("FRAMEWORK_BENCH_CACHE", str(tmp_path))
    assert environments_folder() == PROJECT / ".environments"


def test_without_a_clone_they_are_in_the_users_cache(monkeypatch, tmp_path):
    # Some packages leave a file of this name beside all others.
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    monkeypatch.setattr(runner_environments, "PROJECT", tmp_path)
    monkeypatch.delenv("FRAMEWORK_BENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/the/cache")
    assert environments_folder() == Path("/the/cache/framework-bench/environments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMEWORK_BENCH_CACHE", "here")
    assert environments_folder() == tmp_path / "here" / "environments"


def test_what_a_user_puts_on_the_path_reaches_the_users_interpreters_only(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/modules")
    assert inherited_by(Path("/usr/bin/python3")).variables["PYTHONPATH"] == "/modules"
    made = environments_folder() / "torch" / "bin" / "python"
    assert "PYTHONPATH" not in inherited_by(made).variables


@pytest.fixture
def site(tmp_path):
    """The interpreter of a site, that has PyTorch and NumPy, and no JAX: as far as pip knows."""
    for name in ("torch", "numpy", "msgspec"):
        folder = tmp_path / "packages" / f"{name}-9.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
    python = tmp_path / "python"
    # -S: without the packages of the tests
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path / "packages"} exec {sys.executable} -S "$@"\n'
    )
    python.chmod(0o755)
    return python


def test_all_is_every_interpreter_but_our_own_and_the_named_ones(site):
    chosen = Environments({"all": site, "jax": Path(sys.executable)})
    assert chosen.python("torch") == chosen.python("tensorflow") == site
    assert chosen.python("jax") == Path(sys.executable)
    assert chosen.python(OWN_ENVIRONMENT) == Path(sys.executable)
    assert chosen.versions("torch")["torch"] == "9.0"


def test_with_one_interpreter_for_all_what_it_has_is_run_and_a_line_says_what_it_lacks(
    site, capsys
):
    chosen = choose_backends(None, Environments({"all": site}))
    assert "pytorch" in chosen
    assert all(name.startswith("pytorch") for name in chosen)
    lines = capsys.readouterr().err.splitlines()
    advice = f"under {site}, or name another Python: --python jax=PATH"
    assert f"bench: jax is left out: install jax {advice}" in lines
    assert len([line for line in lines if "keras-torch is left out" in line]) == 1


def test_a_named_backend_that_the_interpreter_for_all_lacks_is_an_error(site):
    with pytest.raises(InstallError) as raised:
        choose_backends(("jax",), Environments({"all": site}))
    assert f"the backend 'jax' cannot run under {site}: jax not installed" in str(raised.value)
    assert "--python jax=PATH" in str(raised.value)


@pytest.mark.parametrize(("version", "refused"), [("0.8.1", True), ("0.8.2", False)])
def test_a_version_that_computes_wrong_results_is_refused(site, version, refused):
    for name in ("jax", "jaxlib", "keras"):
        folder = site.parent / "packages" / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    environments = Environments({"all": site})
    if not refused:
        assert environments.require("keras-jax") == site
        return
    for backend in ("jax", "keras-jax"):
        with pytest.raises(InstallError, match=f"jaxlib {version} computes wrong results"):
            environments.require(backend)


def test_an_interpreter_may_be_named_relative_to_the_current_folder(site, monkeypatch):
    monkeypatch.chdir(site.parent)
    assert Environments({"torch": Path("python")}).python("torch") == site


@pytest.fixture
def pip_set(monkeypatch, tmp_path):
    """Sets pip's own settings: its file, its variables.

    A pip of this test's Python reads no other file once PIP_CONFIG_FILE names the null device.
    """

    def set_to(text="", **variables):
        for name in SOURCES:
            monkeypatch.delenv(f"PIP_{name.upper().replace('-', '_')}", raising=False)
        if text:
            for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "HOME"):
                monkeypatch.setenv(name, str(tmp_path))
        (tmp_path / "pip.conf").write_text(text)
        file = str(tmp_path / "pip.conf") if text else "/dev/null"
        monkeypatch.setenv("PIP_CONFIG_FILE", file)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_to


TAKEN = {
    "nothing is set": ("", {}),
    "nothing that says where": ("", {"PIP_TIMEOUT": "30"}),
    "an empty variable, which pip ignores": ("", {"PIP_INDEX_URL": ""}),
}
# A file of the system's, /etc/pip.conf, is read with these, too; it can only add to them.
LEFT = {
    "a variable": ("", {"PIP_INDEX_URL": "https://mirror.example/simple"}),
    "links by a variable": ("", {"PIP_FIND_LINKS": "/wheels"}),
    "no index at all": ("", {"PIP_NO_INDEX": "1"}),
    "a file": ("[global]\nindex-url = https://mirror.example/simple\n", {}),
    "a file, for install": ("[install]\nextra-index-url =\n  https://a.example\n  /b\n", {}),
}


@pytest.mark.parametrize("case", TAKEN)
def test_pip_looks_at_the_index_for_cpus_if_it_is_told_nothing_else(case, pip_set):
    text, variables = TAKEN[case]
    pip_set(text, **variables)
    assert extra_index(PIP, INDEX) == ["--extra-index-url", INDEX]


@pytest.mark.parametrize("case", LEFT)
def test_where_the_user_tells_pip_where_to_look_nothing_is_added(case, pip_set):
    text, variables = LEFT[case]
    pip_set(text, **variables)
    assert extra_index(PIP, INDEX) == []


def test_without_such_an_index_nothing_is_added(pip_set):
    pip_set()
    assert extra_index(PIP, "") == []


@pytest.mark.parametrize(
    "answer",
    [
        *("", "[]", "null", "5", "true", "random", "{}", '{"numpy": "1"}', "[" * 10_000),
        *('{"python": 3}', '{"python": {"a": "b"}}', '{"python": null}', '{"python": ""}'),
        '{"python": "3.11", "numpy": ["1"]}',
        '{"python": "3.11", "numpy": "\\u001b[2J"}',
        '{"python": "3.11", "numpy": "' + "1" * 101 + '"}',
    ],
)
def test_an_interpreter_that_answers_with_no_versions_is_refused_in_a_sentence(
    answer, bench, tmp_path
):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    python.chmod(0o755)
    code, _, errors = bench("run", *QUICK, "--backend", "pytorch", "--python", f"torch={python}")
    assert code == 2
    assert errors.startswith(f"bench: {python}: does not answer with its versions\n")
    assert "Traceback" not in errors


def test_an_interpreter_is_asked_for_no_more_than_what_is_needed(tmp_path):
    python = tmp_path / "python"
    answer = '{"python": "3.9", "mine": "1", "torch": "2", "$FRAMEWORK_BENCH_WORKER": "set"}'
    python.write_text(f"#!/bin/sh\necho '{answer}'\n")
    python.chmod(0o755)
    versions = Environments({"torch": python}).versions("torch")
    assert versions == {"python": "3.9", "torch": "2"}


def test_a_script_that_keeps_our_variables_from_the_framework_is_refused(bench, tmp_path):
    """A container may; a job for one GPU would then see all, and no thread would be set."""
    script = tmp_path / "python.sh"
    script.write_text(f'#!/bin/sh\nexec env -i {sys.executable} "$@"\n')
    script.chmod(0o755)
    code, _, errors = bench("run", *QUICK, "--backend", "toy", "--python", f"toy={script}")
    assert code == 2
    assert f"{script}: does not receive the environment variables of the bench" in errors
    assert "--cleanenv" in errors


def test_what_a_script_sets_itself_is_said_before_a_run(bench, tmp_path):
    """As a module does; what the user sets does not reach a framework, and is said elsewhere."""
    script = tmp_path / "python.sh"
    script.write_text(
        "#!/bin/sh\nexport OMP_PROC_BIND=true XLA_FLAGS=--a PYTHONPATH=/modules MODULES=pytorch\n"
        f'exec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    asked = ("run", "softmax", "--backend", "toy", "--dry-run")
    _, _, errors = bench(*asked, "--python", f"toy={script}")
    [line] = [line for line in errors.splitlines() if "records do not contain it" in line]
    assert line.startswith(f"bench: {script} sets OMP_PROC_BIND, XLA_FLAGS, and records do not")
    _, _, errors = bench(*asked, "--python", f"toy={sys.executable}")
    assert "records do not contain it" not in errors
