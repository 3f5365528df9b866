"""The vault: encrypted, keyed from outside, logged, and whole after a kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from redact_corpus import key_file

from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from redact.vault import KEY_FILE_VARIABLE, Entry, Key, Vault, key_path

ENTRY = Entry("person-1", "PERSON", "Robin Ashwell", "Marguerite Okonjo", ("margueriteokonjo",))


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    return engagement


def filled(client: Engagement) -> Vault:
    vault = Vault(client, create=True)
    vault.store([ENTRY], {("GIVEN", "marguerite"): "Robin"}, ["Brass Paper"])
    return vault


def test_what_was_stored_is_found_and_nothing_is_in_clear_on_disk(client: Engagement) -> None:
    vault = filled(client)
    assert vault.entries("check") == [ENTRY]
    assert vault.surrogates() == {("GIVEN", "marguerite"): "Robin"}
    assert vault.kept() == ["Brass Paper"]
    vault.close()
    for file in client.vault.iterdir():
        data = file.read_bytes().lower()
        assert b"okonjo" not in data and b"marguerite" not in data
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_look_up_is_logged_and_reveal_needs_a_reason(client: Engagement) -> None:
    vault = filled(client)
    with pytest.raises(InputError, match="needs a reason"):
        vault.reveal("person-1", "  ")
    assert vault.lookups() == []
    assert vault.reveal("person-1", "the bank asks") == [ENTRY]
    assert vault.reveal("Robin Ashwell", "again") == [ENTRY]
    with pytest.raises(MissingError, match="no entry 'nobody'"):
        vault.reveal("nobody", "curious")
    log = vault.lookups()
    assert [(row["what"], row["reason"]) for row in log] == [
        ("person-1", "the bank asks"),
        ("Robin Ashwell", "again"),
        ("nobody", "curious"),
    ]
    assert all(row["person"] and row["time"] for row in log)


def test_a_key_is_made_outside_the_engagement_and_private(
    engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Vault(engagement, create=True).close()
    path = key_path(engagement)
    assert path.parent == tmp_path / "config" / "fde" / "keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Vault(engagement).close()


def test_a_wrong_lost_open_or_misplaced_key_is_refused(
    client: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filled(client).close()
    path = key_path(client)
    right = path.read_bytes()
    key_file(monkeypatch, tmp_path, b"x" * 32)
    with pytest.raises(InputError, match="locked with another key"):
        Vault(client)
    path.write_bytes(b"bm90IGEga2V5")
    with pytest.raises(InputError, match="not a vault key: it holds"):
        Vault(client)
    path.unlink()
    for create in (False, True):
        with pytest.raises(MissingError, match="key is not at"):
            Vault(client, create=create)
    assert not path.exists()
    path.write_bytes(right)
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Vault(client)
    inside = client.root / "vault" / "the.key"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(inside))
    with pytest.raises(InputError, match="inside the engagement"):
        Vault(client)


def test_no_vault_and_a_damaged_vault_are_said(client: Engagement) -> None:
    with pytest.raises(MissingError, match="fde redact run"):
        Vault(client)
    filled(client).close()
    path = client.vault / "vault.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entities SET secret = 'garbage'")
    database.close()
    vault = Vault(client)
    with pytest.raises(InputError, match="cannot be decrypted"):
        vault.entries("check")
    vault.close()
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(InputError, match="is not a vault"):
        Vault(client)


def test_killed_while_writing_nothing_is_half_there(client: Engagement) -> None:
    filled(client).close()
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from fde.engagement import Engagement
        from redact.vault import Entry, Vault

        def entries():
            for number in range(50_000):
                if number == 20_000:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield number

        vault = Vault(Engagement(Path(sys.argv[1])))
        rows = (("id-%d" % n, "PERSON", "s", b"x", "now") for n in entries())
        with vault._transaction():
            vault._db.executemany("INSERT INTO entities VALUES (?, ?, ?, ?, ?)", rows)
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", script, str(client.root)], env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL
    vault = Vault(client)
    assert vault.entries("after the kill") == [ENTRY]
    vault.close()


def test_ids_and_choices_depend_on_the_key_alone() -> None:
    one, same, other = Key(b"a" * 32), Key(b"a" * 32), Key(b"b" * 32)
    assert one.number("name", "okonjo") == same.number("name", "okonjo") != other.number("name", "okonjo")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.hmac("a", "bc") != one.hmac("ab", "c")
