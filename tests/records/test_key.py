"""The key of a record: another one whenever what decides the record is another, and only then."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from backends.registry import adapter_of
from bench.machine.host import Machine
from bench.machine.nvml import Gpu
from bench.records import key, verification
from bench.records.files import PROJECT
from bench.records.key import checksum_of
from bench.runner import jobs
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks
from bench.runner.verification import make_task
from tests.support.jobs import make_job

MACHINE = Machine(
    name="node",
    system="Linux 6",
    cpu="CPU",
    logical_cpus=2,
    allowed_cpus=2,
    memory_bytes=1,
    gpus=(),
)
GPU = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=40 * 10**9, driver="550.1")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of our packages, which keys are made of, and may be changed."""
    for package in ("backends", "bench", "specs"):
        shutil.copytree(PROJECT / package, tmp_path / package)
    monkeypatch.setattr(key, "PROJECT", tmp_path)
    return tmp_path


def edit(folder, path, old, new):
    text = (folder / path).read_text()
    assert old in text, "the test names text that is not there"
    (folder / path).write_text(text.replace(old, new, 1))


def test_a_job_on_several_nodes_has_another_key_on_other_nodes(mnist_5k, monkeypatch):
    monkeypatch.setattr(jobs, "adapter_of", lambda *_: adapter_of("reference", "matched"))

    def key_on(nodes, device):
        monkeypatch.setenv("SLURM_JOB_NODELIST", nodes)
        [task] = make_tasks([(make_job(device=device), mnist_5k)], Environments(), MACHINE, 100)
        return task.key

    assert key_on("n[1-2]", "2x1xcpu") == key_on("n[1-2]", "2x1xcpu") != key_on("n[1,3]", "2x1xcpu")
    assert key_on("n[1-2]", "cpu") == key_on("n[1,3]", "cpu")


@pytest.fixture
def keys(mnist_5k, places):
    """The key of a job and of a verification of the reference, as they are made now."""

    def make(machine=MACHINE):
        verification.checks_checksum.cache_clear()
        environments = Environments()
        [task] = make_tasks([(make_job(), mnist_5k)], environments, machine, 100)
        return task.key, make_task(
            "reference", "matched", "cpu", 1, environments, machine, places
        ).key

    yield make
    verification.checks_checksum.cache_clear()


