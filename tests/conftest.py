"""What all tests share: no calls out, the command line, an engagement, the base model."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fde import offline

offline.prepare()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Told:
    """What a command line answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


RunFde = Callable[..., Told]


@pytest.fixture
def fde(capsys: pytest.CaptureFixture[str]) -> RunFde:
    """Runs a command line through the real entry point, in this process."""
    from fde.cli.main import main

    def run(*arguments: str | os.PathLike[str]) -> Told:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([os.fspath(argument) for argument in arguments])
        told = capsys.readouterr()
        code = ended.value.code
        return Told(code if isinstance(code, int) else 0 if code is None else 1, told.out, told.err)

    return run


@pytest.fixture
def engagement(tmp_path: Path) -> Any:
    """A new, empty engagement."""
    from fde.config import create

    return create(tmp_path / "client", name="Test client")


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The folder of the base model; set-up adds it, so on CI it must be there."""
    from fde.errors import MissingError
    from fde.models import model_path

    try:
        return model_path("smollm2-135m")
    except MissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """MLflow's database takes longer to make than a tiny model to train; what is logged is kept here."""
    logged: list[dict[str, Any]] = []

    def log_run(_: Any, name: str, params: Any, metrics: Any, series: Any = None, artifacts: Any = ()) -> str:
        logged.append({"name": name, "metrics": dict(metrics), "series": dict(series or {})})
        return "1"

    monkeypatch.setattr("fde.tracking.log_run", log_run)
    return logged
