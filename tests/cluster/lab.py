"""A private Slurm on loopback: a controller and three nodes with two GPUs each, which are fake.

Nothing outside of its folder is read or written. No control groups: memory limits and the isolation
of devices cannot be tried.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
NODES = ("n1", "n2", "n3")
GPUS = 2
# MinJobAge: how long a task is known after its end. cred_expire: what a requeued task waits for.
_CONFIG = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={lab}/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={lab}/state
SlurmdSpoolDir={lab}/spool-%n
SlurmctldPidFile={lab}/slurmctld.pid
SlurmdPidFile={lab}/slurmd-%n.pid
SlurmctldLogFile={lab}/slurmctld.log
SlurmdLogFile={lab}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
SlurmctldTimeout=10
MinJobAge=600
KillWait=3
MaxArraySize=2
MessageTimeout=10
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=9 PreemptMode=OFF State=UP
"""


class Lab:
    """A Slurm that runs until `stop`; `variables` are those of a process that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._daemons = folder, dict[str, subprocess.Popen]()
        self.config = folder / "slurm.conf"
        self.variables = {"SLURM_CONF": str(self.config)}

    def start(self) -> None:
        lab, ports = self.folder, free_ports(1 + len(NODES))
        (lab / "state").mkdir(parents=True)
        for number in range(GPUS):  # Slurm wants devices: these are like /dev/null
            os.mknod(lab / f"nvidia{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        host = socket.gethostname().partition(".")[0]
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4"
            f" RealMemory=2000 Gres=gpu:fake:{GPUS} State=UNKNOWN"
            for name, port in zip(NODES, ports[1:], strict=True)
        ]
        self.config.write_text(
            _CONFIG.format(lab=lab, host=host, port=ports[0], nodes="\n".join(nodes))
        )
        gres = f"Name=gpu Type=fake File={lab}/nvidia[0-{GPUS - 1}]"
        (lab / "gres.conf").write_text("".join(f"NodeName={name} {gres}\n" for name in NODES))
        (lab / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = lab / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        munge = ("munged", "--foreground", "--force", f"--key-file={key}", "--num-threads=2")
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._spawn("munged", *munge, *(f"--{k}={lab}/munge.{v}" for k, v in files.items()))
        until((lab / "munge.socket").exists, 10)
        self.start_controller()
        for name in NODES:
            (lab / f"spool-{name}").mkdir()
            self._spawn(name, "slurmd", "-D", "-N", name, "-f", str(self.config))
        until(self.is_idle, 30)

    def start_controller(self, *options: str) -> None:
        self._spawn("controller", "slurmctld", "-D", "-f", str(self.config), *options)

    def kill_controller(self) -> None:
        self._daemons["controller"].kill()
        self._daemons["controller"].wait()

    def call(self, *command: str) -> str:
        """What a program of Slurm prints; "" if it fails."""
        variables = {**os.environ, **self.variables}
        done = subprocess.run(
            command, check=False, env=variables, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def is_idle(self) -> bool:
        return self.call("sinfo", "-hNpmain", "-o%T").split() == ["idle"] * len(NODES)

    def resume(self) -> None:
        """Make all nodes usable again; a new controller may take them for dead for some seconds."""

        def is_idle_now() -> bool:
            self.resume_nodes()
            time.sleep(0.5)
            return self.is_idle()

        until(is_idle_now, 30, fails=False)

    def resume_nodes(self) -> None:
        """Make the nodes usable that the controller takes for dead; a drained one stays so."""
        for line in self.call("sinfo", "-hNpmain", "-o%N %T").splitlines():
            name, state = line.split()
            if state.startswith("down"):
                self.call("scontrol", "update", f"NodeName={name}", "State=RESUME")

    def empty(self) -> None:
        """Cancel what a test has left, and make all nodes usable again."""
        if self._daemons["controller"].poll() is not None:
            self.start_controller()
        self.call("scancel", "--user=root")
        until(lambda: not self.call("squeue", "-h").strip(), 15, fails=False)
        self.resume()

    def stop(self) -> None:
        self.empty()
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons.values():
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _spawn(self, name: str, *command: str) -> None:
        variables = {**os.environ, **self.variables}
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(condition: Callable[[], object], seconds: float, *, fails: bool = True) -> None:
    """Wait until a condition holds; fails after these seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            assert not fails, f"not within {seconds} s"
            return
        time.sleep(0.1)
