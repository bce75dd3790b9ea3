"""The far adapter: it passes calls and arrays on unchanged, and notices what goes wrong there."""

from __future__ import annotations

import ast
import gc
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.far import child, near, near_messages
from backends.far.child import ChildError
from backends.far.far import Far
from backends.far.near_messages import MessageError, read_message, write_message
from backends.registry import ENVIRONMENTS
from bench.records.files import PROJECT
from bench.records.key import checksum_of
from bench.worker import clock
from bench.worker.verification import checks
from bench.worker.verification.cases import make_case
from specs.initial import initial_weights
from tests.support.jobs import make_job

JOB = make_job("softmax-sgd", batch_size=8)


def far(name: str, python: str = sys.executable):
    """The adapter of a program in `tests/support/near_softmax.py`."""
    kind = type(name, (Far,), {"near": f"tests.support.near_softmax:{name}", "environment": "old"})
    return lambda job: kind(job, python)


def ready(name: str):
    backend = far(name)(JOB)
    backend.set_weights(initial_weights(JOB.workload, 0))
    backend.load(np.zeros((20, 28, 28, 1), np.float32), np.zeros(20, np.int64))
    return backend


@pytest.fixture(scope="module")
def case():
    random = np.random.RandomState(0)
    images = random.random_sample((1100, 28, 28, 1)).astype(np.float32)
    return make_case(JOB, images, random.randint(0, 10, 1100))


def alive(pid: int) -> bool:
    """Whether a process runs; it may be a zombie, whose parent was killed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize("check", [*checks.COMPUTES.values(), *checks.BEHAVES.values()])
def test_what_is_computed_behind_the_pipes_passes_every_check(check, case):
    if check is checks.check_purity:
        case = replace(case, job=replace(case.job, device="cpu"))
    found = check(far("Softmax"), case)
    assert found.passed, found


def test_what_the_framework_prints_is_in_the_log_and_not_in_the_pipe(capfd):
    assert ready("Softmax").settings()["device"] == "cpu"
    gc.collect()
    found = capfd.readouterr()
    assert found.out == ""
    for text in ("printed by Python", "printed by a program"):
        assert text in found.err


# What a wrong child does, as code that runs there before the loop, and what is said about it.
WRONG = {
    "prints into the pipe": ("send = lambda data: b'epoch 1\\n' + data", "something else stands"),
    "sends a reply twice": (
        "send = lambda data, kept=[]: kept.append(data) or kept[max(0, len(kept) - 2)]",
        "the reply to call 1 came for call 2",
    ),
    "damages an array": ("send = lambda data: data[:-1] + bytes([data[-1] ^ 1])", "is damaged"),
    "damages the text": (
        "send = lambda data: data.replace(b'result', b'resale')",
        "the header or the text is damaged",
    ),
    "loses an array's end": (
        "send = lambda data: os.write(out, data[:-1]) and os._exit(0)",
        "ended within",
    ),
    "has another version": (
        "near_messages._VERSION = 2",
        "(?s)exit code 1.*version 1 of the messages, expected 2",
    ),
    "loses an array": ("change = lambda arrays: arrays.clear()", "an array that is not there"),
    "exchanges bytes": (
        "change = lambda arrays: arrays.__setitem__(slice(None), [a.byteswap() for a in arrays])",
        "arrays come back changed",
    ),
    "sends other types": (
        "change = lambda arrays: arrays.__setitem__(1, arrays[1].astype('f4')) if arrays else 0",
        "arrays come back changed",
    ),
    "is a program of another kind": ("sys.exit('usage: near')", "exit code 1"),
}
SERVER = """
import io, os, sys
sys.path.insert(0, {project!r})
from backends.far import near, near_messages
send, change, pack = lambda data: data, lambda arrays: None, near_messages._pack
def changed(value, arrays, depth=[]):
    depth.append(value)
    packed = pack(value, arrays)
    depth.pop()
    if not depth:
        change(arrays)
    return packed
near_messages._pack = changed
class Stream(io.BytesIO):
    def flush(self):
        data = self.getvalue()
        self.seek(0), self.truncate()
        os.write(out, send(data))
