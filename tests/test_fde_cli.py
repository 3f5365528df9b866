"""The command line itself: speed, exit codes, errors, hostile text."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fde import console
from fde.cli import main as cli
from fde.errors import FdeError, InputError, WorkError, explain_os_error
from tests.conftest import RunFde

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "pandas", "numpy", "playwright", "spacy", "mlflow", "pydantic")


def python(source: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, input=stdin, check=False
    )


def test_help_imports_no_room_and_nothing_heavy() -> None:
    done = python(
        "import sys\n"
        "from fde.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as e:\n    assert not e.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    assert done.returncode == 0, done.stderr
    for command in cli.COMMANDS:
        assert command in done.stdout
    imported = {name.split(".")[0] for name in done.stderr.split()}
    assert "typer" in imported
    assert not imported & {*HEAVY, "ingest", "redact", "envgen", "train", "evaluate", "serve", "playbooks"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_is_there_and_helps(name: str, fde: RunFde) -> None:
    assert importlib.util.find_spec(cli.COMMANDS[name][0]) is not None
    told = fde(name, "--help")
    assert told.code == 0
    assert f"fde {name}" in told.out


def test_importing_any_command_module_imports_nothing_heavy() -> None:
    modules = [module for module, _ in cli.COMMANDS.values()]
    done = python(
        f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert not imported & {"torch", "transformers", "vllm", "mlflow", "spacy", "pandas"}


def test_unknown_commands_and_options_are_wrong_usage(fde: RunFde) -> None:
    told = fde("stauts")
    assert told.code == 2
    assert "Did you mean 'status'" in told.err
    assert fde("status", "--nope").code == 2


def test_a_missing_folder_and_a_folder_without_engagement(fde: RunFde, tmp_path: Path) -> None:
    told = fde("-C", tmp_path / "none", "status")
    assert told.code == 2
    assert "fde init" in told.err
    told = fde("-C", tmp_path, "status")
    assert told.code == 2
    assert "No engagement" in told.err and "fde init" in told.err
    assert told.out == ""


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, fde: RunFde) -> tuple[int, str]:
    def status(*_: object) -> None:
        raise error

    monkeypatch.setattr("fde.status.status", status)
    monkeypatch.setattr("fde.engagement.Engagement.find", lambda _: None)
    told = fde("status")
    assert told.out == ""
    return told.code, told.err


def test_errors_become_messages_and_exit_codes(monkeypatch: pytest.MonkeyPatch, fde: RunFde) -> None:
    code, err = fail_with(WorkError("It broke on x7.", "Run: fde again"), monkeypatch, fde)
    assert code == 1 and "It broke on x7." in err and "Run: fde again" in err and "Traceback" not in err
    assert fail_with(InputError("Bad."), monkeypatch, fde)[0] == 2
    assert fail_with(KeyboardInterrupt(), monkeypatch, fde)[0] == 130
    code, err = fail_with(OSError(errno.ENOSPC, "No space left on device", "/x/y"), monkeypatch, fde)
    assert code == 2 and "disk is full" in err and "/x/y" in err
    code, err = fail_with(ModuleNotFoundError("No module named 'torch'", name="torch"), monkeypatch, fde)
    assert code == 2 and "'torch' is not installed" in err and "make setup" in err


def test_defects_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def status(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'ingest.x'", name="ingest.x")

    monkeypatch.setattr("fde.status.status", status)
    monkeypatch.setattr("fde.engagement.Engagement.find", lambda _: None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["status"])


def test_only_errors_a_person_can_mend_are_explained() -> None:
    assert explain_os_error(OSError(errno.ENOTDIR, "Not a directory")) is None
    told = explain_os_error(PermissionError(errno.EACCES, "Permission denied", "/etc/x"))
    assert told is not None and "/etc/x" in told.message and told.exit_code == 2


def test_text_from_files_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.fail(FdeError("name \x1b[2J\x07 [bold]x[/bold]", "\x1b]0;title\x07"))
    err = capsys.readouterr().err
    assert "\x1b[2J" not in err and "\x07" not in err
    assert "[bold]x[/bold]" in err


def test_json_is_alone_on_stdout_and_strict(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("talk")
    console.emit({"path": Path("/a"), "name": "é\udcff", "nothing": None})
    told = capsys.readouterr()
    assert told.err == "talk\n"
    assert '"\\u00e9\\udcff"' in told.out
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.emit({"x": float("nan")})


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Reading", 3) as advance:
        advance()
        advance(2)
    told = capsys.readouterr()
    assert told.err.startswith("Reading: 3/3, ") and told.err.count("\n") == 1
    assert told.out == ""


def test_a_closed_pipe_is_no_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "fde.cli.main", "model", "list", "--json"],
            stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_every_command_is_documented_with_its_help(fde: RunFde) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "docs_cli.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "cli.md").read_text()
    for name in cli.COMMANDS:
        assert f"\n## fde {name}\n" in page
    assert "### fde envgen gate\n" in page


def test_the_readme_names_commands_that_are_there() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    rows = re.findall(r"^\| (`fde .*?) \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= len(cli.COMMANDS) - 1
    for row in rows:
        first, *more = re.findall(r"`([^`]+)`", row)
        group = first.split()[1]
        if group in cli.SINGLE:
            assert f"## fde {group}\n" in page
            continue
        for name in [first.split()[2], *(command.split()[0] for command in more)]:
            assert f"### fde {group} {name}\n" in page, row


def test_the_import_contract_knows_every_module_of_the_ground_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    modules = {f"fde.{path.stem}" for path in (ROOT / "fde").glob("*.py") if not path.stem.startswith("__")}
    assert set(layers[-1].split(" : ")) == modules


def test_a_setting_that_is_an_option_is_sent_there(fde: RunFde, tmp_path: Path) -> None:
    told = fde("-C", str(tmp_path), "train", "sft", "any", "--set", "count=3")
    assert told.code == 2
    assert "has an option of its own" in told.err and "--count 3" in told.err
