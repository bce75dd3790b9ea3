"""The columns of a run's data frames, which are `epochs.csv` and `summary.csv`.

The frames and `docs/columns.md` are made from this list. To write the page:
`python -m bench.report.frame.columns > docs/columns.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from msgspec import Struct

from bench.report.frame import values

_TEXT, _TRUTH, _COUNT = "text", "True or False", "number"
_SHARE, _SECONDS, _BYTES, _JOULES, _LOSS = "0 to 1", "s", "bytes", "J", "loss"


class Column(Struct, frozen=True):
    """A column of a frame.

    Attributes:
        name: its name in the frame and in the CSV file.
        unit: the unit of its values.
        meaning: the meaning of its values.
        source: where a value comes from: an attribute such as "job.seed", or a function of the same
            object; "" if it is computed from other columns. "inputs?.wall_seconds" gives None if
            `inputs` is None.
        how: only for columns of the summary: the pandas aggregation ("median") over the jobs that
            ended ok. `source` then names the column of the jobs; "" means the column of the same
            name.
    """

    name: str
    unit: str
    meaning: str
    source: str | Callable[[Any], Any] = ""
    how: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether its values are floating-point numbers, which may be missing."""
        return self.unit not in (_TEXT, _TRUTH, _COUNT)

    def getter(self) -> Callable[[Any], Any]:
        """A function from an object to the value of this column, see `source`."""
        if not isinstance(self.source, str):
            return self.source
        first, _, inner_path = self.source.partition("?.")
        if not inner_path:
            return attrgetter(first)
        optional, inner = attrgetter(first), attrgetter(inner_path)
        return lambda whole: None if (part := optional(whole)) is None else inner(part)


