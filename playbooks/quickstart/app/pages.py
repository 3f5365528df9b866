"""What each address of the portal answers: one function per page."""

from __future__ import annotations

import hmac
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from playbooks.quickstart import company
from playbooks.quickstart.app import store

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters["money"] = company.money


@dataclass(frozen=True, slots=True)
class Clerk:
    """Who is signed in."""

    username: str
    name: str
    csrf: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a page function needs of an HTTP request; repeated fields keep their last value."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    clerk: Clerk


@dataclass(frozen=True, slots=True)
class Response:
    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/html; charset=utf-8"


Page = Callable[[sqlite3.Connection, Request, str], Response]


def render(template: str, *, status: int = 200, **values: object) -> Response:
    values.setdefault("clerk", None)
    values.setdefault("errors", [])
    return Response(_TEMPLATES.get_template(template).render(**values), status)


def redirect(path: str, **headers: str) -> Response:
    return Response(status=303, headers={"Location": path, **headers})


def problem(status: int, title: str, text: str, clerk: Clerk | None = None) -> Response:
    return render("problem.html", status=status, title=title, text=text, clerk=clerk)


def page_number(request: Request) -> int:
    text = request.query.get("page", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def inbox(db: sqlite3.Connection, request: Request, _: str) -> Response:
    query = request.query.get("q", "").strip()
    found = store.find_invoices(db, query, page_number(request))
    return render("inbox.html", clerk=request.clerk, query=query, found=found)


def invoice(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.invoice(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no invoice {number}.", request.clerk)
    return _invoice(request, row)


def _invoice(request: Request, row: sqlite3.Row, errors: list[str] | None = None) -> Response:
    return render(
        "invoice.html", status=409 if errors else 200, clerk=request.clerk, invoice=row, errors=errors or []
    )


def invoice_done(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.invoice(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no invoice {number}.", request.clerk)
    if row["status"] == "Routed":
        text = f"Routed to {row['approver']}"
    elif row["status"] == "Duplicate":
        text = f"Duplicate of {row['duplicate_of']}"
    elif row["status"] == "New" and row["reason"]:
        text = "Reinstated"
    else:
        return redirect(_path("invoices", number))
    return render("done.html", clerk=request.clerk, title=f"Invoice {number}", text=text)


def code(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.invoice(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no invoice {number}.", request.clerk)
    if row["status"] != "New":
        return _invoice(request, row, [f"{number} is already {_state(row)}."])
    values = request.form if request.method == "POST" else request.query
    chosen = {name: values.get(name, "").strip() for name in ("cost_centre", "account", "approver", "po")}
    centres = store.cost_centres(db)
    accounts = store.accounts(db, chosen["cost_centre"])
    if chosen["account"] not in accounts:
        chosen["account"] = ""
    errors: list[str] = []
    if request.method == "POST":
        errors = _coding_errors(row, chosen, centres)
        if not errors:
            coded = store.add_coding(db, number=number, clerk=request.clerk.username, **chosen)
            if not coded:
                return _invoice(request, row, [f"{number} is already coded."])
            return redirect(_path("invoices", number, "done"))
    return render(
        "code.html",
        status=422 if errors else 200,
        clerk=request.clerk,
        invoice=row,
        centres=centres,
        accounts=accounts,
        approvers=company.APPROVERS,
        chosen=chosen,
        errors=errors,
    )


def _state(row: sqlite3.Row) -> str:
    return "coded" if row["status"] == "Routed" else str(row["status"]).lower()


def _coding_errors(row: sqlite3.Row, chosen: dict[str, str], centres: list[str]) -> list[str]:
    errors = []
    if chosen["cost_centre"] not in centres:
        errors.append("Choose a cost centre.")
    elif not chosen["account"]:
        errors.append("Choose an account.")
    if chosen["approver"] not in company.APPROVERS:
        errors.append("Choose an approver.")
    if not chosen["po"] and not row["contract"]:
        errors.append("PO number is required without a contract.")
    elif chosen["po"] and not re.fullmatch(r"PO-[0-9]{5}", chosen["po"]):
        errors.append("PO number must look like PO-12345.")
    if not errors and row["budget_used"] and chosen["cost_centre"] != company.RESERVE_COST_CENTRE:
        errors.append(f"Budget of {chosen['cost_centre']} is used up. Use {company.RESERVE_COST_CENTRE}.")
    return errors


def duplicate(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.invoice(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no invoice {number}.", request.clerk)
    if row["status"] != "Held":
        return _invoice(request, row, [f"{number} is not held."])
    other = request.form.get("duplicate_of", "").strip()
    errors: list[str] = []
    if request.method == "POST":
        if not other:
            errors.append("Enter the invoice it duplicates.")
        elif other == number or store.invoice(db, other) is None:
            errors.append(f"{other[:40]} is not another invoice.")
        elif store.mark_duplicate(db, number, other):
            return redirect(_path("invoices", number, "done"))
    return render(
        "duplicate.html",
        status=422 if errors else 200,
        clerk=request.clerk,
        invoice=row,
        duplicate_of=other,
        errors=errors,
    )


def reinstate(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.invoice(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no invoice {number}.", request.clerk)
    if row["status"] != "Held":
        return _invoice(request, row, [f"{number} is not held."])
    reason = request.form.get("reason", "")
    errors: list[str] = []
    if request.method == "POST":
        if reason not in company.REINSTATE_REASONS:
            errors.append("Choose a reason.")
        elif store.reinstate(db, number, reason):
            return redirect(_path("invoices", number, "done"))
    return render(
        "reinstate.html",
        status=422 if errors else 200,
        clerk=request.clerk,
        invoice=row,
        reasons=company.REINSTATE_REASONS,
        reason=reason,
        errors=errors,
    )


def vendors(db: sqlite3.Connection, request: Request, _: str) -> Response:
    query = request.query.get("q", "").strip()
    found = store.find_vendors(db, query, page_number(request))
    return render("vendors.html", clerk=request.clerk, query=query, found=found)


def vendor(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.vendor(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no vendor {number}.", request.clerk)
    return render("vendor.html", clerk=request.clerk, vendor=row)


def bank(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.vendor(db, number)
    if row is None:
        return problem(404, "Not found", f"There is no vendor {number}.", request.clerk)
    typed = request.form.get("iban", "").strip()
    iban = typed.replace(" ", "").upper()
    hold = request.form.get("hold", "")
    called = request.form.get("called") == "yes"
    errors: list[str] = []
    if request.method == "POST":
        if not _valid_iban(iban):
            errors.append("IBAN is not valid.")
        if hold not in company.HOLDS:
            errors.append("Choose a hold.")
        if not called:
            errors.append("Call the vendor back first.")
        if not errors:
            store.change_bank(db, number=number, iban=iban, hold=hold, clerk=request.clerk.username)
            return redirect(_path("vendors", number, "done"))
    return render(
        "bank.html",
        status=422 if errors else 200,
        clerk=request.clerk,
        vendor=row,
        iban=typed,
        holds=company.HOLDS,
        hold=hold,
        called=called,
        errors=errors,
    )


def _valid_iban(iban: str) -> bool:
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", iban):
        return False
    expected = company.IBAN_LENGTH.get(iban[:2])
    return expected in (None, len(iban)) and company.iban_remainder(iban) == 1


def vendor_done(db: sqlite3.Connection, request: Request, number: str) -> Response:
    row = store.vendor(db, number)
    hold = store.last_hold(db, number)
    if row is None or hold is None:
        return redirect(_path("vendors", number) if row is not None else "/vendors")
    return render("done.html", clerk=request.clerk, title=row["name"], text=f"Bank changed, hold {hold}")


def sign_in(db: sqlite3.Connection, username: str, password: str) -> sqlite3.Row | None:
    """The user, or None when name and password do not belong together."""
    row: sqlite3.Row | None = db.execute("select * from users where username = ?", (username,)).fetchone()
    given = store.hash_password(username, password)
    known = row["password"] if row is not None else ""
    return row if hmac.compare_digest(given, known) else None


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


ROUTES: tuple[tuple[re.Pattern[str], Page, frozenset[str]], ...] = tuple(
    (re.compile(pattern), page, frozenset(methods.split()))
    for pattern, page, methods in (
        (r"/()", inbox, "GET"),
        (r"/invoices/([^/]{1,40})", invoice, "GET"),
        (r"/invoices/([^/]{1,40})/code", code, "GET POST"),
        (r"/invoices/([^/]{1,40})/duplicate", duplicate, "GET POST"),
        (r"/invoices/([^/]{1,40})/reinstate", reinstate, "GET POST"),
        (r"/invoices/([^/]{1,40})/done", invoice_done, "GET"),
        (r"/vendors()", vendors, "GET"),
        (r"/vendors/([^/]{1,40})", vendor, "GET"),
        (r"/vendors/([^/]{1,40})/bank", bank, "GET POST"),
        (r"/vendors/([^/]{1,40})/done", vendor_done, "GET"),
    )
)
