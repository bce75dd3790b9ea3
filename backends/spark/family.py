"""Spark's backend and its environment."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

_ON_CPUS = "Spark MLlib computes in float64, on CPUs"

FAMILY = Family(
    environments={
        "spark": Environment(
            engine="",
            requirements=("pyspark==4.3.0", "numpy==2.4.6"),
            versions=("pyspark", "numpy"),
            say_size=True,
        )
    },
    backends={
        "spark": Entry(
            title="Spark MLlib: dense sigmoid layers only; needs Java 17 or newer",
            adapter="backends.spark.gradient_descent:Spark",
            native="backends.spark.native:SparkNative",
            environment="spark",
            needs=("pyspark",),
            refuses="backends.spark.structure:refuse",
        )
    },
    gaps={
        "spark": {
            "TF32": Gap(kind="never", reason=f"TF32 is a format of GPUs; {_ON_CPUS}"),
            "bfloat16": Gap(kind="never", reason=f"Java has no bfloat16; {_ON_CPUS}"),
            "deterministic": Gap(
                kind="never",
                reason="the parts of a gradient are added in the order in which they are done",
            ),
        }
    },
    untuned={
        "spark": "the number of partitions is that of the threads, and larger blocks of examples"
        " changed the time of a fit by less than it varies"
    },
    defaults="backends.spark.defaults:BACKENDS",
    scripts={"spark": "backends.spark.script:script"},
)
