"""Chainer's backend and its environment."""

from __future__ import annotations

import platform

from backends.family import Entry, Environment, Family, Gap

_ON_CPUS = "Chainer computes with NumPy here, on the CPU"
# Chainer imports `pkg_resources` and `numpy.distutils`, which needs a module of setuptools that
# version 74 does not have.
_SETUPTOOLS = "setuptools==73.0.1"
# NumPy 1.26.4 has OpenBLAS 0.3.23. On processors of Intel that are newer than it, it takes kernels
# without AVX (OpenBLAS issue 4267, solved in 0.3.25): on an Emerald Rapids a product of matrices
# (1000, 1000) reached 9 GFLOP/s instead of 76. Given a name that it does not know, it chooses by
# what the processor can do. On ARM it would then take the plainest kernels.
_KERNELS = {"OPENBLAS_CORETYPE": "by-features"}

FAMILY = Family(
    environments={
        "chainer": Environment(
            engine="backends.chainer.engine:ChainerEngine",
            requirements=(
                "chainer==7.8.1",
                "numpy==1.26.4",
                "threadpoolctl==3.8.0",
                _SETUPTOOLS,
            ),
            # Chainer exists as source only.
            build_requirements=(_SETUPTOOLS, "wheel==0.45.1"),
            # Python 3.12 and NumPy's builds for it have no `numpy.distutils`.
            pythons=("3.11", "3.10"),
            versions=("chainer", "numpy", "threadpoolctl", "setuptools"),
            # Its OpenBLAS 0.3.20 has wrong products of small matrices, float32, where it takes its
            # kernels for Cooper Lake: on a processor with AVX512-BF16.
            wrong_versions={"numpy": ("1.23.5",)},
            variables=_KERNELS if platform.machine() in {"x86_64", "AMD64"} else {},
        )
    },
    backends={
        "chainer": Entry(
            title="Chainer, define by run, on NumPy",
            adapter="backends.chainer.eager:Chainer",
            environment="chainer",
            needs=("chainer", "threadpoolctl", "setuptools"),
            # Chainer 7.8.1 is of 5 January 2022; there is none after it.
            retired=2022,
        )
    },
    gaps={
        "chainer": {
            "TF32": Gap(kind="never", reason=f"TF32 is a format of GPUs; {_ON_CPUS}"),
            "bfloat16": Gap(kind="never", reason=f"NumPy has no bfloat16; {_ON_CPUS}"),
        }
    },
    defaults="backends.chainer.defaults:BACKENDS",
    scripts={"chainer": "backends.chainer.script:script"},
)
