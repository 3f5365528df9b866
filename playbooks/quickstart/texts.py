"""What the sample company's documents say, as headings, paragraphs and tables.

The rules the portal's work needs are spread over them as in a real company: the policy
has been amended by a memo, the lookups stand in a spreadsheet, what to do when something
goes wrong stands in the wiki. Personal data of employees and vendor contacts is all over.
"""

from __future__ import annotations

from dataclasses import dataclass

from playbooks.quickstart.company import (
    BUYERS,
    CLERKS,
    EMPLOYEES,
    HEADS,
    MANAGERS,
    MATRIX,
    VENDORS,
    Employee,
)


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Grid

MARIA, TOMAS, AISHA, JONAS = CLERKS
ELEANOR, VIKTOR, PRIYA = MANAGERS
OSKAR, INGRID, DANIEL = BUYERS

POLICY_DATE = "2025-01-15"
MEMO_DATE = "2026-02-18"
PROCESS_DATE = "2025-03-03"
WIKI_DATE = "2025-11-24"


def _contact(person: Employee) -> str:
    return f"{person.name} ({person.number}), phone {person.phone}, {person.mail}"


POLICY: tuple[Block, ...] = (
    Heading("Accounts Payable Policy", 0),
    Paragraph(
        f"Meridian Supply GmbH. Version 4.2 of {POLICY_DATE}. Owner: {VIKTOR.name}, Head of finance. "
        f"Approved by {PRIYA.name}, CFO."
    ),
    Heading("1 Purpose and scope"),
    Paragraph(
        "This policy says how supplier invoices are coded, approved and paid, how rejected invoices are "
        "resolved and how the payment details of a supplier are changed. It binds everybody who works in the "
        "portal Payables. All amounts are net amounts in euro."
    ),
    Paragraph(
        f"Questions go to {_contact(ELEANOR)}. When {ELEANOR.first} is away, {MARIA.short} stands in for her."
    ),
    Heading("2 Coding"),
    Paragraph(
        "2.1 Every invoice is coded to exactly one cost centre and one account. Both follow from the "
        "category "
        "of the invoice alone; the table that is in force is the sheet Matrix of the workbook "
        "approval-matrix.xlsx. What the supplier or the buyer suggests is not decisive."
    ),
    Paragraph(
        "2.2 The cost centre Reserve is used only where the portal reports that the budget of a "
        "cost centre is "
        "used up, and it has a single account, Unplanned. The invoice is then submitted again with Reserve "
        "and Unplanned; "
        "approver and purchase order stay as they are."
    ),
    Paragraph(
        "2.3 An invoice is coded once. A wrong coding is corrected by the general ledger, not in the portal."
    ),
    Heading("3 Purchase orders"),
    Paragraph(
        "3.1 For suppliers without a framework contract (Contract: No) the number of the purchase order is "
        "entered, as it stands on the invoice's page. With a framework contract the field is left empty: a "
        "number entered there would block the remaining value of the order."
    ),
    Heading("4 Approval"),
    Paragraph(
        "4.1 An invoice is approved by the head who answers for its cost centre. The sheet Matrix names the "
        "function for every category. An invoice that goes to the reserve keeps its approver."
    ),
    Paragraph(
        f"4.2 The Head of administration is {HEADS[0].listed}, the Head of IT {HEADS[1].listed}, the Head of "
        f"operations {HEADS[2].listed}, the Head of sales {HEADS[3].listed}. Nobody approves an invoice "
        "that he or she has coded."
    ),
    Heading("5 Rejected invoices"),
    Paragraph(
        "5.1 An invoice that resembles an earlier one of the same supplier is held by the portal as "
        "a possible "
        "duplicate, and each of the two pages names the other invoice. The clerk compares the "
        "reference of the "
        "supplier and the amount of the two."
    ),
    Paragraph(
        "5.2 When both are equal, the held invoice is marked as a duplicate of the other. When they "
        "are not, it is "
        "reinstated with the reason: Different reference, Different amount, or Both differ."
    ),
    Heading("6 Payment details of suppliers"),
    Paragraph(
        "6.1 A change of bank account is entered only after a call to the contact person on the "
        "number we already "
        "hold, never on a number from the request. The call is confirmed in the portal (Called back)."
    ),
    Paragraph(
        "6.2 When the country of the new account, the first two letters of the IBAN, is not the supplier's "
        "country, payments are held for 30 days."
    ),
    Paragraph(
        "6.3 Payments are also held for 30 days when the risk score of the supplier, 0 to 9, is above 4. "
        "Otherwise there is no hold (None)."
    ),
    Paragraph(
        f"6.4 The rule goes back to the attempted fraud of May 2024, when a caller who claimed to be "
        f"{VENDORS[0].contact} of {VENDORS[0].name} asked {TOMAS.name} to redirect payments to "
        f"another account. {TOMAS.first} called {VENDORS[0].phone} and the attempt failed."
    ),
    Heading("7 People"),
    Grid(
        ("Name", "Function", "Employee number", "Phone", "Email"),
        tuple((e.listed, e.job, e.number, e.phone, e.mail) for e in EMPLOYEES),
    ),
)

