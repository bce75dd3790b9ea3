"""Submitting to a cluster, as far as it needs no Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.records.job import SlurmTask
from bench.records.stored import read_file, write, write_first
from bench.runner.cluster import slurm
from bench.runner.cluster.script import Wishes, script_of
from bench.runner.cluster.submission import chunks
from specs.errors import UserError
from tests.support.command import QUICK
from tests.support.records import make_record

TASK = SlurmTask(job="7_0", attempt=1, node="n1", partition="a", gpus="0")
WISHES = Wishes(held="node", minutes=60, cpus=None, others=())


@pytest.mark.parametrize("command", [("submit", *QUICK), ("submit", *QUICK, "--dry-run")])
def test_without_slurm_one_sentence_says_what_to_do(command, bench, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, errors = bench(*command)
    assert code == 2
    assert "Slurm is not on this machine" in errors
    assert "on a login node of the cluster" in errors
    assert not (tmp_path / "results").exists()


def test_a_run_that_was_not_submitted_has_no_status(bench, tmp_path):
    for command in ("status", "cancel"):
        code, _, errors = bench(command, "results/none")
        assert code == 2
        assert "was not submitted to Slurm" in errors


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(null)", 0),
        ("gpu:2", 2),
        ("gpu:a100:4", 4),
        ("gpu:a100:4(S:0-1),gpu:h100:2(S:1)", 6),
        ("lustre:1,gpu:8(S:0-7),nvme:3", 8),
        ("mps:gpu:100", 0),
    ],
)
def test_gpus_are_counted_in_slurms_words(text, count):
    assert slurm._gpus(text) == count


@pytest.mark.parametrize(
    ("numbers", "most", "expected"),
    [
        ([4, 5, 6], 1000, [(4, [4, 5, 6])]),
        ([4, 5, 6], 2, [(4, [4, 5]), (6, [6])]),
        ([6], 2, [(6, [6])]),
        ([4, 6], 5, [(4, [4, 6])]),
    ],
)
def test_an_array_has_no_index_above_the_sites_limit(numbers, most, expected):
    assert list(chunks(numbers, 4, most)) == expected


def test_a_record_that_exists_is_never_replaced_by_one_that_was_made_up(tmp_path):
    mine, other = make_record(), make_record(status="killed")
    assert write_first(tmp_path, other)
    assert not write_first(tmp_path, mine)
    assert read_file(tmp_path / "k.json", type(mine)).status == "killed"
    write(tmp_path, mine)  # the worker's own replaces it
    assert read_file(tmp_path / "k.json", type(mine)).status == "ok"
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]


def test_a_record_that_a_cache_does_not_show_yet_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path, make_record())
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert not write_first(tmp_path, make_record(status="killed"))
    assert read_file(tmp_path / "k.json", type(make_record())).status == "ok"


def test_the_script_quotes_what_a_path_may_have():
    folder = Path('/a "b"/50%/results/r/cluster/1')
    text = script_of("r", folder, WISHES, python="/p y", current=Path("/x y"), variables={})
    assert '#SBATCH --output="/a \\"b\\"/50%%/results/r/cluster/1/log/%A_%a.out"' in text
    assert '#SBATCH --chdir="/x y"' in text
    assert "exec '/p y' -m bench task '/a \"b\"/50%/results/r/cluster/1'" in text


def test_a_path_with_a_line_break_makes_no_script():
    folder = Path("/a\n#SBATCH --uid=0")
    with pytest.raises(UserError, match="cannot have such characters"):
        script_of("r", folder, WISHES, python="p", current=Path("/"), variables={})


def test_a_job_knows_the_task_that_it_ran_in():
    variables = {
        "SLURM_JOB_ID": "9",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURMD_NODENAME": "n1",
        "SLURM_JOB_PARTITION": "a",
        "SLURM_JOB_GPUS": "0",
    }
    assert slurm.own_task(variables) == TASK
    assert slurm.own_task({**variables, "SLURM_RESTART_COUNT": "2"}).attempt == 3
    del variables["SLURM_ARRAY_JOB_ID"]
    assert slurm.own_task(variables).job == "9"
    assert slurm.own_task({}) is None


def test_a_record_of_an_earlier_version_has_no_task(tmp_path):
    record = make_record()
    write(tmp_path, record)
    path = tmp_path / "k.json"
    path.write_text(path.read_text().replace(',\n "slurm": null', ""))
    assert "slurm" not in path.read_text()
    assert read_file(path, type(record)) == record
    ended = replace(record, slurm=replace(TASK, state="NODE_FAIL"))
    assert ended.ended_by_slurm
    assert not replace(record, slurm=TASK).ended_by_slurm
