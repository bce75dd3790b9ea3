"""scikit-learn's backend and its environment."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

_ON_CPUS = "scikit-learn trains these models with NumPy, on the CPU"

FAMILY = Family(
    environments={
        "scikit-learn": Environment(
            engine="backends.sklearn.engine:ScikitLearnEngine",
            requirements=("scikit-learn==1.9.1", "scipy==1.17.1", "numpy==2.4.6"),
            versions=("scikit-learn", "scipy", "numpy"),
        )
    },
    backends={
        "scikit-learn": Entry(
            title="scikit-learn, MLPClassifier: dense layers only",
            adapter="backends.sklearn.partial_fit:ScikitLearn",
            native="backends.sklearn.native:ScikitLearnNative",
            environment="scikit-learn",
            needs=("scikit-learn",),
            refuses="backends.sklearn.structure:structure_of",
        )
    },
    gaps={
        "scikit-learn": {
            "TF32": Gap(kind="never", reason=f"TF32 is a format of GPUs; {_ON_CPUS}"),
            "bfloat16": Gap(kind="never", reason=f"NumPy has no bfloat16; {_ON_CPUS}"),
        }
    },
    untuned={
        "scikit-learn": "it has no compiler and no option that changes the speed of a step; a call"
        " of partial_fit already trains many steps"
    },
    defaults="backends.sklearn.defaults:BACKENDS",
    scripts={"scikit-learn": "backends.sklearn.script:script"},
)
