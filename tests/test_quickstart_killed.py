"""The mission, killed with SIGKILL in every stage, ends with the artifacts of one that was left alone.

Everything is the quickstart's but the amounts: one workflow, a few updates, a few tasks. What a person
could compare is compared: documents, recordings, environments, proofs, weights to the bit, and each
task's verdict; seconds and dates alone may differ.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from processes import left

from playbooks import quickstart

HERE = Path(quickstart.__file__).parent
# Reinforcement has so many samples that some group's differ: where all fare the same in every iteration it
# ends, and says so, which a start of six updates and two samples a group come to once in a while.
SHORT = "max_actions: 3"
PLAYBOOK = f"""\
name: killed
title: The quickstart, small
engagement: {{folder: demo, config: {HERE}/fde.toml}}
stages:
  - {{name: ingest-docs, uses: ingest.docs, with: {{paths: [{HERE}/documents]}}}}
  - {{name: ingest-recordings, uses: ingest.recordings, with: {{paths: [{HERE}/recordings/code-invoice]}}}}
  - {{name: redact, uses: redact}}
  - {{name: envgen, uses: envgen}}
  - name: sft-recordings
    uses: train.sft
    with:
      {{workflow: code-invoice, demonstrations: recordings, updates: 6, dev_tasks: 1, dev_times: 1, {SHORT}}}
  - name: sft-start
    uses: train.sft
    with: {{workflow: code-invoice, demonstrations: both, count: 8, updates: 6, dev_times: 0, {SHORT}}}
  - name: rl-from-start
    uses: train.rl
    with:
      {{workflow: code-invoice, start: sft-start, iterations: 3, groups: 3, samples: 4,
        dev_times: 0, {SHORT}}}
  - name: sft-program
    uses: train.sft
    with:
      {{workflow: code-invoice, demonstrations: both, count: 8, seed: 1, start: sft-start, updates: 4,
        dev_times: 0, {SHORT}}}
  - {{name: evaluate, uses: evaluate, with: {{tasks: 2, disturbed: 1, live: 1}}}}
  - {{name: report, uses: report}}
"""
BEGUN = re.compile(r"^\[\d+/\d+\] (\S+) …$")
# Names of measured values, which differ from run to run.
MEASURED = re.compile(r"second|time|date|peak|memory")
# What is computed from measured values, costs among them.
DERIVED = ("comparison.json", "report.json")


class Mission:
    """The playbook run in an engagement by a process of its own, whose progress is read as it comes."""

    def __init__(self, book: Path, folder: Path, key: Path) -> None:
        command = [sys.executable, "-m", "fde.cli.main", "-C", str(folder), "playbook", "run", str(book)]
        environment = {**os.environ, "FDE_VAULT_KEY_FILE": str(key), "COLUMNS": "200"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        self.begun: dict[str, float] = {}
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                if found := BEGUN.match(line.strip()):
                    self.begun[found[1]] = time.monotonic()
                self._news.notify_all()

    def wait_for(self, stage: str) -> None:
        """Until the stage has begun."""
        with self._news:
            self._news.wait_for(lambda: stage in self.begun or self.process.poll() is not None, timeout=900)
        assert stage in self.begun, "".join(self.lines)

    def end(self) -> None:
        """To its end, which has to be a good one."""
        code = self.process.wait(timeout=1800)
        self._close()
        assert code == 0, "".join(self.lines)

    def kill(self) -> None:
        """SIGKILL to the process a person sees; its children are the kernel's to end."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()
        alive = left(children)
        assert not [child for child in alive if "chrom" not in child.name()], alive

    def _close(self) -> None:
        assert self.process.stderr is not None
        self._reader.join(timeout=20)
        self.process.stderr.close()


def _content(path: Path) -> Any:
    """What a file says apart from what was measured; binary files whole."""
    if path.suffix == ".json":
        return _unmeasured(json.loads(path.read_text()))
    return path.read_bytes()


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmeasured(inner) for name, inner in value.items() if not MEASURED.search(name)}
    return [_unmeasured(inner) for inner in value] if isinstance(value, list) else value


def artifacts(engagement: Path) -> dict[str, Any]:
    """All that the stages' manifests name, by place, but for what rests on measured values."""
    manifests = sorted((engagement / "stages").glob("*/*/manifest.json"))
    named = [path.parent / name for path in manifests for name in json.loads(path.read_text())["outputs"]]
    drawn = [path for path in named if path.suffix == ".html" and path.parent.name != "blobs"]
    kept = [path for path in named if path.name not in DERIVED and path not in drawn]
    return {str(path.relative_to(engagement)): _content(path) for path in kept}


def test_killed_in_every_stage_it_ends_with_the_same_artifacts(base_model: Path, tmp_path: Path) -> None:
    book, key = tmp_path / "killed.yaml", tmp_path / "keys" / "vault.key"
    book.write_text(PLAYBOOK)
    whole = Mission(book, tmp_path / "whole", key)
    whole.end()
    stages = list(whole.begun)
    assert len(stages) == 10
    ends = [*list(whole.begun.values())[1:], time.monotonic()]
    seconds = {name: end - whole.begun[name] for name, end in zip(stages, ends, strict=True)}

    chance = random.Random(11)
    killed = []
    for stage in stages:
        mission = Mission(book, tmp_path / "killed", key)
        mission.wait_for(stage)
        time.sleep(chance.uniform(0.1, 0.6) * seconds[stage])
        if mission.process.poll() is None:
            mission.kill()
            killed.append(stage)
        else:
            mission.end()
    # The machine may be quicker now than when the whole mission was timed: the last come to their ends then.
    assert len(killed) >= 7, killed
    last = Mission(book, tmp_path / "killed", key)
    last.end()

    assert (tmp_path / "killed" / "reports" / "index.html").is_file()
    expected, made = artifacts(tmp_path / "whole"), artifacts(tmp_path / "killed")
    assert sum(name.endswith(".safetensors") for name in expected) >= 4
    assert made.keys() == expected.keys()
    assert [name for name in expected if made[name] != expected[name]] == []
