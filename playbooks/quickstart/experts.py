"""Scripted experts: they read the pages, know the company's rules, and work like people.

Each :class:`~playbooks.quickstart.plans.Plan` names the habits of its expert: detours (a
look at the vendor, another invoice, a mistyped search), corrections (a wrong choice put
right, a forgotten field), the order of fields, paging instead of searching.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Literal

from fde.errors import WorkError
from playbooks.quickstart import company
from playbooks.quickstart.plans import Plan

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_TIMEOUT_MS = 15_000
_MAX_PAGES = 30
Role = Literal["link", "button", "textbox", "searchbox", "combobox", "checkbox"]


def sign_in(page: Page, url: str, clerk: company.Employee = company.CLERKS[0]) -> None:
    """Sign in to the portal at ``url``, opened unless the page shows it already. Ends on the inbox."""
    if not page.url.startswith(url):
        page.goto(url)
    expert = _Hands(page, random.Random(clerk.user))
    expert.fill("textbox", "User", clerk.user)
    expert.fill("textbox", "Password", company.PASSWORD)
    expert.click("button", "Sign in")
    page.get_by_role("heading", name="Inbox").wait_for(timeout=_TIMEOUT_MS)


def perform(page: Page, plan: Plan) -> None:
    """Do the plan's work on a page that shows the inbox.

    Raises:
        WorkError: when the portal does not confirm the work.
    """
    hands = _Hands(page, random.Random(f"habits {plan.seed}"))
    if plan.workflow == "update-bank":
        _BankExpert(hands, plan).work()
    else:
        _InvoiceExpert(hands, plan).work()
    confirmed = page.get_by_role("status")
    if confirmed.count() != 1:
        raise WorkError(f"The portal did not confirm {plan.instruction!r}; it shows {page.url}.")


class _Hands:
    """Acts by role and name, at a human's pace cut short."""

    def __init__(self, page: Page, rng: random.Random) -> None:
        self.page = page
        self.rng = rng

    def find(self, role: Role, name: str) -> Locator:
        return self.page.get_by_role(role, name=name, exact=True)

    def sees(self, role: Role, name: str) -> bool:
        return self.find(role, name).count() > 0

    def click(self, role: Role, name: str) -> None:
        self.find(role, name).first.click(timeout=_TIMEOUT_MS)
        self._look()

    def fill(self, role: Role, name: str, value: str) -> None:
        field = self.find(role, name)
        field.click(timeout=_TIMEOUT_MS)
        if field.input_value():
            field.clear()
        field.press_sequentially(value, delay=self.rng.randint(4, 12))
        self._look()

    def select(self, name: str, value: str, *, reloads: bool = False) -> None:
        field = self.find("combobox", name)
        if reloads:
            with self.page.expect_navigation(timeout=_TIMEOUT_MS):
                field.select_option(label=value, timeout=_TIMEOUT_MS)
        else:
            field.select_option(label=value, timeout=_TIMEOUT_MS)
        self._look()

    def check(self, name: str) -> None:
        self.find("checkbox", name).check(timeout=_TIMEOUT_MS)
        self._look()

    def facts(self) -> dict[str, str]:
        """The labels and values of a detail page."""
        pairs = self.page.locator("dl").evaluate(
            "list => [...list.querySelectorAll('dt')].map(t => [t.innerText, t.nextElementSibling.innerText])"
        )
        return {str(label): str(value) for label, value in pairs}

    def alert(self) -> str:
        shown = self.page.get_by_role("alert")
        return shown.inner_text() if shown.count() else ""

    def options(self, name: str) -> list[str]:
        return [text for text in self.find("combobox", name).locator("option").all_inner_texts() if text]

    def find_in_list(self, name: str, *, paging: bool, mistype: bool) -> None:
        """Open an entry of the inbox or of the vendor list."""
        if paging:
            for _ in range(_MAX_PAGES):
                if self.sees("link", name):
                    break
                self.click("link", "Next")
        else:
            if mistype:
                self.search(slip(name, self.rng))
            self.search(name)
        self.click("link", name)

    def search(self, text: str) -> None:
        self.fill("searchbox", "Search", text)
        self.click("button", "Search")

    def _look(self) -> None:
        self.page.wait_for_load_state()
        self.page.wait_for_timeout(self.rng.randint(20, 60))


def slip(text: str, rng: random.Random) -> str:
    """``text`` with one of its last characters mistyped."""
    position = rng.randrange(max(len(text) - 4, 0), len(text))
    alphabet = "0123456789" if text[position].isdigit() else "aeilnorst"
    wrong = rng.choice([letter for letter in alphabet if letter != text[position]])
    return text[:position] + wrong + text[position + 1 :]


def coding(facts: dict[str, str]) -> tuple[str, str, str, str]:
    """Cost centre, account, approver and PO number for an invoice as its page shows it."""
    centre, account, approver = company.MATRIX[facts["Category"]]
    return centre, account, approver, "" if facts["Contract"] == "Yes" else facts["PO"]


