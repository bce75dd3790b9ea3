"""The records with which a family of backends describes itself to the registry.

A family is a package with the adapters of one framework. Its `family.py` defines `FAMILY`: the
environments, the backends, and their missing features. This module imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

# The environment in which the bench itself runs; `bench environment` installs nothing there.
OWN_ENVIRONMENT = "bench"
# The requirements of the bench's own code in a worker, for every framework.
WORKER_REQUIREMENTS = ("msgspec==0.22.0",)
# On a machine with an NVIDIA GPU also the package that reads the GPU's energy. If it is missing,
# the record has no energy, and says why.
WORKER_CUDA_REQUIREMENTS = ("nvidia-ml-py==13.615.71",)
# What decides how fast a framework is on a GPU, and is not pinned by the framework's own version:
# a record holds the versions of those that are installed.
CUDA_PACKAGES = (
    *("nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"),
    *("nvidia-cuda-nvcc-cu12", "nvidia-nccl-cu12"),
    # CUDA 13's packages; most of them are no longer named after CUDA's version
    *("nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cuda-nvcc"),
    *("nvidia-nccl-cu13", "triton"),
    *("jax-cuda12-plugin", "jax-cuda12-pjrt", "jax-cuda13-plugin", "jax-cuda13-pjrt"),
)

Capability = tuple[int, int]  # NVIDIA's compute capability of a GPU: (9, 0) for an H100


class CudaBuild(Struct, frozen=True, kw_only=True):
    """One build of a framework for NVIDIA GPUs under Linux, and the machines that it is for.

    Attributes:
        cuda: the version of CUDA that it is built with: "13.0".
        requirements: pinned pip requirements.
        minimum_driver: the oldest major version of NVIDIA's driver that runs it: 580.
        lowest: processor, as `platform.machine` names it -> the lowest compute capability that the
            build for it has code for. It does not exist for other processors.
        highest: the highest compute capability that it runs on; None: also GPUs that are newer
            than the build, as the driver compiles its code for them.
        index: a package index that has it, if pip's own has not.
    """

    cuda: str
    requirements: tuple[str, ...]
    minimum_driver: int
    lowest: Mapping[str, Capability]
    highest: Capability | None = None
    index: str = ""


class Environment(Struct, frozen=True, kw_only=True):
    """One virtual environment, with packages that can be installed together.

    Attributes:
        engine: the class that measures the limits of its framework, as "module:Class", see
            `backends.engine`; "" if no limits are measured.
        requirements: pinned pip requirements. Only this place names the framework's version.
        cuda: the builds for NVIDIA GPUs, the best first. Without any, GPUs change nothing.
        ask_cuda: a Python program that prints the version of CUDA that the installed framework is
            built with, or nothing. pip may have found a build for CPUs instead.
        build_requirements: pinned pip requirements that are installed first. Packages that exist
            only as source are then built with them: an old one needs old tools.
        pythons: the versions of Python that can have it, the best first: ("3.9", "3.8"). Empty
            if the bench's own Python can.
        far: whether its Python is too old to run a worker. The worker then runs in the bench's
            own Python, and its adapter drives this one, see `backends.far`.
        finish: "module:function" of what remains to be done after pip, "" for nothing. The function
            is called with the interpreter and with a function that runs a command and returns what
            it prints. Both raise `specs.errors.UserError`.
        versions: the packages whose versions a record holds, the framework's own first.
        variables: environment variables of every worker that runs in it.
        cpu_index: a package index with smaller builds for CPUs. pip looks there, too, if the
            builds are not for an NVIDIA GPU and the user has not told pip where to look.
        wrong_versions: package -> its versions that compute wrong results; no backend runs with
            them.
        say_size: whether to print the download size before the installation, as pip may download
            GPU builds of several GB.
    """

    engine: str
    requirements: tuple[str, ...]
    versions: tuple[str, ...]
    build_requirements: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    far: bool = False
    finish: str = ""
    cuda: tuple[CudaBuild, ...] = ()
    ask_cuda: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    cpu_index: str = ""
    wrong_versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    say_size: bool = False

    def with_version(self, package: str, version: str) -> Environment:
        """The same environment with another version of a package, or of its build for CPUs.

        With another Keras all others keep their versions. With another framework Keras does; the
        rest is left to pip, as an older framework needs older packages. NVIDIA's packages keep
        theirs: a pin is there for the GPU's sake.
        """

        def changed(requirement: str) -> str:
            name, _, pinned = requirement.partition("==")
            _, plus, build = pinned.partition("+")
            if name.partition("[")[0] in (package, f"{package}-cpu"):
                return f"{name}=={version}{plus}{build}"
            keeps = "keras" in (package, name) or name.startswith("nvidia-")
            return requirement if keeps else name

        return replace(
            self,
            requirements=tuple(map(changed, self.requirements)),
            cuda=tuple(
                replace(build, requirements=tuple(map(changed, build.requirements)))
                for build in self.cuda
            ),
        )

    def packages(self, build: CudaBuild | None = None) -> tuple[str, ...]:
        """All pip requirements, including the bench's own; of one of `cuda`, or for CPUs."""
        if self.far:
            return self.requirements
        if build is None:
            return (*self.requirements, *WORKER_REQUIREMENTS)
        return (*build.requirements, *WORKER_CUDA_REQUIREMENTS, *WORKER_REQUIREMENTS)


