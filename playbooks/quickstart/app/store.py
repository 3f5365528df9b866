"""The portal's database: schema, and the reads and writes its pages need.

The portal checks that input is well formed and complete. It does not know the company's
rules, as no such portal does: a wrong cost centre is accepted, and found in the tables.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fde.errors import InputError, MissingError

SCHEMA = """
create table users (username text primary key, name text not null, password text not null);
create table sessions (token text primary key, username text not null references users, csrf text not null);
create table cost_centres (code text primary key);
create table accounts (code text primary key, cost_centre text not null references cost_centres);
create table vendors (
    number text primary key, name text not null unique, country text not null, iban text not null,
    contract integer not null, risk integer not null, contact text not null, mail text not null,
    phone text not null, buyer text not null);
create table invoices (
    number text primary key, place integer not null unique, vendor text not null references vendors,
    reference text not null, category text not null, amount_cents integer not null,
    po text not null, status text not null, budget_used integer not null default 0,
    twin text references invoices, duplicate_of text references invoices, reason text);
create table codings (
    id integer primary key, invoice text not null unique references invoices,
    cost_centre text not null references cost_centres, account text not null references accounts,
    approver text not null, po text not null, clerk text not null references users);
create table bank_changes (
    id integer primary key, vendor text not null references vendors, iban text not null,
    hold text not null, clerk text not null references users);
"""
TABLES = ("users", "cost_centres", "accounts", "vendors", "invoices", "codings", "bank_changes")
"""What counts as the state of the company; log-in sessions do not."""

PAGE_ROWS = 4
# Enough to be a hash, few enough that a log-in in a test costs nothing: the passwords are public.
_PASSWORD_ROUNDS = 1000


def hash_password(username: str, password: str) -> str:
    """Salted with the user name, so that the same seed gives the same database."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), username.encode(), _PASSWORD_ROUNDS).hex()


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of a list. ``previous`` and ``next`` are page numbers or None."""

    rows: list[sqlite3.Row]
    previous: int | None
    next: int | None


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for one request: committed at the end, rolled back on an error.

    Raises:
        MissingError: when there is no file.
        InputError: when the file is not a database of the portal.
    """
    if not path.is_file():
        raise MissingError(
            f"Database {path} does not exist.",
            f"Make one: python -m playbooks.quickstart.app --db {path} --seed 1",
        )
    connection = sqlite3.connect(path, timeout=10.0)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("pragma foreign_keys = on")
        with connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "no such table" in str(error):
            raise InputError(f"{path} is not a database of the portal: {error}.") from error
        raise
    finally:
        connection.close()


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _page(connection: sqlite3.Connection, sql: str, arguments: tuple[object, ...], page: int) -> Rows:
    page = max(page, 1)
    offset = (page - 1) * PAGE_ROWS
    rows = connection.execute(f"{sql} limit ? offset ?", (*arguments, PAGE_ROWS + 1, offset)).fetchall()
    return Rows(
        rows=rows[:PAGE_ROWS],
        previous=page - 1 if page > 1 else None,
        next=page + 1 if len(rows) > PAGE_ROWS else None,
    )


def find_invoices(connection: sqlite3.Connection, query: str, page: int) -> Rows:
    """Invoices whose number or vendor contains ``query``, newest first."""
    sql = (
        "select i.*, v.name as vendor_name from invoices i join vendors v on v.number = i.vendor "
        "where i.number like ? escape '\\' or v.name like ? escape '\\' order by i.place"
    )
    return _page(connection, sql, (_like(query), _like(query)), page)


def find_vendors(connection: sqlite3.Connection, query: str, page: int) -> Rows:
    """Vendors whose name contains ``query``, by name."""
    sql = "select * from vendors where name like ? escape '\\' order by name"
    return _page(connection, sql, (_like(query),), page)


def invoice(connection: sqlite3.Connection, number: str) -> sqlite3.Row | None:
    """One invoice with its vendor, and its approver once it is coded."""
    row: sqlite3.Row | None = connection.execute(
        "select i.*, v.name as vendor_name, v.contract, v.contact, c.approver from invoices i "
        "join vendors v on v.number = i.vendor left join codings c on c.invoice = i.number "
        "where i.number = ?",
        (number,),
    ).fetchone()
    return row


def vendor(connection: sqlite3.Connection, number: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "select * from vendors where number = ?", (number,)
    ).fetchone()
    return row


def last_hold(connection: sqlite3.Connection, number: str) -> str | None:
    """The payment hold of a vendor's latest bank change, None when there was none."""
    row = connection.execute(
        "select hold from bank_changes where vendor = ? order by id desc limit 1", (number,)
    ).fetchone()
    return None if row is None else str(row["hold"])


def cost_centres(connection: sqlite3.Connection) -> list[str]:
    return [str(row["code"]) for row in connection.execute("select code from cost_centres order by code")]


def accounts(connection: sqlite3.Connection, cost_centre: str) -> list[str]:
    """The accounts that may be booked on a cost centre."""
    sql = "select code from accounts where cost_centre = ? order by code"
    return [str(row["code"]) for row in connection.execute(sql, (cost_centre,))]


def add_coding(
    connection: sqlite3.Connection,
    *,
    number: str,
    cost_centre: str,
    account: str,
    approver: str,
    po: str,
    clerk: str,
) -> bool:
    """Code an invoice and route it; False when it was no longer open (somebody was faster)."""
    changed = connection.execute(
        "update invoices set status = 'Routed' where number = ? and status = 'New'", (number,)
    )
    if changed.rowcount != 1:
        return False
    connection.execute(
        "insert into codings (invoice, cost_centre, account, approver, po, clerk) values (?, ?, ?, ?, ?, ?)",
        (number, cost_centre, account, approver, po, clerk),
    )
    return True


def mark_duplicate(connection: sqlite3.Connection, number: str, duplicate_of: str) -> bool:
    """Close a held invoice as a duplicate; False when it is not held."""
    changed = connection.execute(
        "update invoices set status = 'Duplicate', duplicate_of = ? where number = ? and status = 'Held'",
        (duplicate_of, number),
    )
    return changed.rowcount == 1


def reinstate(connection: sqlite3.Connection, number: str, reason: str) -> bool:
    """Put a held invoice back into work; False when it is not held."""
    changed = connection.execute(
        "update invoices set status = 'New', reason = ? where number = ? and status = 'Held'",
        (reason, number),
    )
    return changed.rowcount == 1


def change_bank(connection: sqlite3.Connection, *, number: str, iban: str, hold: str, clerk: str) -> None:
    """Change where a vendor is paid."""
    connection.execute("update vendors set iban = ? where number = ?", (iban, number))
    connection.execute(
        "insert into bank_changes (vendor, iban, hold, clerk) values (?, ?, ?, ?)",
        (number, iban, hold, clerk),
    )
