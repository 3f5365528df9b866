"""What right work is, written by hand from the company's documents, and the judge of the tables.

Nothing here is shared with the portal's pages, the experts or the compiler: the rules are
spelled out again, so that a mistake elsewhere shows up as a disagreement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fde.errors import InputError, MissingError
from playbooks.quickstart.app import seed_database
from playbooks.quickstart.plans import Plan, fresh_plan, recorded_plans

State = dict[str, dict[str, dict[str, Any]]]
"""Table -> key -> row. Who did the work and the numbering of rows are no part of it."""

_MATRIX = {
    "Packaging": ("Logistics", "Packaging", "Head of operations"),
    "Freight": ("Logistics", "Carriage", "Head of operations"),
    "Stationery": ("Administration", "Office supplies", "Head of administration"),
    "Software": ("IT", "Licences", "Head of IT"),
    "Hardware": ("IT", "Equipment", "Head of IT"),
    "Cleaning": ("Facilities", "Cleaning", "Head of operations"),
    "Security": ("Facilities", "Guarding", "Head of operations"),
    "Consulting": ("Management", "Advice", "Head of administration"),
    "Legal": ("Management", "Legal fees", "Head of administration"),
    "Advertising": ("Marketing", "Adverts", "Head of sales"),
    "Travel": ("Sales", "Travel", "Head of sales"),
    "Repairs": ("Maintenance", "Repairs", "Head of operations"),
}
_KEYS = {
    "users": "username",
    "cost_centres": "code",
    "accounts": "code",
    "vendors": "number",
    "invoices": "number",
    "codings": "invoice",
    "bank_changes": "vendor",
}
_NOT_JUDGED = frozenset({"id", "clerk"})


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task for the running portal that no recording shows.

    Attributes:
        seed: Of the task's database, see :func:`prepare`.
        parameters: ``invoice``, or ``vendor`` and ``iban``.
    """

    workflow: str
    seed: int
    instruction: str
    parameters: dict[str, str]


def live_tasks(workflow: str, n: int, seed: int) -> tuple[LiveTask, ...]:
    """Draw ``n`` tasks whose parameters occur in no recording and only once.

    Raises:
        InputError: when there is no such workflow or ``n`` is negative.
    """
    if n < 0:
        raise InputError(f"n={n} tasks cannot be drawn.")
    used = {_main_parameter(plan) for plan in recorded_plans(workflow)}
    tasks: list[LiveTask] = []
    # Databases of recordings have seeds below 1,000,000.
    number = 1_000_000 + seed * 100_000
    while len(tasks) < n:
        plan = fresh_plan(workflow, number)
        number += 1
        if _main_parameter(plan) in used:
            continue
        used.add(_main_parameter(plan))
        tasks.append(LiveTask(workflow, plan.seed, plan.instruction, plan.parameters))
    return tuple(tasks)


def _main_parameter(plan: Plan) -> str:
    return plan.parameters.get("invoice") or plan.parameters["iban"]


def prepare(task: LiveTask, db_path: Path) -> None:
    """Make the database in which ``task`` is to be done."""
    plan = fresh_plan(task.workflow, task.seed)
    seed_database(db_path, plan.seed, wanted=plan.wanted, wanted_vendors=plan.wanted_vendors)


def expected(db_path: Path, workflow: str, parameters: Mapping[str, str]) -> State:
    """The state in which right work leaves the database at ``db_path``, which is only read.

    Raises:
        MissingError: when there is no such database, invoice or vendor.
        InputError: when the workflow is unknown, or the invoice is not in the state the work begins in.
    """
    state = read_state(db_path)
    if workflow == "code-invoice":
        _code(state, _need(parameters, "invoice"))
    elif workflow == "resolve-duplicate":
        _resolve(state, _need(parameters, "invoice"))
    elif workflow == "update-bank":
        _change_bank(state, _need(parameters, "vendor"), _need(parameters, "iban"))
    else:
        raise InputError(f"Unknown workflow {workflow!r}.")
    return state