pipes = near.take_pipes
def take_pipes():
    global out
    calls, replies = pipes()
    out = os.dup(replies.fileno())
    return calls, Stream()
near.take_pipes, near.import_package = take_pipes, lambda name, folder: None
{code}
near.main(*sys.argv[1:])
"""


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_child_is_noticed(fault, tmp_path, monkeypatch):
    code, said = WRONG[fault]
    server = tmp_path / "server.py"
    server.write_text(SERVER.format(project=str(PROJECT), code=code))
    monkeypatch.setattr(child, "near", SimpleNamespace(__file__=str(server)))
    with pytest.raises(ChildError, match=said):
        ready("Softmax").get_weights()


def test_the_same_child_without_a_fault_is_right(tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    server.write_text(SERVER.format(project=str(PROJECT), code=""))
    monkeypatch.setattr(child, "near", SimpleNamespace(__file__=str(server)))
    weights = ready("Softmax").get_weights()
    expected = initial_weights(JOB.workload, 0)
    assert all(np.array_equal(weights[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LosesAnArray", "get_weights: found .*1.kernel.*, expected .*1.bias"),
        ("ReturnsOtherShapes", r"predict: logits of shape \(19, 10\), expected \(20, 10\)"),
        ("Dies", r"(?s)ended in train_epoch with exit code 3.*the last words"),
        ("Crashes", "ended in train_epoch with signal SIGSEGV"),
        ("Raises", r"(?s)train_epoch: ValueError: wrong in Python 3.*Traceback.*near_softmax.py"),
    ],
)
def test_a_program_that_fails_or_lacks_something_is_an_error_that_says_it(name, said):
    backend = ready(name)
    with pytest.raises(ChildError, match=said):
        (
            backend.get_weights(),
            backend.train_epoch(np.arange(20)),
            backend.predict(np.zeros((20, 28, 28, 1), np.float32)),
        )


def test_refusals_and_lack_of_memory_keep_their_kind():
    with pytest.raises(Unsupported, match="this model has no convolution"):
        ready("Refuses")
    with pytest.raises(MemoryError, match="no room"):
        ready("NeedsMemory").train_epoch(np.arange(20))


def test_a_library_or_an_interpreter_that_is_missing_is_said_with_what_to_type(tmp_path):
    with pytest.raises(ChildError, match=r"libmpi.so.12.*bench environment create old"):
        ready("NeedsALibrary")
    with pytest.raises(ChildError, match=r"cannot be started.*bench environment create old"):
        far("Softmax", str(tmp_path / "python3.6"))(JOB)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no module named numpy' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(ChildError, match=r"(?s)exit code 1.*environment create old.*named numpy"):
        far("Softmax", str(python))(JOB)


@pytest.mark.parametrize("changes", [{"mode": "native"}, {"compiled": True}])
def test_native_mode_and_compilers_are_refused_before_anything_starts(changes):
    with pytest.raises(Unsupported, match="matched mode, without a compiler"):
        far("Softmax", "/no/python")(replace(JOB, **changes))


def test_a_forgotten_backend_leaves_no_process():
    backend = ready("Softmax")
    [pid] = backend.processes()
    assert alive(pid)
    del backend
    gc.collect()
    assert not alive(pid)


PARENT = """
import sys, time
import numpy as np
from tests.backends.test_far import ready
backend = ready({name!r})
print(backend.processes()[0], flush=True)
backend.train_epoch(np.arange(20))
time.sleep(600)
"""


def start_parent(name: str) -> tuple[subprocess.Popen, int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(name=name)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    return parent, int(parent.stdout.readline())


def test_a_child_ends_when_its_parent_was_killed():
    parent, pid = start_parent("Softmax")
    assert alive(pid)
    parent.kill()
    parent.communicate()
    assert ends(pid)


def test_a_child_that_hangs_is_killed_with_the_group_of_its_worker():
    """As the bench kills a worker that tells no line for too long."""
    parent, pid = start_parent("Hangs")
    assert os.getpgid(pid) == parent.pid
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert ends(pid)


def test_the_time_of_a_phase_is_that_within_the_child_and_the_transport_is_kept():
    backend = ready("Sleeps")
    slow = replace_call(backend, 1.2)
    clock.leave_out(backend.transport_seconds)
    try:
        phase, loss = clock.measure(
            "train", lambda: slow(np.arange(20)), backend.sync, clock.Clock()
        )
    finally:
        clock.leave_out(None)
    assert loss == 1.0
    # The child takes 0.3 s, and its reply is read after 1.2 s; this machine may be busy.
    assert 0.3 <= phase.wall_seconds < 0.9
    assert phase.wall_seconds + phase.transport_seconds >= 1.2
    phase, _ = clock.measure("other", lambda: None, backend.sync, clock.Clock())
    assert phase.transport_seconds is None


def replace_call(backend, seconds: float):
    """`train_epoch` whose reply is read so much later, as by a slow transport."""
    child = backend._child
    stream = child._replies

    class Slow:
        def readinto(self, buffer):
            time.sleep(0.0 if self.__dict__.setdefault("read", False) else seconds)
            self.read = True
            return stream.readinto(buffer)

        def close(self):
            stream.close()

    child._replies = Slow()
    return backend.train_epoch


@pytest.mark.parametrize(
    "content",
    [
        {"a": [1, 2.5, None, "ü", True], "b": {"c": np.arange(6).reshape(2, 3)}},
        [np.zeros((0, 3), np.float32), np.array(2.0), np.array([True, False])],
        {"view": np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]},
        {"big-endian": np.arange(3, dtype=">f8"), "nan": [float("nan"), np.float32(0.1)]},
    ],
)
def test_a_message_arrives_as_it_was_sent(content):
    stream = io.BytesIO()
    write_message(stream, 7, content)
    stream.seek(0)
    number, found = read_message(stream)
    assert number == 7
    np.testing.assert_equal(found, near_messages._unpack(content, []))
    with pytest.raises(EOFError):
        read_message(stream)


def test_objects_are_not_sent():
    with pytest.raises(MessageError, match="of type .O are not sent"):
        near_messages._dtype_of("|O")


def near_files() -> list[Path]:
    backends = PROJECT / "backends"
    return [backends / "layout.py", *sorted(backends.glob("*/near*.py"))]


@pytest.mark.parametrize("file", near_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_runs_in_the_old_python_is_written_for_it_and_imports_only_its_like(file):
    """For the oldest Python of the family's environment; `far` itself is for 3.6."""
    family = ENVIRONMENTS.get(file.parent.name)
    versions = family.pythons if family else ("3.6",)
    oldest = min(tuple(map(int, version.split("."))) for version in versions)
    tree = ast.parse(file.read_text(), feature_version=oldest)
    for node in ast.walk(tree):
        names = [alias.name for alias in getattr(node, "names", [])]
        if isinstance(node, ast.ImportFrom):
            assert node.module != "__future__" or oldest > (3, 6), "its annotations came with 3.7"
            names = [node.module]
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in names:
                ours = name.partition(".")[0] in ("backends", "bench", "specs")
                like = name == "backends.layout" or name.rpartition(".")[2].startswith("near")
                assert like or not ours, name


def test_the_key_of_a_record_depends_on_the_program_in_the_old_python():
    adapter = (PROJECT / "backends/cntk/trainer.py").read_text()
    assert "near_trainer" in adapter
    from bench.records import key  # here, as its cache is cleared

    before = checksum_of("backends.cntk.trainer:Cntk")
    read = key._read

    def changed(text):
        return read(text.replace("set_max_num_cputhreads", "set_other") if "cntk" in text else text)

    key._read = changed
    try:
        assert checksum_of("backends.cntk.trainer:Cntk") != before
    finally:
        key._read = read


def test_the_probe_has_values_that_show_an_exchange_of_bytes_and_of_types():
    assert near.is_probe(near.probe())
    assert not near.is_probe([array.byteswap() for array in near.probe()])
    assert not near.is_probe([array.astype(np.float64) for array in near.probe()])