class _InvoiceExpert:
    """Codes invoices and resolves held ones."""

    def __init__(self, hands: _Hands, plan: Plan) -> None:
        self.hands = hands
        self.plan = plan
        self.number = plan.parameters["invoice"]

    def has(self, habit: str) -> bool:
        return habit in self.plan.habits

    def work(self) -> None:
        if self.has("look at other invoice"):
            self._look_at_other_invoice()
        self.hands.find_in_list(self.number, paging=self.has("paging"), mistype=self.has("search twice"))
        facts = self.hands.facts()
        if self.has("look at vendor"):
            self._look_at_vendor(facts["Vendor"])
        if self.plan.workflow == "code-invoice":
            self.hands.click("link", "Code")
            self._code(*coding(facts))
        else:
            self._resolve(facts)

    def _look_at_other_invoice(self) -> None:
        links = self.hands.page.locator("td a").all_inner_texts()
        self.hands.click("link", next(text for text in links if text != self.number))
        self.hands.click("link", "Inbox")

    def _look_at_vendor(self, vendor: str) -> None:
        self.hands.click("link", "Vendors")
        self.hands.find_in_list(vendor, paging=False, mistype=False)
        self.hands.click("link", "Inbox")
        self.hands.find_in_list(self.number, paging=False, mistype=False)

    def _code(self, centre: str, account: str, approver: str, po: str) -> None:
        hands = self.hands
        first = "approver" if self.has("approver first") else "po" if self.has("po first") else ""
        if first == "approver":
            hands.select("Approver", approver)
        if first == "po":
            hands.fill("textbox", "PO number", po)
        if self.has("wrong centre"):
            wrong = hands.rng.choice(
                [o for o in hands.options("Cost centre") if o not in (centre, company.RESERVE_COST_CENTRE)]
            )
            hands.select("Cost centre", wrong, reloads=True)
        hands.select("Cost centre", centre, reloads=True)
        if self.has("wrong account"):
            hands.select("Account", next(option for option in hands.options("Account") if option != account))
        hands.select("Account", account)
        if first != "approver":
            if self.has("wrong approver"):
                hands.select("Approver", next(option for option in company.APPROVERS if option != approver))
            hands.select("Approver", approver)
        if po and first != "po" and not self.has("forget po"):
            hands.fill("textbox", "PO number", po)
        hands.click("button", "Submit")
        self._recover(po)

    def _recover(self, po: str) -> None:
        hands = self.hands
        if hands.alert().startswith("PO number"):
            hands.fill("textbox", "PO number", po)
            hands.click("button", "Submit")
        used_up = re.search(r"used up\. Use (\w+)", hands.alert())
        if used_up:
            hands.select("Cost centre", used_up[1], reloads=True)
            hands.select("Account", hands.options("Account")[0])
            hands.click("button", "Submit")

    def _resolve(self, facts: dict[str, str]) -> None:
        hands = self.hands
        other_number = facts["Possible duplicate"]
        for _ in range(2 if self.has("look twice") else 1):
            hands.click("link", other_number)
            other = hands.facts()
            hands.click("link", self.number)
        reference = facts["Reference"] == other["Reference"]
        amount = facts["Amount"] == other["Amount"]
        if reference and amount:
            hands.click("link", "Mark as duplicate")
            if self.has("wrong number"):
                hands.fill("textbox", "Duplicate of", slip(other_number, hands.rng))
                hands.click("button", "Submit")
            hands.fill("textbox", "Duplicate of", other_number)
        else:
            hands.click("link", "Reinstate")
            reason = "Different reference" if amount else "Different amount" if reference else "Both differ"
            if self.has("wrong reason"):
                hands.select("Reason", next(text for text in company.REINSTATE_REASONS if text != reason))
            hands.select("Reason", reason)
        hands.click("button", "Submit")


class _BankExpert:
    """Changes a vendor's bank account."""

    def __init__(self, hands: _Hands, plan: Plan) -> None:
        self.hands = hands
        self.plan = plan
        self.iban = plan.parameters["iban"]

    def has(self, habit: str) -> bool:
        return habit in self.plan.habits

    def work(self) -> None:
        hands, vendor = self.hands, self.plan.parameters["vendor"]
        hands.click("link", "Vendors")
        if self.has("look at other vendor"):
            links = hands.page.locator("td a").all_inner_texts()
            hands.click("link", next(text for text in links if text != vendor))
            hands.click("link", "Vendors")
        hands.find_in_list(vendor, paging=self.has("paging"), mistype=self.has("search twice"))
        facts = hands.facts()
        held = facts["Country"] != self.iban[:2] or int(facts["Risk"]) > 6
        hold = "30 days" if held else "None"
        hands.click("link", "Change bank")
        if self.has("called first"):
            hands.check("Called back")
        if self.has("hold first"):
            hands.select("Hold", hold)
        hands.fill("textbox", "IBAN", slip(self.iban, hands.rng) if self.has("mistype iban") else self.iban)
        if not self.has("hold first"):
            if self.has("wrong hold"):
                hands.select("Hold", next(text for text in company.HOLDS if text != hold))
            hands.select("Hold", hold)
        if not self.has("called first") and not self.has("forget called"):
            hands.check("Called back")
        hands.click("button", "Save")
        if "IBAN" in hands.alert():
            hands.fill("textbox", "IBAN", self.iban)
            hands.click("button", "Save")
        elif "Call" in hands.alert():
            hands.check("Called back")
            hands.click("button", "Save")
