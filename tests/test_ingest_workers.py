"""Workers: limits of time and memory, crashes, connections; each costs one answer and nothing else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fde.errors import WorkError
from ingest.workers import Answer, Limits, answers

JOB = "ingest_misbehaviour:job"
SMALL = Limits(seconds=20.0, memory_bytes=400_000_000)


def done(tasks: list[dict[str, Any]], limits: Limits = SMALL, processes: int = 2) -> list[Answer]:
    found = dict(answers(JOB, tasks, limits, processes))
    assert sorted(found) == list(range(len(tasks)))
    return [found[number] for number in range(len(tasks))]


def ask(say: object = "") -> dict[str, Any]:
    return {"do": "answer", "say": say}


def test_each_misbehaviour_costs_one_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        tasks = [
            ask(1),
            {"do": "crash"},
            {"do": "die"},
            {"do": "eat"},
            {"do": "refuse", "path": "a.pdf"},
            {"do": "fail"},
            {"do": "connect", "port": server.getsockname()[1]},
            {"do": "recurse"},
            ask("last"),
        ]
        found = done(tasks)
        with pytest.raises(TimeoutError):
            server.accept()
    assert found[0].value is not None and found[0].value["said"] == 1 and found[0].error is None
    assert found[8].value is not None and found[8].value["said"] == "last"
    assert found[1] == Answer(error="its reader crashed (SIGSEGV)")
    assert found[2] == Answer(error="its reader ended with exit code 3")
    assert "memory" in str(found[3].error) and not found[3].lasting
    assert found[4] == Answer(error="a.pdf: it is damaged. Save it again.")
    assert "KeyError: 'missing' (ingest_misbehaviour.py:" in str(found[5].error) and not found[5].lasting
    assert "do not use the network" in str(found[6].error)
    assert found[7].error is not None


def test_what_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    found = done([ask(), {"do": "hang", "pids": str(pids)}, ask()], Limits(seconds=2.0), processes=1)
    assert time.monotonic() - began < 15
    assert found[1] == Answer(error="it took longer than 2 s", lasting=False)
    assert found[0].error is None and found[2].error is None
    for pid in map(int, pids.read_text().split()):
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_memory_is_watched_where_address_space_is_not_limited() -> None:
    (found,) = done([{"do": "eat"}], Limits(seconds=30.0, memory_bytes=300_000_000, contained=False))
    assert found.error == "it needs more than 0.3 GB of memory" and not found.lasting


def test_workers_are_used_again() -> None:
    found = done([ask(number) for number in range(200)])
    values = [answer.value for answer in found if answer.value]
    assert [value["said"] for value in values] == list(range(200))
    assert len({value["pid"] for value in values}) <= 2


def test_workers_work_side_by_side(tmp_path: Path) -> None:
    found = done([{"do": "meet", "at": str(tmp_path)}] * 2, Limits(seconds=60.0))
    assert len({answer.value["pid"] for answer in found if answer.value}) == 2


def test_large_answers_come_whole() -> None:
    (found,) = done([ask("x" * 5_000_000)])
    assert found.value is not None and len(found.value["said"]) == 5_000_000


def test_a_job_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(WorkError, match="No module named 'nowhere'"):
        list(answers("nowhere:job", [{}], SMALL))


def test_workers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from ingest.workers import Limits, answers\n"
        f"list(answers({JOB!r}, [{{'do': 'hang', 'pids': {str(pids)!r}}}], Limits(seconds=600), 1))"
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here)])
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (pids.is_file() and pids.read_text()):
        time.sleep(0.05)
    process.kill()
    process.wait()
    worker, child = map(int, pids.read_text().split())
    while time.monotonic() < deadline and psutil.pid_exists(worker):
        time.sleep(0.05)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(child).kill()  # what a worker started outlives it only when all are killed at once
    assert not psutil.pid_exists(worker)