class Entry(Struct, frozen=True, kw_only=True):
    """One backend.

    Attributes:
        title: a short description.
        adapter: "module:Class" of the adapter for matched mode.
        native: "module:Class" of the adapter for native mode; None if there is no native mode.
        parallel: "module:Class" of the adapter for several ranks, see `Job.device`; None if it
            trains on one device only.
        on_nodes: "module:Class" of the adapter for ranks on several nodes of Slurm; None if they
            must be on one.
        environment: the name of the environment in which it runs.
        needs: the packages that it needs to start; "a|b" means that either is enough.
        framework: the package whose version "NAME@VERSION" chooses; "" for the first of `needs`.
        variables: environment variables of its workers, in addition to the environment's.
        compiled: whether the framework's compiler is on, on all devices.
        compiled_on_gpus: whether it is on on GPUs only.
        warm_up_on_gpus: the epochs of a job on a GPU that are not steady, whatever their times are.
        variant_of: the backend that it is a variant of; a run includes tuned variants with
            `--tuned`.
        changes: how the variant differs from that backend, in Markdown.
        experiment: the question that the variant answers beside that backend, if nobody can tell
            the answer without the hardware; "" for all other backends. It runs only if it is named.
        retired: the year of the last release of a framework that is not developed any more, else
            None. Such a backend has no native mode and no tuned variant.
        refuses: "module:function" of a function that raises `Unsupported` for a workload whose
            model the framework cannot have; "" if it has all layers. It does not import the
            framework. `bench verify` leaves such models out.
    """

    title: str
    adapter: str
    environment: str
    needs: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    framework: str = ""
    native: str | None = None
    parallel: str | None = None
    on_nodes: str | None = None
    compiled: bool = False
    compiled_on_gpus: bool = False
    warm_up_on_gpus: int = 1
    variant_of: str | None = None
    changes: str = ""
    experiment: str = ""
    retired: int | None = None
    refuses: str = ""

    def variant(self, of: str, title: str, **changes: Any) -> Entry:
        """A variant of this backend, for matched mode on one device.

        Args:
            of: this backend's name.
            title: the variant's.
            changes: the other fields in which it differs.
        """
        only_plain = {"native": None, "parallel": None, "on_nodes": None}
        return replace(self, variant_of=of, title=title, **{**only_plain, **changes})

    def compiles_on(self, device: str) -> bool:
        """Whether the framework's compiler is on for a job on this device, in matched mode."""
        return self.compiled or (self.compiled_on_gpus and device != "cpu")


class Gap(Struct, frozen=True, kw_only=True):
    """The reason why a backend lacks a feature.

    Attributes:
        kind: "never": the feature does not fit the framework; "not yet": this adapter does not
            implement it yet.
        reason: the reason, as reports show it.
    """

    kind: Literal["never", "not yet"]
    reason: str


# With these variables glibc, the C library of Linux, keeps the memory that a step has freed. It
# returns large blocks to the system otherwise, and the next step's first access to each page costs
# a fault. PyTorch's performance guide advises another allocator for that reason; these variables
# need nothing installed, see mallopt(3). Other systems ignore them.
KEEP_MEMORY: Mapping[str, str] = MappingProxyType(
    {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30)}
)
KEEP_MEMORY_TEXT = "freed memory is kept (`MALLOC_MMAP_MAX_`, `MALLOC_TRIM_THRESHOLD_`)"

# Feature -> the fields of a job that request it. A test fails if a listed gap works.
FEATURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "TF32": {"precision": "tf32"},
        "bfloat16": {"precision": "bfloat16"},
        "deterministic": {"deterministic": True},
        "native mode": {"mode": "native"},
    }
)
# The precision of a job -> the feature that it requests.
FEATURE_OF_PRECISION: Mapping[str, str] = MappingProxyType(
    {changes["precision"]: name for name, changes in FEATURES.items() if "precision" in changes}
)
BFLOAT16 = Gap(kind="not yet", reason="this adapter does not train in mixed precision")
# Feature -> the reason why no backend has it; no field of a job requests it.
GAPS_OF_ALL: Mapping[str, Gap] = MappingProxyType(
    {
        "float16": Gap(
            kind="not yet",
            reason="small gradients become 0 in it, so the loss must be scaled by a factor that"
            " changes during the training; a step with an overflow is left out, so frameworks would"
            " not do the same steps",
        ),
        "FP8": Gap(
            kind="not yet",
            reason="only some GPUs have it, and the frameworks need further packages, with scales"
            " of their own for each tensor",
        ),
        "several devices with Keras": Gap(
            kind="not yet",
            reason="Keras's `DataParallel` needs an adapter of its own; `jax`, `pytorch` and"
            " `tensorflow` train on several devices",
        ),
        "AMD GPUs (ROCm)": Gap(
            kind="not yet",
            reason="the machine's GPUs are found and measured by NVIDIA's library",
        ),
    }
)


class Family(Struct, frozen=True, kw_only=True):
    """A family of backends.

    Attributes:
        backends: name of a backend -> its entry.
        environments: name -> environment, for the environments that the family adds. Its backends
            may also run in an environment of another family.
        gaps: name of a backend -> feature -> the reason why it is missing. A variant also has its
            plain backend's gaps, and no native mode.
        untuned: name of a backend -> the reason why it has no tuned variant. The reason names the
            options that gained nothing, so that nobody tries them again.
        defaults: "module:NAME" of a mapping from backends to their defaults, see
            `backends.defaults`; "" if the family has no framework.
        scripts: name after `bench show NAME --as` -> "module:function" of the generator of scripts
            for it, see `backends.script`.
    """

    backends: Mapping[str, Entry]
    environments: Mapping[str, Environment] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    untuned: Mapping[str, str] = field(default_factory=dict)
    defaults: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