_FIELDS = {
    "wall_seconds": (_SECONDS, "Wall time"),
    "cpu_seconds": (_SECONDS, "CPU time of all threads"),
    "peak_rss_bytes": (_BYTES, "Peak memory of the process"),
}
_STARTUP = {
    "import": "importing the framework",
    "build": "building the model",
    "load": "loading the data",
}
# Columns of a workload; they are computed once for each workload of a run.
WORKLOAD = (
    Column("workload", _TEXT, "Name of the workload.", "name"),
    Column(
        "spec", _TEXT, "Hash of everything that determines the workload's training.", values.spec
    ),
    Column(
        "family", _TEXT, "Workload that was widened by `--width`; else its own name.", values.family
    ),
    Column("family_spec", _TEXT, "The `spec` of `family`.", values.family_spec),
    Column(
        "width",
        _COUNT,
        "Hidden units and filters, as a multiple of those of `family`.",
        values.width,
    ),
    Column("parameters", _COUNT, "Trained parameters.", values.parameters),
    Column("training_flops", _COUNT, "FLOP of one training example.", values.training_flops),
    Column("loss", _TEXT, "Name of the loss.", "loss"),
    Column("target_accuracy", _SHARE, "Test accuracy to reach.", "recipe.target_accuracy"),
)
# Columns that are the same in all epochs of a job.
JOB = (
    Column("dataset", _TEXT, "Name of the data set.", "data.name"),
    Column("data_checksum", _TEXT, "Checksum of the data set.", "data.checksum"),
    Column("machine", _TEXT, "Name of the machine.", "machine.name"),
    Column("device", _TEXT, "Device of the training, such as cpu or cuda:0.", "job.device"),
    Column("device_name", _TEXT, "Model of the CPU or GPU.", values.device_name),
    Column("threads", _COUNT, "Threads that the job may use.", "job.threads"),
    Column(
        "precision",
        _TEXT,
        "Precision of matrix products: float32, tf32 or bfloat16.",
        "job.precision",
    ),
    *WORKLOAD,
    Column("label", _TEXT, "`workload`, with epochs, batch size or spec if the run has several."),
    Column(
        "backend",
        _TEXT,
        "Name of the backend, with its mode if native, and its precision if not float32.",
        values.backend,
    ),
    Column("mode", _TEXT, "matched or native.", "job.mode"),
    Column("epochs", _COUNT, "Planned epochs.", "job.epochs"),
    Column("batch_size", _COUNT, "Training examples per step.", "job.batch_size"),
    Column(
        "course_accuracy",
        _SHARE,
        "Published test accuracy, if the job trained as published.",
        values.published_accuracy,
    ),
    Column("train_examples", _COUNT, "Training examples per epoch.", values.train_examples),
    Column("test_examples", _COUNT, "Test examples.", "data.test_examples"),
    Column("seed", _COUNT, "Seed of initial weights and order of examples.", "job.seed"),
    Column("round", _COUNT, "Round, from 0.", "job.round"),
    Column("key", _TEXT, "Name of the job's record file, without ending.", "key"),
    Column("status", _TEXT, "ok; wrong, disagrees or suspect; or how the job failed.", "status"),
    Column("reason", _TEXT, "Why the status is not ok.", "reason"),
    Column("started", _TEXT, "When the job started, in UTC.", "started"),
    Column("job_wall_seconds", _SECONDS, "Wall time of the whole job.", "wall_seconds"),
    Column("device_peak_bytes", _BYTES, "Peak GPU memory by the driver.", "device_peak_bytes"),
    Column("device_peak_by", _TEXT, "What that peak counts: process or device.", "device_peak_by"),
    Column("gpu", _TEXT, "UUID of the NVIDIA GPU or slice.", "gpu?.uuid"),
    Column("gpu_power_limit_watts", "W", "Power limit that is enforced.", "gpu?.power_limit_watts"),
    Column(
        "gpu_power_limited",
        _SHARE,
        "Share of the samples under load in which that limit lowered the clock.",
        "gpu?.power_limited",
    ),
    Column("gpu_sm_mhz", "MHz", "Clock of its processors under load, median.", "gpu?.sm_mhz"),
    Column("gpu_celsius", "°C", "Its highest temperature.", "gpu?.temperature_celsius"),
    Column("load_average", "processes", "Load average during the job.", "load_average"),
    Column("agrees", _TRUTH, "Whether it agrees with the other backends; missing if alone."),
    Column("doubt", _TEXT, "Why the result is in doubt."),
    Column(
        "verified_deviation",
        "tolerances",
        "Largest deviation of the job's first steps from the reference; missing if not verified.",
        values.verified_deviation,
    ),
    Column(
        "final_weights", _TEXT, "Checksum of the weights after the last epoch.", "weights_checksum"
    ),
    Column("warm_up_epochs", _COUNT, "Epochs at the start that are not steady."),
    Column("disturbed", _TEXT, "Why the machine was busy.", values.disturbed),
    Column(
        "short_epoch_seconds",
        _SECONDS,
        "Time of an epoch of `short_epoch_examples` examples.",
        values.short_epoch_seconds,
    ),
    Column("short_epoch_examples", _COUNT, "Its examples.", "short_epochs?.examples"),
    Column(
        "allocator_peak_bytes",
        _BYTES,
        "Peak GPU memory by the framework's allocator.",
        "device_memory?.allocator_peak_bytes",
    ),
    Column(
        "first_epoch_allocator_bytes",
        _BYTES,
        "The same in the first epoch, including autotuning; missing if it is the peak.",
        "device_memory?.first_epoch_bytes",
    ),
    Column(
        "allocator_was_reset",
        _TRUTH,
        "Whether that peak is of training alone.",
        "device_memory?.began_anew",
    ),
    Column(
        "inputs_wall_seconds",
        _SECONDS,
        "An epoch of the input pipeline alone (native mode).",
        "inputs?.wall_seconds",
    ),
    Column("energy_by", _TEXT, "Counter of the energy.", "startup?.energy.name"),
    Column(
        "energy_step_seconds",
        _SECONDS,
        "Longest time between two steps of that counter.",
        "startup?.energy.step_seconds",
    ),
    Column(
        "host_energy_step_seconds",
        _SECONDS,
        "The same of the counter of the CPUs beside a GPU.",
        values.host_energy_step_seconds,
    ),
    Column(
        "compiled", _TRUTH, "Whether the step is compiled.", partial(values.setting, "compiled")
    ),
    Column("optimizer", _TEXT, "Optimizer (native mode).", partial(values.setting, "optimizer")),
    *(
        Column(f"{name}_{field}", unit, f"{text} of {what}.")
        for name, what in _STARTUP.items()
        for field, (unit, text) in _FIELDS.items()
    ),
    Column("counts", _TRUTH, "Whether the times of the job's round count, see `disturbed`."),
)
EPOCH = (
    Column("epoch", _COUNT, "Epoch, from 1; missing if the job has none.", "number"),
    Column("trained_epochs", _COUNT, "Epochs of this training: 1, or all in one call.", "epochs"),
    Column("running_loss", _LOSS, "Mean training loss while weights change.", "running_loss"),
    Column("train_loss", _LOSS, "Loss on training examples after the epoch.", "train_loss"),
    Column("train_accuracy", _SHARE, "Accuracy on them.", "train_accuracy"),
    Column("test_loss", _LOSS, "Loss on the test examples after the epoch.", "test_loss"),
    Column("test_accuracy", _SHARE, "Accuracy on them.", "test_accuracy"),
    *(
        Column(f"{prefix}_{field}", unit, f"{text} of {what}.", f"{phase}.{field}")
        for prefix, phase, what in (
            ("train", "training", "the epoch's training"),
            ("predict", "prediction", "predicting the test examples"),
        )
        for field, (unit, text) in _FIELDS.items()
    ),
    Column("train_energy_joules", _JOULES, "Energy of training.", "training.energy_joules"),
    Column(
        "train_host_energy_joules",
        _JOULES,
        "Energy of the CPUs beside a GPU.",
        "training.host_energy_joules",
    ),
    Column("no_energy", _TEXT, "Why the energy is not known.", "training.no_energy"),
    Column("steady", _TRUTH, "Whether the epoch counts for speed: `counts`, and no warm-up."),
)
EPOCHS = (*JOB, *EPOCH)
# Jobs are compared with each other only if all of these are equal.
GROUP = [
    *("dataset", "data_checksum", "machine", "device", "device_name", "threads", "precision"),
    *("workload", "spec", "epochs", "batch_size"),
]
GROUP_AND_BACKEND = [*GROUP, "backend"]
SAME = [
    *("label", "mode", "test_examples", "train_examples"),
    *("course_accuracy", "target_accuracy"),
]
_BY_NAME = {column.name: column for column in JOB}
# Texts that many jobs share. They are categories, so that grouping compares numbers.
CATEGORIES = [name for name in (*GROUP_AND_BACKEND, *SAME) if _BY_NAME[name].unit == _TEXT]

