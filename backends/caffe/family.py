"""Caffe's backend and its environment."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

_ON_CPUS = "the only build of Caffe that pip can install is for CPUs"

FAMILY = Family(
    environments={
        "caffe": Environment(
            engine="",
            # BVLC's Caffe 1.0 with a few more layers, built in 2021. It does not work with NumPy
            # 1.24 or protobuf 4.
            requirements=(
                *("kendryte-caffe==1.0.0.20210829", "numpy==1.21.6", "protobuf==3.20.3"),
                *("scipy==1.7.3", "scikit-image==0.19.3", "six==1.17.0"),
            ),
            versions=("kendryte-caffe", "numpy", "protobuf"),
            pythons=("3.9", "3.8", "3.7"),
            far=True,
            # Caffe tells of every layer that it builds, and that a layer has no weights to share.
            variables={"GLOG_minloglevel": "2"},
        )
    },
    backends={
        "caffe": Entry(
            title="Caffe 1.0 of 2017, in a build of 2021: no batch norm",
            adapter="backends.caffe.far:Caffe",
            environment="caffe",
            needs=("kendryte-caffe",),
            retired=2017,
            refuses="backends.caffe.structure:check_layers",
        )
    },
    gaps={
        "caffe": {
            "TF32": Gap(kind="never", reason=f"TF32 is a format of GPUs; {_ON_CPUS}"),
            "bfloat16": Gap(kind="never", reason="Caffe has no bfloat16"),
        }
    },
    defaults="backends.caffe.defaults:BACKENDS",
    scripts={"caffe": "backends.caffe.script:script"},
)
