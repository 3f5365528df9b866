"""The encrypted map from surrogate to original, and the key that is not kept beside it.

SQLite in the engagement's ``vault/``; originals are encrypted with AES-128-CBC
and HMAC (Fernet) under a key derived from a secret file outside the
engagement. Every look-up is logged in the vault with its reason.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fde.artifacts import PRIVATE_DIR, PRIVATE_FILE
from fde.engagement import Engagement
from fde.errors import InputError, MissingError

KEY_FILE_VARIABLE = "FDE_VAULT_KEY_FILE"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entities (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, surrogate TEXT NOT NULL, secret BLOB NOT NULL,
    created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, secret BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS lookups (
    time TEXT NOT NULL, person TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One replaced value.

    Attributes:
        id: Derived from type and original with the key: stable, says nothing.
        original: As first seen.
        aliases: Folded compact forms under which it is also recognised.
        certain: Whether the original, found anywhere by itself, is a leak. False
            for words that mean something else as well.
        capital: Whether it is one only where it begins with a capital.
    """

    id: str
    type: str
    surrogate: str
    original: str
    aliases: tuple[str, ...] = ()
    certain: bool = True
    capital: bool = False


class Key:
    """The secret of one engagement; everything derived from it is kept apart by purpose."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._surrogates = self.derive("surrogates")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF, RFC 5869)."""
        return HKDF(SHA256(), 32, None, f"fde vault {purpose}".encode()).derive(self._secret)

    def hmac(self, *parts: str) -> bytes:
        """A keyed digest: the source of every choice a surrogate makes."""
        message = "\x1f".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._surrogates, message, hashlib.sha256).digest()

    def number(self, *parts: str) -> int:
        return int.from_bytes(self.hmac(*parts)[:8], "big")

    @property
    def fingerprint(self) -> str:
        """Names the key without telling it."""
        return self.derive("fingerprint").hex()[:12]


def engagement_id(engagement: Engagement) -> str:
    """The engagement's own random name, made when first asked for."""
    path = engagement.vault / "engagement-id"
    if not path.is_file():
        engagement.vault.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
        engagement.vault.chmod(PRIVATE_DIR)
        _create(path, secrets.token_hex(8) + "\n")
    return path.read_text(encoding="utf-8").strip()