# A row is a backend in a group. Figures come from its jobs that ended ok and agree.
SUMMARY = (
    *(Column(name, _BY_NAME[name].unit, _BY_NAME[name].meaning) for name in GROUP_AND_BACKEND),
    *(Column(name, _BY_NAME[name].unit, _BY_NAME[name].meaning) for name in SAME),
    Column("jobs", _COUNT, "All jobs."),
    Column("ok_jobs", _COUNT, "Jobs that ended ok and agree."),
    Column("status", _TEXT, "ok if any job is; else the status of one."),
    Column("reason", _TEXT, "Why the status is not ok."),
    Column("agrees", _TRUTH, "Whether all jobs agree; missing if no other backend ran."),
    Column("doubt", _TEXT, "Why results are in doubt."),
    Column("seeds", _COUNT, "Different seeds.", "seed", "nunique"),
    Column("rounds", _COUNT, "Different rounds.", "round", "nunique"),
    Column("load_average", "processes", "Highest load average.", how="max"),
    Column(
        "inputs_seconds",
        _SECONDS,
        "Median of `inputs_wall_seconds`.",
        "inputs_wall_seconds",
        "median",
    ),
    Column("compiled", _TRUTH, "Whether the step is compiled.", how="first"),
    Column("optimizer", _TEXT, "Optimizer (native mode).", how="first"),
    Column("target_jobs", _COUNT, "Jobs that reached `target_accuracy`."),
    Column(
        "seconds_to_target",
        _SECONDS,
        "Training time until an epoch ended with the target, median over jobs; only if all did.",
        how="median",
    ),
    Column("epochs_to_target", "epochs", "Epochs until then, likewise.", how="median"),
    Column("joules_to_target", _JOULES, "Energy until then, likewise."),
    Column("test_accuracy", _SHARE, "After the last epoch, mean over jobs.", how="mean"),
    Column("test_accuracy_low", _SHARE, "The lowest.", "test_accuracy", "min"),
    Column("test_accuracy_high", _SHARE, "The highest.", "test_accuracy", "max"),
    Column("test_loss", _LOSS, "After the last epoch, mean over jobs.", how="mean"),
    Column("train_accuracy", _SHARE, "After the last epoch, mean over jobs.", how="mean"),
    Column(
        "epoch_seconds",
        _SECONDS,
        "Median over jobs of a job's time: the median over its turns, else over its steady epochs.",
        how="median",
    ),
    Column("epoch_seconds_sure_low", _SECONDS, "Its 95 % interval; missing with few jobs."),
    Column("epoch_seconds_sure_high", _SECONDS, "The upper end of that interval."),
    Column("epoch_seconds_low", _SECONDS, "The fastest turn, else the fastest epoch.", how="min"),
    Column("epoch_seconds_high", _SECONDS, "The slowest turn, else epoch.", how="max"),
    Column(
        "fixed_seconds",
        _SECONDS,
        "Fixed cost of an epoch, measured with short epochs, median.",
        how="median",
    ),
    Column("epoch_cpu_seconds", _SECONDS, "CPU time, computed like `epoch_seconds`.", how="median"),
    Column("predict_seconds", _SECONDS, "Predicting the test examples, likewise.", how="median"),
    Column("steady_epochs", _COUNT, "Steady epochs of all jobs.", how="sum"),
    Column("turns", _COUNT, "Turns of all jobs.", how="sum"),
    Column(
        "times_fastest",
        "ratio",
        "Epoch time divided by the fastest backend's, by turns; median over rounds.",
    ),
    Column("unsure", _TRUTH, "Whether it may be as fast as the fastest."),
    Column("train_examples_per_second", "1/s", "`train_examples` divided by `epoch_seconds`."),
    Column(
        "predict_examples_per_second",
        "1/s",
        "`test_examples` divided by `predict_seconds`.",
    ),
    Column("startup_seconds", _SECONDS, "Start-up: the three below, median.", how="median"),
    *(
        Column(f"{name}_seconds", _SECONDS, f"Median of {what}.", f"{name}_wall_seconds", "median")
        for name, what in _STARTUP.items()
    ),
    Column("first_epoch_seconds", _SECONDS, "Training of the first epoch, median.", how="median"),
    Column("warm_up_epochs", _COUNT, "Epochs at the start that are not steady.", how="max"),
    Column(
        "warm_up_seconds",
        _SECONDS,
        "Time of these epochs minus the time of the same number of steady epochs, median.",
        how="median",
    ),
    Column("train_peak_rss_bytes", _BYTES, "Peak memory while training, highest.", how="max"),
    Column("predict_peak_rss_bytes", _BYTES, "While predicting, highest.", how="max"),
    Column("load_peak_rss_bytes", _BYTES, "While loading the data, highest.", how="max"),
    Column("allocator_peak_bytes", _BYTES, "GPU memory by the allocator, highest.", how="max"),
    Column("first_epoch_allocator_bytes", _BYTES, "The same in first epochs, highest.", how="max"),
    Column("device_peak_bytes", _BYTES, "GPU memory by the driver, highest.", how="max"),
    Column("allocator_was_reset", _TRUTH, "Whether every allocator's peak is of training alone."),
    Column("device_peak_by", _TEXT, "device if any peak is of the whole device, else process."),
    Column(
        "epoch_energy_joules",
        _JOULES,
        "Energy of all steady epochs divided by their number; only if all is known, and the error"
        " is at most 0.05.",
    ),
    Column(
        "energy_error",
        _SHARE,
        "Error of that sum, because the counter grows in steps (95 %); without the sensor's error.",
    ),
    Column("epoch_host_energy_joules", _JOULES, "Energy of the CPUs beside a GPU, likewise."),
    Column("host_energy_error", _SHARE, "Its error, likewise."),
    Column("mean_watts", "W", "That energy divided by the time of these epochs."),
    Column("energy_epochs", _COUNT, "Steady epochs whose energy is known.", how="sum"),
)


def columns_page() -> str:
    """`docs/columns.md`: both tables as Markdown."""
    group = ", ".join(f"`{name}`" for name in GROUP)
    parts = (
        "# Columns of `epochs.csv` and `summary.csv`",
        "`bench report` writes both. This page is made from `bench/report/frame/columns.py`.",
        "## `epochs.csv`: a row per epoch",
        "A job without an epoch has one row. Columns of a job are repeated in each of its rows.",
        _markdown(EPOCHS),
        "## `summary.csv`: a row per backend in a group",
        f"A group is the jobs that are compared with each other. They are equal in {group}.",
        "Figures are over the jobs that ended ok and agree with the other backends.",
        _markdown(SUMMARY),
    )
    return "\n\n".join(parts) + "\n"


def _markdown(columns: Sequence[Column]) -> str:
    lines = ["| column | unit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{column.name}` | {column.unit} | {column.meaning} |" for column in columns]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(columns_page())