MEMO: tuple[Block, ...] = (
    Heading("Memo: payment holds", 0),
    Paragraph(f"Date: {MEMO_DATE}. From: {PRIYA.name}, CFO. To: all accounts payable staff."),
    Paragraph(
        "1. The limit of the risk score in section 6.3 of the Accounts Payable Policy is raised from 4 to 6. "
        "Suppliers with a score of exactly 6 are paid without a hold."
    ),
    Paragraph("2. This memo supersedes section 6.3 of version 4.2. The holds are now:"),
    Grid(
        ("Country of the account", "Risk", "Hold"),
        (
            ("the supplier's", "up to and including 6", "None"),
            ("the supplier's", "above 6", "30 days"),
            ("another", "any", "30 days"),
        ),
    ),
    Paragraph(
        "3. Section 6.1 (the call) and section 6.2 (the country) stay as they are. The memo applies to "
        "everything entered from 1 March 2026."
    ),
    Paragraph(f"Signed: {PRIYA.name}. Contact for questions: {_contact(ELEANOR)}."),
)

MEMO_MAIL = f"""Dear all,

please find attached the memo on payment holds. In short: from 1 March 2026 we hold payments only from a
risk score of 7, so that {VIKTOR.first} has to explain fewer late payments. The rest of the policy stands.

{MARIA.name} has already changed her checklist; ask her for a copy ({MARIA.phone}).
{JONAS.short} and {AISHA.short}, please tell the temporary staff.

Kind regards
{PRIYA.name}
CFO, Meridian Supply
{PRIYA.phone} | {PRIYA.mail}
"""

PROCESS: tuple[Block, ...] = (
    Heading("Process description: from invoice to approval", 0),
    Paragraph(f"Version of {PROCESS_DATE}, written by {AISHA.name}, reviewed by {ELEANOR.short}."),
    Heading("Code and route an invoice"),
    Paragraph(
        "Find the invoice in the inbox by its number and open it. Read the category, the contract "
        "flag and the purchase order. Open Code, choose the cost centre, then the account: the list "
        "of accounts "
        "depends on the cost centre. Choose the approver, enter the PO number where the policy wants it, and "
        "submit. The portal confirms with the name of the function the invoice has been routed to."
    ),
    Heading("Resolve a rejected invoice"),
    Paragraph(
        "Open the held invoice and follow the link to the invoice it may duplicate. Compare "
        "reference and amount, "
        "go back and either mark it as a duplicate, entering the number of the other invoice, or "
        "reinstate it "
        "with the reason."
    ),
    Heading("Change the bank account of a vendor"),
    Paragraph(
        "Find the vendor, note country and risk score, call the contact person back, open Change bank, enter "
        "the IBAN, choose the hold and tick Called back. The portal refuses an IBAN whose check digits are "
        "wrong: compare it with the letter again."
    ),
    Heading("Who does what"),
    Grid(
        ("Step", "Done by", "Stand-in"),
        (
            ("Coding", f"{MARIA.short}, {TOMAS.short}", AISHA.short),
            ("Rejected invoices", AISHA.short, JONAS.short),
            ("Payment details", JONAS.short, MARIA.short),
            ("Questions on orders", ", ".join(b.short for b in BUYERS), ELEANOR.short),
        ),
    ),
    Paragraph(
        f"The buyer of a vendor is named on the vendor's page. {OSKAR.name} looks after {VENDORS[0].name} "
        f"(contact {VENDORS[0].contact}, {VENDORS[0].phone}, {VENDORS[0].mail}), {INGRID.name} after "
        f"{VENDORS[1].name} (contact {VENDORS[1].contact}), {DANIEL.name} after {VENDORS[2].name} "
        f"(contact {VENDORS[2].contact}, {VENDORS[2].mail})."
    ),
)

WIKI: tuple[Block, ...] = (
    Heading("Payables: questions and answers", 0),
    Paragraph(f"Last changed {WIKI_DATE} by {JONAS.listed}."),
    Heading("The portal says that the budget is used up"),
    Paragraph(
        "That is not an error of yours. Take the cost centre Reserve, account Unplanned, and "
        "submit again. "
        "Leave approver and PO number alone. Do not take Reserve before the portal has said so."
    ),
    Heading("The portal asks for a PO number"),
    Paragraph(
        "The supplier has no framework contract. Copy the PO number from the page of the invoice, "
        "not from the supplier's paper."
    ),
    Heading("Which cost centre has the category …?"),
    Paragraph(
        "Look into approval-matrix.xlsx, sheet Matrix. Categories look alike and are not: Freight "
        "and Packaging "
        "share a cost centre, but not the account."
    ),
    Heading("Whom do I call?"),
    Paragraph(
        f"Access to the portal: {MARIA.name}, {MARIA.mail}, extension {MARIA.extension}. Vendor master: "
        f"{INGRID.name} ({INGRID.mail}). {VENDORS[6].name} only answers to {VENDORS[6].contact}, "
        f"{VENDORS[6].phone}; "
        f"{VENDORS[11].contact} of {VENDORS[11].name} prefers mail ({VENDORS[11].mail}) and gets paid "
        f"to {VENDORS[11].iban}."
    ),
)

MATRIX_SHEET = Grid(
    ("Category", "Cost centre", "Account", "Approver"),
    tuple((category, *rest) for category, rest in MATRIX.items()),
)
APPROVER_SHEET = Grid(
    ("Function", "Name", "Employee number", "Email", "Phone"),
    tuple((person.job, person.listed, person.number, person.mail, person.phone) for person in HEADS),
)
VENDOR_SHEET = Grid(
    ("Number", "Vendor", "Country", "Contract", "Risk", "Contact", "Phone", "Email", "IBAN", "Buyer"),
    tuple(
        (
            v.number,
            v.name,
            v.country,
            "Yes" if v.contract else "No",
            str(v.risk),
            v.contact,
            v.phone,
            v.mail,
            v.iban,
            v.buyer.listed,
        )
        for v in VENDORS
    ),
)
