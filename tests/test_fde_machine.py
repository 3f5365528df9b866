"""Ports, tracking, the doctor, and settings that keep everything on this machine."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from fde import doctor, offline, tracking
from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from fde.ports import check_port, free_port
from tests.conftest import RunFde


def test_a_port_in_use_is_named_with_the_next_step() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} on 127.0.0.1 is in use") as error:
            check_port("127.0.0.1", port)
    assert "--port" in error.value.hint
    check_port("127.0.0.1", free_port())
    check_port("127.0.0.1", 0)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("127.0.0.1", -1), ("203.0.113.7", 0)])
def test_ports_and_hosts_that_cannot_be(host: str, port: int) -> None:
    with pytest.raises(InputError):
        check_port(host, port)


def test_runs_are_logged_once_with_their_series(
    engagement: Engagement, capfd: pytest.CaptureFixture[str]
) -> None:
    artifact = engagement.root / "curve.json"
    artifact.write_text("{}")
    for success in (0.5, 0.9):
        tracking.log_run(
            engagement,
            "rl 'main'",
            {"seed": 1, "lora": {"r": 16}, "long": "x" * 10_000},
            {"success": success, "unknown": None, "endless": float("inf")},
            {"loss": [(step, 1.0 / (step + 1)) for step in range(1200)]},
            [artifact],
        )
    with sqlite3.connect(engagement.mlflow_db) as database:
        runs = database.execute(
            "select run_uuid, name, status from runs where lifecycle_stage = 'active'"
        ).fetchall()
        assert len(runs) == 1 and runs[0][1:] == ("rl 'main'", "FINISHED")
        metrics = dict(
            database.execute("select key, count(*) from metrics where run_uuid = ? group by key", runs[0][:1])
        )
        assert metrics == {"success": 1, "loss": 1200}
        value = database.execute(
            "select value from latest_metrics where run_uuid = ? and key = 'success'", runs[0][:1]
        )
        assert value.fetchone() == (0.9,)
        params = dict(database.execute("select key, value from params where run_uuid = ?", runs[0][:1]))
        assert params["lora"] == "{'r': 16}"
    database.close()
    assert list(engagement.root.glob("mlartifacts/*/artifacts/curve.json"))
    assert capfd.readouterr().out == ""


def test_nothing_may_call_out(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HF_HUB_OFFLINE": "0", "HOME": "/x"}
    offline.prepare(environ)
    assert environ["HF_HUB_OFFLINE"] == "1" and environ["HOME"] == "/x"
    assert environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] == ""
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_the_doctor_says_what_is_missing_and_how_to_get_it(
    fde: RunFde, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_browser() -> Path:
        raise MissingError("No browser.", "apt-get install chromium")

    monkeypatch.setenv("FDE_HOME", str(tmp_path))
    monkeypatch.setattr("ingest.browser.executable", no_browser)
    monkeypatch.setattr(doctor, "_vllm", lambda: doctor.Check("vllm", "note", "not tried"))
    told = fde("doctor", "--json")
    assert told.code == 1 and told.json["passed"] is False
    checks = {check["name"]: check for check in told.json["checks"]}
    assert checks["browser"]["verdict"] == "missing" and "apt-get" in checks["browser"]["hint"]
    assert checks["model"]["hint"] == "Add one with: fde model add smollm2-135m"
    assert {"python", "cores", "memory", "disk", "gpu", "torch", "spaCy", "port", "offline"} <= set(checks)
    text = fde("doctor")
    assert "MISSING browser" in text.out and "fde model add" in text.out


def test_the_doctor_names_the_other_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "0.4.6" if name == "evaluate" else None)
    check = doctor._namesake()
    assert check.verdict == "missing" and "0.4.6" in check.found and "pip uninstall" in check.hint


def test_the_doctor_looks_into_a_vllm_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vllm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_version", lambda name: "0.32.0")
    check = doctor._vllm()
    assert check.verdict == "note" and "nms" in check.found and "CUDA build of torchvision" in check.hint
