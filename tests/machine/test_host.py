"""The machine is described."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.command.setup import choose_threads
from bench.machine import host
from bench.machine.host import allowed_cpus, cpu_quota, job_cpus, load_average, this_machine
from bench.machine.nvml import Gpu


def test_the_machine_is_described():
    machine = this_machine()
    assert machine.name
    assert machine.cpu
    assert 1 <= machine.allowed_cpus <= machine.logical_cpus
    assert machine.memory_bytes > 1e8
    assert load_average() is None or load_average() >= 0


@pytest.mark.parametrize(
    ("threads", "near", "expected"),
    [
        (2, [], [0, 2]),
        (2, [3, 4, 5], [3, 5]),  # 4 is not allowed
        (3, [3, 5], [3, 5, 0]),  # the GPU's socket has two
        (4, [5], [0, 2, 3, 5]),  # all that are allowed
    ],
)
def test_a_job_on_a_gpu_has_cpus_near_it(threads, near, expected, monkeypatch):
    gpu = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")
    monkeypatch.setattr(host, "allowed_cpus", lambda: [0, 2, 3, 5])
    monkeypatch.setattr(host, "cpus_near", lambda uuid, cpus: near)
    assert job_cpus(threads, gpu) == expected
    assert job_cpus(threads, None) == [0, 2, 3, 5][:threads]


@pytest.fixture
def siblings(tmp_path, monkeypatch):
    """A function that gives the machine cores: the CPUs of each."""

    def set_cores(*cores):
        for core in cores:
            for cpu in core:
                folder = tmp_path / f"cpu{cpu}" / "topology"
                folder.mkdir(parents=True)
                (folder / "thread_siblings_list").write_text(",".join(map(str, core)) + "\n")
        monkeypatch.setattr("backends.cores.TOPOLOGY", tmp_path)
        cpus = sorted(cpu for core in cores for cpu in core)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(cpus))
        monkeypatch.setattr(host, "cpu_quota", lambda: None)

    return set_cores


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ([(0, 1), (2, 3)], [0, 2, 1, 3]),  # as in most virtual machines
        ([(0, 2), (1, 3)], [0, 1, 2, 3]),  # as on most boards
        ([(0,), (1,)], [0, 1]),
    ],
)
def test_a_job_of_fewer_threads_has_cpus_of_different_cores(cores, expected, siblings, monkeypatch):
    siblings(*cores)
    assert [job_cpus(count, None) for count in (1, 2)] == [expected[:1], expected[:2]]
    assert job_cpus(4, None) == expected
    assert host.allowed_cores() == 2
    assert choose_threads("cores") == 2
    monkeypatch.setattr(host, "cpu_quota", lambda: 2.0)
    assert allowed_cpus() == sorted(expected[:2])


def test_the_cores_are_said_where_they_are_fewer_than_the_cpus(siblings):
    siblings((0, 1), (2, 3))
    assert replace(this_machine(), logical_cpus=64).cpus == "4 of 64 CPUs (2 cores)"
    assert replace(this_machine(), logical_cpus=4, allowed_cores=4).cpus == "4 of 4 CPUs"
    assert replace(this_machine(), logical_cpus=4, allowed_cores=None).cpus == "4 of 4 CPUs"


# What /proc/self/cgroup says, the files under /sys/fs/cgroup, and the CPUs that this allows.
QUOTAS = {
    "version 2": ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
    "version 2, no quota": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
    "version 2, a container": ("0::/\n", {"cpu.max": "800000 100000\n"}, 8),
    "version 2, the group above has less": (
        "0::/a/b\n",
        {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "400000 100000\n"},
        2,
    ),
    "version 1": (
        "4:memory:/m\n3:cpu,cpuacct:/d/x\n",
        {"cpu/d/x/cpu.cfs_quota_us": "250000\n", "cpu/d/x/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1, no quota": (
        "3:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "version 1, a container that sees the path outside": (
        "3:cpuacct,cpu:/docker/0f\n0::/docker/0f\n",
        {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        0.5,
    ),
    "another controller": ("5:cpuset:/s\n", {"cpu/s/cpu.max": "100000 100000\n"}, None),
    "nothing": ("", {}, None),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_the_quota_of_a_container_is_read(case, tmp_path):
    text, files, expected = QUOTAS[case]
    (tmp_path / "groups").write_text(text)
    # A file above the mount is none of a group's.
    (tmp_path / "cpu.max").write_text("1000 100000\n")
    for name, content in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert cpu_quota(tmp_path / "groups", tmp_path / "mount") == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path / "missing", tmp_path) is None


@pytest.mark.parametrize(
    ("quota", "expected"), [(None, [3, 5, 7, 9]), (0.5, [3]), (2.0, [3, 5]), (2.1, [3, 5, 7])]
)
def test_a_container_may_use_as_many_cpus_as_it_has_time_of(quota, expected, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {9, 3, 7, 5})
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    assert allowed_cpus() == expected
    monkeypatch.setattr(host, "cpu_quota", lambda: 100.0)
    assert allowed_cpus() == [3, 5, 7, 9]


@pytest.mark.gpu
def test_every_gpu_has_an_identity():
    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    assert all(gpu.uuid.startswith(("GPU-", "MIG-")) and gpu.memory_bytes > 1e9 for gpu in gpus)