def key_path(engagement: Engagement) -> Path:
    """Where the key is looked for: ``$FDE_VAULT_KEY_FILE``, else in the user's configuration folder."""
    named = os.environ.get(KEY_FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "fde" / "keys" / f"{engagement_id(engagement)}.key"


def load_key(engagement: Engagement, *, create: bool) -> Key:
    """Read the key, or make one when there is no vault yet and ``create`` is set.

    Raises:
        InputError: the file is no key, lies inside the engagement, or is readable by others.
        MissingError: there is a vault but no key.
    """
    path = key_path(engagement)
    if path.resolve().is_relative_to(engagement.root):
        raise InputError(
            f"The vault's key {path} lies inside the engagement, beside what it locks.",
            f"Move it elsewhere and set {KEY_FILE_VARIABLE} to the new place.",
        )
    if not path.exists():
        if not create or _vault_path(engagement).exists():
            raise MissingError(
                f"The vault's key is not at {path}.",
                f"Restore that file or set {KEY_FILE_VARIABLE}. Without the key the originals are lost; "
                f"to start "
                f"a new vault with other surrogates, move {_vault_path(engagement)} away and run: fde "
                f"redact run",
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
        _create(path, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() + "\n")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise InputError(
            f"The vault's key {path} can be read by others (mode {mode:o}).", f"Run: chmod 600 {path}"
        )
    try:
        secret = base64.urlsafe_b64decode(path.read_bytes().strip())
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a vault key: {error}.", "Restore the right file.") from error
    if len(secret) != 32:
        raise InputError(
            f"{path} is not a vault key: it holds {len(secret)} bytes, not 32.", "Restore the right file."
        )
    return Key(secret)


def _create(path: Path, text: str) -> None:
    """Write a new private file; the one another process made first wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _vault_path(engagement: Engagement) -> Path:
    return engagement.vault / "vault.db"


class Vault:
    """The open vault of an engagement. Writes are transactions: killed half-way, nothing changed."""

    def __init__(self, engagement: Engagement, *, create: bool = False) -> None:
        self.path = _vault_path(engagement)
        if not create and not self.path.exists():
            raise MissingError(
                f"There is no vault in {engagement.vault}: nothing has been redacted yet.",
                "Run: fde redact run",
            )
        self.key = load_key(engagement, create=create)
        self._fernet = Fernet(base64.urlsafe_b64encode(self.key.derive("encryption")))
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            self._db.executescript(_SCHEMA)
            self._check_key()
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} is not a vault: {error}.", "Restore it from a backup, or move it away."
            ) from error

    def _check_key(self) -> None:
        row = self._db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
        if row is None:
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (self.key.fingerprint,))
        elif row[0] != self.key.fingerprint:
            raise InputError(
                f"The vault {self.path} was locked with another key (it names {row[0]}, the key given is "
                f"{self.key.fingerprint}).",
                f"Restore the right key file or point {KEY_FILE_VARIABLE} at it.",
            )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def id_of(self, kind: str, folded: str) -> str:
        """The id of an original given in folded compact form."""
        return f"{kind.lower().replace('_', '-')}-{self.key.hmac('id', kind, folded).hex()[:10]}"

    def surrogates(self) -> dict[tuple[str, str], str]:
        """The stand-ins chosen so far: ``(kind, folded original) -> stand-in``."""
        return {(kind, original): made for kind, original, made in self._state("surrogates")}

    def kept(self) -> list[str]:
        """Names of firms and allowed values that were left as they are."""
        return [str(text) for text in self._state("kept")]

    def _state(self, name: str) -> list[Any]:
        row = self._db.execute("SELECT secret FROM state WHERE name = ?", (name,)).fetchone()
        found: list[Any] = [] if row is None else json.loads(self._decrypt(row[0], name))
        return found

    def store(
        self, entries: Iterable[Entry], surrogates: dict[tuple[str, str], str], kept: Iterable[str]
    ) -> None:
        """Add entries, or replace those of the same id, the stand-ins and what was kept: all or none."""
        state = {
            "surrogates": [[kind, original, made] for (kind, original), made in sorted(surrogates.items())],
            "kept": sorted({*kept, *self.kept()}),
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (e.id, e.type, e.surrogate, self._fernet.encrypt(_pack(e)), now)
            for e in entries
        ]  # fmt: skip
        with self._transaction():
            self._db.executemany(
                "INSERT INTO entities VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " surrogate = excluded.surrogate, secret = excluded.secret",
                rows,
            )
            self._db.executemany(
                "INSERT INTO state VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET secret = excluded.secret",
                [(name, self._fernet.encrypt(json.dumps(value).encode())) for name, value in state.items()],
            )

    def entries(self, reason: str) -> list[Entry]:
        """Every entry in clear; the look-up is logged under ``reason``."""
        self.log("all entries", reason)
        rows = self._db.execute("SELECT id, type, surrogate, secret FROM entities ORDER BY id").fetchall()
        return [self._entry(*row) for row in rows]

    def reveal(self, name: str, reason: str) -> list[Entry]:
        """The entries with this id or surrogate; logged before anything is decrypted.

        Raises:
            InputError: without a reason.
            MissingError: when nothing has this id or surrogate.
        """
        if not reason.strip():
            raise InputError("Revealing an original needs a reason.", "Add: --reason 'why you need it'")
        self.log(name, reason)
        rows = self._db.execute(
            "SELECT id, type, surrogate, secret FROM entities WHERE id = ? OR surrogate = ? ORDER BY id",
            (name, name),
        ).fetchall()
        if not rows:
            raise MissingError(
                f"The vault has no entry {name!r}.", "Name an id or a surrogate as it stands in the output."
            )
        return [self._entry(*row) for row in rows]

    def lookups(self) -> list[dict[str, str]]:
        """The log of look-ups, oldest first."""
        rows = self._db.execute("SELECT time, person, what, reason FROM lookups ORDER BY rowid").fetchall()
        return [dict(zip(("time", "person", "what", "reason"), row, strict=True)) for row in rows]

    def log(self, what: str, reason: str) -> None:
        """Note a look-up with the person's name and the time."""
        try:
            person = getpass.getuser()
        except (OSError, KeyError):
            person = str(os.getuid())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._db.execute("INSERT INTO lookups VALUES (?, ?, ?, ?)", (now, person, what, reason))

    def _entry(self, entry_id: str, kind: str, surrogate: str, secret: bytes) -> Entry:
        data = json.loads(self._decrypt(secret, entry_id))
        return Entry(
            entry_id,
            kind,
            surrogate,
            data["original"],
            tuple(data["aliases"]),
            data["certain"],
            data["capital"],
        )

    def _decrypt(self, secret: bytes, name: str) -> bytes:
        try:
            return self._fernet.decrypt(secret)
        except InvalidToken as error:
            raise InputError(
                f"The vault's entry {name} cannot be decrypted: it was damaged.",
                "Restore the vault from a backup.",
            ) from error


def _pack(entry: Entry) -> bytes:
    plain = {
        "original": entry.original,
        "aliases": entry.aliases,
        "certain": entry.certain,
        "capital": entry.capital,
    }
    return json.dumps(plain).encode()