def test_a_key_is_another_one_whenever_the_job_the_data_or_the_machine_is(mnist_5k):
    def key_of(data=mnist_5k, machine=MACHINE, **changes):
        [task] = make_tasks([(make_job(**changes), data)], Environments(), machine, 100)
        return task.key

    base = key_of()
    assert key_of() == base
    others = [
        key_of(seed=1),
        key_of(epochs=2),
        key_of(batch_size=64),
        key_of(threads=2),
        key_of(round=1),
        key_of(deterministic=True),
        key_of(workload="mlp-relu"),
        key_of(data=replace(mnist_5k, checksum="0" * 64)),
        key_of(machine=replace(MACHINE, name="another")),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_key_covers_all_of_our_code_that_the_worker_runs_and_no_other(monkeypatch):
    """keras-torch runs its files, the language, PyTorch's device, the grading; no other adapter."""
    read = []
    original = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **how: read.append(path) or original(path, **how)
    )
    checksum_of("bench.worker.main", "bench.worker.training", adapter_of("keras-torch", "matched"))
    names = {".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in read}
    assert names >= {
        "backends.keras.torch",
        "backends.keras.model",
        "backends.keras.updates",
        "backends.pytorch.device",
        "bench.worker.training",
        "bench.worker.grading",
        "specs.initial",
        "specs.model",
    }
    assert not {"backends.keras.jax", "backends.pytorch.layers", "bench.data.archives"} & names
    assert {name.split(".")[1] for name in names if name.startswith("bench.")} <= {
        "worker",
        "__init__",
    }


WORDS = [
    ("specs/initial.py", '    """', '    """Reworded. '),
    ("bench/worker/training.py", "the input pipeline read", "the pipeline read"),
    ("backends/reference/oracle.py", "the reference runs on the CPU only", "no GPU here"),
    ("backends/reference/updates.py", "\nclass SgdUpdate", "\n# A comment.\nclass SgdUpdate"),
    ("bench/worker/verification/checks.py", "\n\n", "\n\n\n"),
    ("bench/data/archives.py", "https://", "https://mirror."),
    ("bench/report/form/words.py", "FLOP/s", "flops"),
]


@pytest.mark.parametrize(("path", "old", "new"), WORDS, ids=lambda value: value[:30])
def test_a_comment_a_docstring_a_message_and_a_mirror_leave_records_and_verifications_valid(
    copy, keys, path, old, new
):
    before = keys()
    edit(copy, path, old, new)
    assert keys() == before


def test_a_formula_makes_records_and_verifications_stale(copy, keys):
    job, own = keys()
    edit(copy, "backends/reference/updates.py", "(1.0 - spec.rho) * g**2", "spec.rho * g**2")
    assert keys()[0] != job
    assert keys()[1] != own


def test_what_the_worker_does_makes_records_stale_and_what_a_check_does_only_verifications(
    copy, keys
):
    job, own = keys()
    edit(copy, "bench/worker/verification/dropout.py", "_UNITS = ", "_UNITS = 2 * ")
    assert keys()[0] == job
    assert keys()[1] != own
    # A job's own verification, whose deviations are in its record, uses the tolerances.
    own = keys()[1]
    edit(copy, "bench/worker/verification/tolerances.py", "_SPREADS = ", "_SPREADS = 2 * ")
    assert keys()[0] != job
    assert keys()[1] != own
    job = keys()[0]
    edit(copy, "bench/worker/grading.py", "losses.mean()", "losses.sum()")
    assert keys()[0] != job


def test_a_formula_of_one_family_leaves_the_others_records_valid(copy):
    adapters = {name: adapter_of(name, "matched") for name in ("pytorch", "keras-torch", "jax")}
    before = {name: checksum_of(adapter) for name, adapter in adapters.items()}
    edit(copy, "backends/pytorch/updates.py", "def build_optimizer(", "def build_optimizer_(")
    now = {name: checksum_of(adapter) for name, adapter in adapters.items()}
    assert {name for name in adapters if now[name] != before[name]} == {"pytorch"}


FORMS = {
    "import other.part": "import family.part",
    "import ... as": "import family.part as other",
    "from package": "from family import part",
    "from package, as": "from family import part as other",
    "from package, with a comment": "from family import part  # the part",
    "from package, in brackets": "from family import (\n    nothing,\n    part,\n)",
    "from module": "from family.part import value",
    "in a function": "def function():\n    from family import part\n    return part",
    "relative": "from . import part",
    "relative, from module": "from .part import value",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_import_is_followed(tmp_path, monkeypatch, form):
    package = tmp_path / "family"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "adapter.py").write_text(f"{FORMS[form]}\n")
    (package / "part.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = checksum_of("family.adapter:Adapter")
    (package / "part.py").write_text("value = 2\n")
    assert checksum_of("family.adapter:Adapter") != before
    assert "family" not in sys.modules  # read, and never run


def test_what_runs_when_a_package_is_imported_counts(tmp_path, monkeypatch):
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "__init__.py").write_text("flag = 1\n")
    (tmp_path / "family" / "adapter.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = checksum_of("family.adapter:Adapter")
    (tmp_path / "family" / "__init__.py").write_text("flag = 2\n")
    assert checksum_of("family.adapter:Adapter") != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f(x)()", "f()(x)"),
        (
            "if a:\n    if b:\n        x()\nelse:\n    y()",
            "if a:\n    if b:\n        x()\n    else:\n        y()",
        ),
        (
            "for a in b:\n    if c:\n        break\nelse:\n    y()",
            "for a in b:\n    if c:\n        break\n    else:\n        y()",
        ),
        (
            "@d\ndef o():\n    def i():\n        pass",
            "def o():\n    @d\n    def i():\n        pass",
        ),
    ],
    ids=["calls", "else of an if", "else of a for", "decorator"],
)
def test_the_same_words_in_another_structure_are_another_code(one, other):
    assert key._read(one)[0] != key._read(other)[0]


def test_the_order_of_two_names_counts_and_a_new_field_of_pythons_syntax_does_not(tmp_path):
    first, second = (key._read(text)[0] for text in ("f(a, b)", "f(b, a)"))
    assert first != second
    assert (
        key._read("def f(): return 1")[0] == key._read('def f():\n    """Says."""\n    return 1')[0]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "H100"},
        {"memory_bytes": 80 * 10**9},
        {"driver": "560.1"},
        {"partition": "1g.5gb"},
        {"compute_capability": "9.0"},
    ],
    ids=str,
)
def test_another_model_memory_driver_or_partition_of_the_gpu_is_another_key(
    mnist_5k, places, change
):
    def key_on(gpu):
        machine = replace(MACHINE, gpus=(gpu,))
        [task] = make_tasks([(make_job(device="cuda:0"), mnist_5k)], Environments(), machine, 100)
        own = make_task("reference", "matched", "cuda:0", 1, Environments(), machine, places)
        return task.key, own.key

    job, own = key_on(GPU)
    assert key_on(replace(GPU, uuid="GPU-b")) == (job, own)  # another one of the same kind
    changed_job, changed_own = key_on(replace(GPU, **change))
    assert changed_job != job
    assert changed_own != own