def _need(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise InputError(f"Parameter {name!r} is missing; there are {sorted(parameters)}.")
    return parameters[name]


def _open_invoice(state: State, number: str, status: str) -> dict[str, Any]:
    if number not in state["invoices"]:
        raise MissingError(f"There is no invoice {number}.")
    row = state["invoices"][number]
    if row["status"] != status:
        raise InputError(f"Invoice {number} is {row['status']}, not {status}.")
    return row


def _code(state: State, number: str) -> None:
    row = _open_invoice(state, number, "New")
    contract = bool(state["vendors"][row["vendor"]]["contract"])
    centre, account, approver = _MATRIX[row["category"]]
    if row["budget_used"]:
        centre, account = "Reserve", "Unplanned"
    state["codings"][number] = {
        "invoice": number,
        "cost_centre": centre,
        "account": account,
        "approver": approver,
        "po": "" if contract else row["po"],
    }
    row["status"] = "Routed"


def _resolve(state: State, number: str) -> None:
    row = _open_invoice(state, number, "Held")
    other = state["invoices"][row["twin"]]
    same_reference = row["reference"] == other["reference"]
    same_amount = row["amount_cents"] == other["amount_cents"]
    if same_reference and same_amount:
        row["status"] = "Duplicate"
        row["duplicate_of"] = other["number"]
        return
    row["status"] = "New"
    if not same_reference and not same_amount:
        row["reason"] = "Both differ"
    else:
        row["reason"] = "Different amount" if same_reference else "Different reference"


def _change_bank(state: State, vendor: str, iban: str) -> None:
    rows = [row for row in state["vendors"].values() if row["name"] == vendor]
    if not rows:
        raise MissingError(f"There is no vendor {vendor!r}.")
    (row,) = rows
    row["iban"] = iban
    # Policy 6.2, and 6.3 as amended by the memo of 2026-02-18.
    held = iban[:2] != row["country"] or row["risk"] > 6
    key = f"{row['number']} 1"
    state["bank_changes"][key] = {
        "vendor": row["number"],
        "iban": iban,
        "hold": "30 days" if held else "None",
    }


def judge(
    db_before: Path, db_after: Path, workflow: str, parameters: Mapping[str, str]
) -> tuple[bool, tuple[str, ...]]:
    """Whether the work that led from one database to the other is exactly right.

    Returns:
        The judgement, and every difference from what should be there.

    Raises:
        MissingError, InputError: as :func:`expected`.
    """
    should = expected(db_before, workflow, parameters)
    found = read_state(db_after)
    reasons = []
    for table in _KEYS:
        for key in sorted(should[table].keys() | found[table].keys()):
            want, have = should[table].get(key), found[table].get(key)
            if have is None:
                reasons.append(f"{table} {key}: missing")
            elif want is None:
                reasons.append(f"{table} {key}: should not be there")
            else:
                reasons += [
                    f"{table} {key}: {column} is {have[column]!r}, should be {want[column]!r}"
                    for column in want
                    if have[column] != want[column]
                ]
    return not reasons, tuple(reasons)


def read_state(db_path: Path) -> State:
    """All judged tables of a database of the portal.

    Raises:
        MissingError: when there is no file.
        InputError: when it is not such a database.
    """
    if not db_path.is_file():
        raise MissingError(f"Database {db_path} does not exist.")
    connection = sqlite3.connect(f"{db_path.resolve().as_uri()}?mode=ro", uri=True, timeout=10.0)
    connection.row_factory = sqlite3.Row
    try:
        return {table: _read_table(connection, table, key) for table, key in _KEYS.items()}
    except sqlite3.DatabaseError as error:
        raise InputError(f"{db_path} is not a database of the portal: {error}.") from error
    finally:
        connection.close()


def _read_table(connection: sqlite3.Connection, table: str, key: str) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in connection.execute(f"select * from {table} order by rowid"):
        name = str(row[key])
        if table == "bank_changes":
            # A vendor may have several: they are told apart by their order.
            name = f"{name} {sum(1 for known in rows if known.startswith(f'{name} ')) + 1}"
        rows[name] = {column: row[column] for column in row.keys() if column not in _NOT_JUDGED}  # noqa: SIM118
    return rows
