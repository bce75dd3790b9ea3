"""`bench list`, `show` and `defaults`: they run no jobs, and import no NumPy to start fast."""

from __future__ import annotations

import argparse
import os

from backends.exports.formats import FORMATS
from backends.family import OWN_ENVIRONMENT
from backends.registry import BACKENDS, DEFAULT_BACKENDS, EXPERIMENTS, entry, script
from bench.command import say
from bench.data.dataset import DATASETS
from bench.machine.nvml import gpus
from bench.runner.environments import Environments
from specs.errors import UserError
from specs.loading import SUITES, WORKLOADS, find_suite, find_workload, names
from specs.model import Workload
from specs.shapes import infer_shapes


def listing(_: argparse.Namespace) -> int:
    """`bench list`: show what can be run."""
    environments = Environments()
    say("suites")
    for name in names(SUITES):
        say(f"  {name:<22} {find_suite(name).title}")
    say("workloads")
    for name in names(WORKLOADS):
        say(f"  {name:<22} {find_workload(name).title}")
    say("backends")
    plain = {name: row for name, row in BACKENDS.items() if not row.experiment}
    for name, backend in plain.items():
        is_installed = environments.python(backend.environment) is not None
        note = (
            ""
            if is_installed
            else f"  (not installed: bench environment create {backend.environment})"
        )
        retired = f"; retired, last release {backend.retired}" if backend.retired else ""
        say(f"  {name:<22} {backend.title}{retired}{note}")
    say("experiments: variants that answer a question, see bench acceptance")
    for name in EXPERIMENTS:
        say(f"  {name:<30} {BACKENDS[name].experiment}")
    say("files of trained models (bench export RUN --format NAME)")
    for name, form in FORMATS.items():
        say(f"  {name:<22} {form.title}")
    say(f"data sets\n  {', '.join(DATASETS)}")
    say(f"devices\n  {_devices()}; with --device, untested: mps (Apple), xpu:0 (Intel)")
    return 0


def _devices() -> str:
    """The CPU and the NVIDIA GPUs that this process may use, or why the GPUs are unknown."""
    try:
        nvidia = gpus(os.environ)
    except UserError as error:
        return f"cpu ({error.problem})"
    return ", ".join(["cpu", *(f"{gpu.device} ({gpu.name})" for gpu in nvidia)])


def show(options: argparse.Namespace) -> int:
    """`bench show`: show one workload, layer by layer, or as a script for a framework."""
    workload = find_workload(options.workload)
    if options.framework is not None:
        say(_script(workload, options.framework).removesuffix("\n"))
        return 0
    layers = infer_shapes(workload)
    say(f"{workload.name}: {workload.title}\n")
    say(f"{'layer':<14}{'output':<18}{'parameters':>12}{'forward FLOPs':>16}{'training FLOPs':>16}")
    for layer in layers:
        kind, shape = str(layer.layer.__struct_config__.tag), " x ".join(map(str, layer.output))
        counts = (
            f"{layer.parameter_count:>12,}{layer.forward_flops:>16,}{layer.training_flops:>16,}"
        )
        say(f"{kind:<14}{shape:<18}{counts}")
    totals = [
        sum(getattr(layer, key) for layer in layers)
        for key in ("parameter_count", "forward_flops", "training_flops")
    ]
    say(f"{'total':<32}{totals[0]:>12,}{totals[1]:>16,}{totals[2]:>16,}   per example\n")
    optimizer = ", ".join(
        f"{key} {getattr(workload.optimizer, key)}" for key in workload.optimizer.__struct_fields__
    )
    say(f"optimizer  {workload.optimizer.__struct_config__.tag}: {optimizer}")
    recipe = workload.recipe
    say(
        f"recipe     {recipe.dataset}, batch {recipe.batch_size}, {recipe.epochs} epochs,"
        f" {recipe.initializer}"
    )
    for reference in workload.references:
        say(f"published  {100 * reference.accuracy:.2f} %: {reference.source}")
    return 0


def _script(workload: Workload, name: str) -> str:
    """The workload as a script, see `backends.registry.script`.

    Raises:
        UserError: there are no scripts with this name, or none for this workload.
    """
    from backends.contract import Unsupported  # imports NumPy

    try:
        return script(name, workload)
    except Unsupported as reason:
        raise UserError(f"no script of '{workload.name}' for {name}: {reason}") from reason


def defaults(options: argparse.Namespace) -> int:
    """`bench defaults`: show each framework's defaults, the workload's values, and what we set."""
    from backends.defaults import SETTINGS
    from backends.defaults_of import defaults_of
    from backends.registry import GAPS, UNTUNED
    from bench.report.section.defaults import refused
    from bench.report.terminal.plain import plain_console, plain_table  # 0.1 s

    console = plain_console()
    for backend in options.backend or DEFAULT_BACKENDS:
        if entry(backend).environment == OWN_ENVIRONMENT:
            console.print(f"{backend} is the reference; it has no defaults.\n")
            continue
        titles = ("setting", "default", "workload value", "what we set")
        table = plain_table(titles, titles, no_wrap=False)
        table.title, table.padding = backend, (0, 1, 0, 0)
        workload_values = {setting.name: setting.workload_value for setting in SETTINGS}
        for default in defaults_of(backend):
            workload_value = workload_values[default.setting]
            table.add_row(default.setting, default.text, workload_value, default.ours)
        console.print(table)
        for feature, gap in GAPS.get(backend, {}).items():
            console.print(f"gap: {feature} ({gap.kind}): {gap.reason}")
        for reason, workloads in refused(backend).items():
            console.print(f"gap: {', '.join(workloads)} (never): {reason}")
        if backend in UNTUNED:
            console.print(f"no tuned variant: {UNTUNED[backend]}")
        console.print()
    return 0
