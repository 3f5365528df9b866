"""The sample portal, spoken to over HTTP."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickstart_client import Client

from fde.errors import InputError, MissingError
from playbooks.quickstart import company
from playbooks.quickstart.app import Wanted, seed_database, serve
from playbooks.quickstart.app.seed import draw
from playbooks.quickstart.truth import read_state

WANTED = (
    Wanted("new", "Packaging", 73_400, contract=True, budget_used=False),
    Wanted("new", "Travel", 500_001, contract=False, budget_used=False),
    Wanted("new", "Software", 90_000, contract=True, budget_used=True),
    Wanted("same"),
    Wanted("amount"),
)
CODING = {"cost_centre": "Logistics", "account": "Packaging", "approver": "Head of sales", "po": ""}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "portal.db"
    seed_database(path, 7, wanted=WANTED)
    return path


@pytest.fixture
def numbers(database: Path) -> list[str]:
    return draw(7, wanted=WANTED).wanted


@pytest.fixture
def client(database: Path) -> Iterator[Client]:
    portal, url = serve(database)
    client = Client(url)
    client.sign_in()
    yield client
    portal.close()


def test_same_seed_same_data(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        seed_database(tmp_path / name, seed)
    assert read_state(tmp_path / "a") == read_state(tmp_path / "b")
    assert read_state(tmp_path / "a") != read_state(tmp_path / "c")


def test_seed_keeps_what_is_wanted(database: Path, numbers: list[str]) -> None:
    invoices = read_state(database)["invoices"]
    assert len(invoices) >= 24
    assert invoices[numbers[0]]["category"] == "Packaging"
    assert invoices[numbers[1]]["amount_cents"] == 500_001
    held = invoices[numbers[3]]
    twin = invoices[held["twin"]]
    assert (held["status"], twin["twin"]) == ("Held", numbers[3])
    assert (held["reference"], held["amount_cents"]) == (twin["reference"], twin["amount_cents"])


@pytest.mark.parametrize("arguments", [{"vendors": 1}, {"vendors": 99}, {"wanted_vendors": ("Nobody",)}])
def test_seed_refuses_nonsense(tmp_path: Path, arguments: dict[str, object]) -> None:
    path = tmp_path / "portal.db"
    seed_database(path, 1)
    before = path.read_bytes()
    with pytest.raises(InputError):
        seed_database(path, 1, **arguments)  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_nothing_without_signing_in(database: Path, numbers: list[str]) -> None:
    portal, url = serve(database)
    try:
        client = Client(url)
        assert "Sign in" in client.get(f"/invoices/{numbers[0]}").body
        wrong = client.request("POST", "/login", {"username": company.CLERKS[0].user, "password": "x"})
        assert (wrong.status, wrong.alert) == (401, "User and password do not match.")
        client.cookie = 'payables="forged'
        assert "Sign in" in client.get("/").body
    finally:
        portal.close()


def test_inbox_pages_and_search(client: Client, numbers: list[str], database: Path) -> None:
    seen: list[str] = []
    page = client.get("/")
    while True:
        rows = [text for text in page.links if text.startswith("INV-")]
        assert 0 < len(rows) <= 4
        seen += rows
        if "Next" not in page.links:
            break
        page = client.get(page.links["Next"])
    assert sorted(seen) == sorted(read_state(database)["invoices"])
    found = client.get(f"/?q={numbers[0]}")
    assert [text for text in found.links if text.startswith("INV-")] == [numbers[0]]
    assert "No invoices found." in client.get("/?q=%25").body


def test_code_and_route(client: Client, numbers: list[str], database: Path) -> None:
    detail = client.get(f"/invoices/{numbers[0]}")
    form = client.get(detail.links["Code"])
    assert form.options("cost_centre") == sorted(company.COST_CENTRES)
    assert form.options("account") == []
    chosen = client.get(f"{form.path}?cost_centre=Logistics&approver=Head+of+sales&po=PO-1")
    assert chosen.options("account") == ["Carriage", "Packaging", "Storage"]
    assert chosen.chosen("approver") == "Head of sales"
    done = client.submit(
        form.path, cost_centre="Logistics", account="Packaging", approver="Head of operations", po=""
    )
    assert (done.status, done.confirmation) == (200, "Routed to Head of operations")
    coding = read_state(database)["codings"][numbers[0]]
    assert coding == {
        "invoice": numbers[0], "cost_centre": "Logistics", "account": "Packaging", "po": "",
        "approver": "Head of operations",
    }  # fmt: skip


def test_second_coding_is_refused(client: Client, numbers: list[str], database: Path) -> None:
    path = f"/invoices/{numbers[0]}/code"
    token = client.get(path).csrf
    form = CODING | {"csrf": token}
    client.request("POST", path, form)
    again = client.request("POST", path, form | {"approver": "Head of operations"})
    assert (again.status, again.alert) == (409, f"{numbers[0]} is already coded.")
    assert read_state(database)["codings"][numbers[0]]["approver"] == "Head of sales"


def test_two_clerks_at_once_code_once(client: Client, numbers: list[str], database: Path) -> None:
    path = f"/invoices/{numbers[0]}/code"
    token = client.get(path).csrf
    form = CODING | {"csrf": token}
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(client.request("POST", path, form, follow=False).status)
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 409, 409, 409, 409, 409]
    assert len(read_state(database)["codings"]) == 1


@pytest.mark.parametrize(
    ("form", "alert"),
    [
        ({}, "Choose a cost centre. Choose an approver. PO number is required without a contract."),
        ({"cost_centre": "Sales", "approver": "Head of sales", "po": "PO-11111"}, "Choose an account."),
        (
            {"cost_centre": "Sales", "account": "Travel", "approver": "Head of sales"},
            "PO number is required without a contract.",
        ),
        (
            {"cost_centre": "Sales", "account": "Travel", "approver": "Head of sales", "po": "11111"},
            "PO number must look like PO-12345.",
        ),
        (
            {"cost_centre": "Sales", "account": "Packaging", "approver": "Head of sales", "po": "PO-11111"},
            "Choose an account.",
        ),
        (
            {"cost_centre": "Nowhere", "account": "Travel", "approver": "Me", "po": "PO-11111"},
            "Choose a cost centre. Choose an approver.",
        ),
    ],
)
def test_incomplete_coding_is_refused(
    client: Client, numbers: list[str], database: Path, form: dict[str, str], alert: str
) -> None:
    before = read_state(database)
    answer = client.submit(f"/invoices/{numbers[1]}/code", **form)
    assert (answer.status, answer.alert) == (422, alert)
    assert read_state(database) == before


def test_budget_used_up_leads_to_the_reserve(client: Client, numbers: list[str], database: Path) -> None:
    path = f"/invoices/{numbers[2]}/code"
    answer = client.submit(path, cost_centre="IT", account="Licences", approver="Head of operations", po="")
    assert answer.alert == "Budget of IT is used up. Use Reserve."
    assert answer.chosen("account") == "Licences"
    assert not read_state(database)["codings"]
    assert client.get(f"{path}?cost_centre=Reserve").options("account") == ["Unplanned"]
    done = client.submit(
        path, cost_centre="Reserve", account="Unplanned", approver="Head of operations", po=""
    )
    assert done.confirmation == "Routed to Head of operations"


def test_duplicate_and_reinstate(client: Client, numbers: list[str], database: Path) -> None:
    same, amount = numbers[3], numbers[4]
    twin = read_state(database)["invoices"][same]["twin"]
    assert client.get(f"/invoices/{same}").links[twin] == f"/invoices/{twin}"
    assert client.get(f"/invoices/{twin}").links[same] == f"/invoices/{same}"
    path = f"/invoices/{same}/duplicate"
    for wrong in ("", same, "INV-1"):
        assert client.submit(path, duplicate_of=wrong).status == 422
    assert client.submit(path, duplicate_of=twin).confirmation == f"Duplicate of {twin}"
    assert client.submit(f"/invoices/{amount}/reinstate", reason="Because").alert == "Choose a reason."
    assert (
        client.submit(f"/invoices/{amount}/reinstate", reason="Different amount").confirmation == "Reinstated"
    )
    assert client.get(f"/invoices/{amount}/reinstate").alert == f"{amount} is not held."
    assert "Code" in client.get(f"/invoices/{amount}").links


def test_bank_change(client: Client, database: Path) -> None:
    vendor = next(iter(read_state(database)["vendors"].values()))
    found = client.get(f"/vendors?q={vendor['name'].replace(' ', '+')}")
    path = client.get(found.links[vendor["name"]]).links["Change bank"]
    good = company.make_iban("AT", 4711)
    bad = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert client.submit(path, iban=bad, hold="None", called="yes").alert == "IBAN is not valid."
    assert client.submit(path, iban=good, hold="None").alert == "Call the vendor back first."
    assert client.submit(path, iban=good, called="yes").alert == "Choose a hold."
    assert not read_state(database)["bank_changes"]
    done = client.submit(path, iban=f" {good[:4]} {good[4:].lower()}", hold="30 days", called="yes")
    assert done.confirmation == "Bank changed, hold 30 days"
    assert read_state(database)["vendors"][vendor["number"]]["iban"] == good


def test_form_without_token_is_refused(client: Client, numbers: list[str], database: Path) -> None:
    before = read_state(database)
    form = {"cost_centre": "Logistics", "account": "Packaging", "approver": "Head of operations", "po": ""}
    for token in ("", "x", "ü"):
        assert client.request("POST", f"/invoices/{numbers[0]}/code", form | {"csrf": token}).status == 403
    assert read_state(database) == before


def test_hostile_text_is_escaped(client: Client, numbers: list[str]) -> None:
    attack = '"><script>alert(1)</script>'
    page = client.submit(f"/invoices/{numbers[3]}/duplicate", duplicate_of=attack)
    assert "<script>alert" not in page.body
    assert "&lt;script&gt;alert" in page.body
    assert "<script>alert" not in client.get("/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").body
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/invoices/INV-1", 404),
        ("/invoices/INV-1/code", 404),
        ("/vendors/V-1", 404),
        ("/static/../store.py", 404),
        ("/static/%2e%2e/store.py", 404),
        ("/?page=-1", 200),
        ("/?page=99999999999999999999", 200),
        ("/?" + "&".join(f"a{i}=1" for i in range(60)), 400),
    ],
)
def test_odd_addresses(client: Client, path: str, status: int) -> None:
    assert client.get(path).status == status


def test_bad_bodies(client: Client, numbers: list[str]) -> None:
    path = f"/invoices/{numbers[0]}/code"
    assert client.request("POST", path, raw=b"\xff\xfe").status == 400
    assert client.request("POST", path, raw=b"a" * 70_000).status == 413
    assert client.request("POST", "/vendors", {"csrf": client.get(path).csrf}).status == 405
    assert client.get("/").status == 200


def test_port_in_use(database: Path) -> None:
    portal, url = serve(database)
    try:
        port = int(url.rstrip("/").rpartition(":")[2])
        with pytest.raises(InputError, match=f"Cannot listen on 127.0.0.1:{port}"):
            serve(database, port)
    finally:
        portal.close()
    again, _ = serve(database, port)
    again.close()


def test_serve_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        serve(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at" * 20)
    with pytest.raises(InputError, match="not a database"):
        serve(tmp_path / "text.db")
    sqlite3.connect(tmp_path / "empty.db").execute("create table t (a)").connection.close()
    with pytest.raises(InputError, match="no such table"):
        serve(tmp_path / "empty.db")
    with pytest.raises(InputError, match="70000"):
        seed_database(tmp_path / "ok.db", 1)
        serve(tmp_path / "ok.db", 70_000)


def test_command_reports_bad_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "playbooks.quickstart.app", "--db", str(tmp_path / "none.db")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 2
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.stderr
