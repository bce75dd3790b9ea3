"""ReFrame tests: do the frameworks train here, how fast, and do they compute the same?

docs/cluster.md says how to use them. They were tried with ReFrame 4.10.
"""

import json
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import (
    deferrable,
    parameter,
    run_after,
    run_before,
    sanity_function,
    variable,
)

# The commands of a test, in its stage folder.
RUN = "run {workload} --run run --rounds {rounds} --backend {backends} --device {device}"
EXPORT = "export results/run --format bencher --output bencher.json"
VERIFY = "verify --backend {backends} --device {device}"
RUN_SUITE = "run {suite} --run run --backend {backends} --device {device}"
CHECK = "check results/run --against {baseline} --backend {backends}"
_EXIT = "echo exit code of {}: $?"  # some schedulers of ReFrame do not know it


class Bench(rfm.RunOnlyRegressionTest):
    """What the tests have in common; `reframe -S NAME=VALUE` sets its variables."""

    executable = "bench"
    backends = variable(str, value="pytorch")  # several: pytorch,jax
    device = variable(str, value="cpu")  # with cuda also num_gpus_per_node=1
    rounds = variable(int, value=3)
    suite = variable(str, value="quick")  # of BenchCheck
    baseline = variable(str, value="")  # of BenchCheck: the absolute path of a run
    options = variable(str, value="")  # of run and verify: --python torch=/apps/torch/bin/python
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    exclusive_access = True  # others would disturb the times
    time_limit = "1h"

    def set_commands(self, first, *others):
        """Set the command that the launcher starts, and those that follow it on the first node."""
        names = ("workload", "backends", "device", "rounds", "suite", "baseline")
        values = {name: getattr(self, name, "") for name in names}
        self.executable_opts = [first.format_map(values), self.options]
        self.postrun_cmds = [_EXIT.format(first.split()[0])]
        for command in others:
            name = command.split()[0]
            line = f"{self.executable} {command.format_map(values)}"
            self.postrun_cmds += [line, _EXIT.format(name)]

    @deferrable
    def ended(self, command, *codes):
        """A command ended with one of these exit codes."""
        found = sn.extractsingle(rf"^exit code of {command}: (\d+)$", self.stdout, 1, int)
        return sn.assert_in(found, codes, f"exit code of bench {command}: {{0}}")

    @deferrable
    def all_records_are_fine(self):
        """Each job ended ok, or its framework cannot do it."""
        files = Path(self.stagedir, "results", "run", "jobs").glob("*.json")
        records = [json.loads(file.read_text()) for file in files]
        failed = [
            f"{record['key']} {record['status']}: {record['reason']}"
            for record in records
            if record["status"] not in ("ok", "unsupported")
        ]
        is_any_ok = any(record["status"] == "ok" for record in records)
        return sn.all(
            [
                sn.assert_false(failed, "; ".join(failed)),
                sn.assert_true(is_any_ok, "no job ended ok"),
            ]
        )


@rfm.simple_test
class BenchRun(Bench):
    """Trains a workload by all backends; each has its images per second.

    A site's references: {"SYSTEM:PARTITION": {"cnn[pytorch]": (41000, -0.05, None, "images/s")}}.
    """

    workload = parameter(["softmax", "mlp-relu", "cnn"])

    @run_after("init")
    def set_command(self):
        self.set_commands(RUN, EXPORT)

    @sanity_function
    def is_fine(self):
        return sn.all([self.ended("run", 0), self.ended("export", 0), self.all_records_are_fine()])

    @run_before("performance")
    def set_figures(self):
        file = Path(self.stagedir, "bencher.json")
        found = json.loads(file.read_text()) if file.is_file() else {}  # none in a dry run
        for name, measures in found.items():
            figure = sn.defer(measures["throughput"]["value"])
            short = name.rpartition("/")[2]  # without device and data set: "cnn[pytorch]"
            self.perf_variables[short] = sn.make_performance_function(figure, "images/s")


@rfm.simple_test
class BenchVerify(Bench):
    """Checks that the backends compute the same as the float64 reference."""

    @run_after("init")
    def set_command(self):
        self.set_commands(VERIFY)

    @sanity_function
    def is_fine(self):
        return self.ended("verify", 0)


@rfm.simple_test
class BenchCheck(Bench):
    """Checks that no accuracy has fallen since a run that the site has kept."""

    @run_after("init")
    def set_command(self):
        self.skip_if(not self.baseline, "no baseline: -S BenchCheck.baseline=/path/to/run")
        self.set_commands(RUN_SUITE, CHECK)

    @sanity_function
    def is_fine(self):
        return self.ended("check", 0)
