"""Spark's session: the Java process or the standing cluster that does the arithmetic.

A process has one session, which all its adapters share, as starting it takes seconds.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import ceil, prod
from typing import Any

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.sql import SparkSession

from backends.contract import Job, Unsupported
from backends.precision import refuse_gaps
from backends.spark.family import FAMILY
from specs.shapes import infer_shapes

_JAVA = 17  # the oldest version that Spark 4 runs on
_LOOPBACK = ("127.0.0.1", "localhost")
# The memory of the Java process: Spark itself; the examples three times, as they are copied while
# they are loaded; and some arrays as large as the weights for each thread. Examples that do not fit
# are kept on disk.
_OWN_BYTES, _COPIES, _IMAGES, _ARRAYS = 2**30, 3, 100_000, 8
_OUT_OF_MEMORY, _EXIT_CODE = "java.lang.OutOfMemoryError", 52  # 52: Spark's own, for that error
_END_SECONDS = 10.0


class JavaError(Exception):
    """Java is missing or too old."""


class Session:
    """A Spark session with the threads of a job, or on the cluster that its device names.

    Attributes:
        spark: the session.
        parallelism: how many tasks run at a time.
    """

    def __init__(self, job: Job) -> None:
        """Start Spark, or use what an earlier adapter of this process has started.

        Raises:
            Unsupported: Spark does not have the job's device, precision or determinism.
            JavaError: Java is missing or too old.
        """
        self.on_cluster = job.device.startswith("spark://")
        if job.device != "cpu" and not self.on_cluster:
            kind = job.device.partition(":")[0]
            raise Unsupported(f"Spark MLlib reports no {kind} device: it computes on CPUs")
        refuse_gaps(job, FAMILY)
        if job.compiled:
            raise Unsupported("Spark MLlib has no compiler")
        if job.deterministic:
            raise Unsupported(
                "Spark MLlib adds the parts of a gradient in the order in which they are done"
            )
        is_new = SparkSession.getActiveSession() is None
        self.spark = _start(job)
        self.context = self.spark.sparkContext
        self.jvm: Any = self.context._jvm
        self.parallelism = int(self.context.defaultParallelism)
        self._process: Any = self.context._gateway.proc
        self._driver = int(self.jvm.java.lang.ProcessHandle.current().pid())
        if is_new:
            atexit.register(self._end)

    def processes(self) -> Sequence[int] | None:
        """The ID of the Java process; None on a cluster, whose processes are elsewhere."""
        return None if self.on_cluster else (self._driver,)

    def settings(self) -> dict[str, str | int | bool | None]:
        """What Spark and Java report."""
        java, conf = self.jvm.java.lang, self.context.getConf()
        return {
            "threads": self.parallelism,
            "java_processors": int(java.Runtime.getRuntime().availableProcessors()),
            "java": str(java.System.getProperty("java.version")),
            "blas": str(self.jvm.dev.ludovic.netlib.blas.BLAS.getInstance().getClass().getName()),
            "memory": conf.get("spark.driver.memory"),
            "executor_memory": conf.get("spark.executor.memory", "1g") if self.on_cluster else None,
            "dtype": "float64",
            "compiled": False,
            "master": self.context.master,
            "device": self.context.master if self.on_cluster else "cpu",
        }

    @contextmanager
    def working(self) -> Iterator[None]:
        """Turn Java's lack of memory into an error of Python.

        Raises:
            MemoryError: the Java process had too little memory.
        """
        try:
            yield
        except (Py4JError, PySparkException, OSError) as error:
            ended = self._exit_code() if isinstance(error, Py4JNetworkError | OSError) else None
            if _OUT_OF_MEMORY not in str(error) and ended != _EXIT_CODE:
                raise
            limit = self.context.getConf().get("spark.driver.memory")
            raise MemoryError(
                f"a Java process of Spark ran out of memory; the driver had {limit}. A smaller"
                " --dataset or --batch-size needs less"
            ) from error

    def _exit_code(self) -> int | None:
        """The exit code of the Java process, once it has ended; None if it does not end."""
        with suppress(Exception):  # of `wait`: the time is over
            return self._process.wait(_END_SECONDS)
        return None

    def _end(self) -> None:
        """Stop Spark, and wait until Java has removed its temporary folders."""
        with suppress(Py4JError, PySparkException, OSError):
            self.spark.stop()
        gateway = self.context._gateway
        with suppress(Py4JError, OSError):
            gateway.shutdown()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()  # Java ends when nobody can write to it
        self._exit_code()


def _start(job: Job) -> SparkSession:
    """The session of this process.

    Raises:
        JavaError: Java is missing or too old.
    """
    host = job.device.removeprefix("spark://").partition(":")[0]
    builder = (
        SparkSession.builder.appName("framework-bench")
        .master(f"local[{job.threads}]" if job.device == "cpu" else job.device)
        .config("spark.driver.memory", f"{ceil(_heap_bytes(job) / 2**20)}m")
        .config("spark.driver.extraJavaOptions", f"-XX:ActiveProcessorCount={job.threads}")
        .config("spark.log.level", "ERROR")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    if job.device == "cpu" or host in _LOOPBACK:
        # A host's own name may lead to a network that is not there.
        for name in ("spark.driver.host", "spark.driver.bindAddress"):
            builder = builder.config(name, "127.0.0.1")
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise JavaError(
            f"Spark needs Java {_JAVA} or newer: install it (Debian: apt install"
            f" openjdk-{_JAVA}-jre-headless), and set JAVA_HOME if it is not the java on PATH; the"
            " job's log says what the one that was found answered"
        ) from error


def _heap_bytes(job: Job) -> int:
    layers = infer_shapes(job.workload)
    weights = sum(layer.parameter_count for layer in layers)
    pixels = layers[0].input
    values = _COPIES * _IMAGES * prod(pixels) + _ARRAYS * job.threads * weights
    return _OWN_BYTES + 8 * values
