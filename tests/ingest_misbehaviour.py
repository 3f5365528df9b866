"""A job for workers that does what hostile files make readers do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fde.errors import InputError
from ingest.jobs import documents


def job(task: dict[str, Any]) -> dict[str, Any]:
    """Do what the task says."""
    match task["do"]:
        case "answer":
            print("noise of a library")
            os.write(1, b"{}\n")
            return {"pid": os.getpid(), "said": task["say"]}
        case "meet":
            # Two that are at work at once come together here; one alone waits for nobody.
            (Path(task["at"]) / str(os.getpid())).touch()
            while len(list(Path(task["at"]).iterdir())) < 2:
                time.sleep(0.01)
            return {"pid": os.getpid()}
        case "hang":
            with Path(task["pids"]).open("a") as pids:
                child = subprocess.Popen(["sleep", "600"])
                pids.write(f"{os.getpid()} {child.pid}")
            time.sleep(600)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "die":
            os._exit(3)
        case "eat":
            kept = []
            while True:
                kept.append(bytearray(20_000_000))
        case "refuse":
            raise InputError(f"{task['path']}: it is damaged.", "Save it again.")
        case "fail":
            raise KeyError("missing")
        case "connect":
            socket.create_connection(("127.0.0.1", task["port"]), timeout=5)
        case "recurse":
            sys.setrecursionlimit(10**9)

            def deeper(n: int) -> int:
                return deeper(n + 1) + 1

            deeper(0)
    return {}


def hang_on_policy(task: dict[str, Any]) -> dict[str, Any]:
    """Read documents as always, except that one of them never ends."""
    if task["source"] == "policy.md":
        time.sleep(600)
    return documents(task)
