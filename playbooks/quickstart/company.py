"""Who and what Meridian Supply is: people, vendors, chart of accounts, categories.

Names, numbers and addresses are made up; telephone numbers come from ranges set aside
for fiction where a country has one, bank codes are not in use, mail goes to ``.example``.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME = "Meridian Supply"
MAIL_DOMAIN = "meridian-supply.example"

COST_CENTRES: dict[str, tuple[str, ...]] = {
    "Administration": ("Office rent", "Office supplies", "Postage"),
    "IT": ("Licences", "Data lines", "Equipment"),
    "Facilities": ("Guarding", "Cleaning", "Waste"),
    "Management": ("Audit fees", "Legal fees", "Advice"),
    "Logistics": ("Packaging", "Storage", "Carriage"),
    "Marketing": ("Adverts", "Fairs", "Gifts"),
    "Sales": ("Phones", "Cars", "Travel"),
    "Maintenance": ("Spare parts", "Repairs", "Inspection"),
    "Reserve": ("Unplanned",),
}
"""Cost centre -> the accounts that may be booked on it."""

RESERVE_COST_CENTRE = "Reserve"

MATRIX: dict[str, tuple[str, str, str]] = {
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
"""Category -> cost centre, account and approver, as in the approval matrix."""

APPROVERS = ("Head of administration", "Head of IT", "Head of operations", "Head of sales")
REINSTATE_REASONS = ("Different reference", "Different amount", "Both differ")
HOLDS = ("None", "30 days")


@dataclass(frozen=True, slots=True)
class Employee:
    """Someone who works at Meridian Supply."""

    first: str
    last: str
    job: str
    number: str
    extension: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def short(self) -> str:
        """As the portal shows who is signed in: ``M. Lindqvist``."""
        return f"{self.first[0]}. {self.last}"

    @property
    def listed(self) -> str:
        """As in lists: ``Lindqvist, Maria``."""
        return f"{self.last}, {self.first}"

    @property
    def mail(self) -> str:
        plain = f"{self.first}.{self.last}".lower().replace("á", "a").replace("ö", "o")
        return f"{plain}@{MAIL_DOMAIN}"

    @property
    def user(self) -> str:
        """Log-in name in the portal."""
        return self.mail.partition("@")[0]

    @property
    def phone(self) -> str:
        return f"+49 30 23125 {self.extension}"


CLERKS = (
    Employee("Maria", "Lindqvist", "Accounts payable clerk", "MS-00417", "417"),
    Employee("Tomás", "Herrera", "Accounts payable clerk", "MS-00522", "522"),
    Employee("Aisha", "Rahman", "Accounts payable clerk", "MS-00538", "538"),
    Employee("Jonas", "Whitfield", "Accounts payable clerk", "MS-00561", "561"),
)
MANAGERS = (
    Employee("Eleanor", "Brandt", "Team lead accounts payable", "MS-00203", "203"),
    Employee("Viktor", "Sandoval", "Head of finance", "MS-00118", "118"),
    Employee("Priya", "Natarajan", "CFO", "MS-00012", "112"),
)
HEADS = (
    Employee("Samuel", "Okonkwo", "Head of administration", "MS-00109", "109"),
    Employee("Lucia", "Moretti", "Head of IT", "MS-00127", "127"),
    Employee("Henrik", "Solberg", "Head of operations", "MS-00131", "131"),
    Employee("Helen", "Fairbanks", "Head of sales", "MS-00142", "142"),
)
BUYERS = (
    Employee("Oskar", "Dahl", "Buyer", "MS-00344", "344"),
    Employee("Ingrid", "Castellanos", "Buyer", "MS-00359", "359"),
    Employee("Daniel", "Mbeki", "Buyer", "MS-00371", "371"),
)
EMPLOYEES = CLERKS + MANAGERS + HEADS + BUYERS

PASSWORD = "meridian-sample"
"""Password of every clerk in the sample database. It guards made-up data on the loopback address."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A supplier in the vendor master.

    Attributes:
        country: ISO 3166 alpha-2.
        contract: Whether a framework contract is in force.
        risk: The score of the risk check, 0 to 9.
    """

    number: str
    name: str
    country: str
    contract: bool
    risk: int
    contact: str
    phone: str
    iban: str
    buyer: Employee

    @property
    def mail(self) -> str:
        first, _, last = self.contact.rpartition(" ")
        domain = "".join(letter for letter in self.name.lower() if letter.isalpha())
        plain = f"{first[0]}.{last}".lower()
        return f"{plain}@{domain}.example"


IBAN_LENGTH = {"DE": 22, "AT": 20, "NL": 18, "BE": 16}
_IBAN_PREFIX = {"DE": "", "AT": "", "NL": "MERI", "BE": ""}
_PHONE = {
    "DE": "+49 30 23125 6{:02d}",
    "AT": "+43 1 555 01{:02d}",
    "NL": "+31 85 555 01{:02d}",
    "BE": "+32 2 555 01{:02d}",
}


def make_iban(country: str, digits: int) -> str:
    """A well-formed IBAN (ISO 13616, check digits by ISO 7064 mod 97-10) of a made-up account."""
    prefix = _IBAN_PREFIX[country]
    length = IBAN_LENGTH[country] - 4 - len(prefix)
    body = prefix + f"{digits:0{length}d}"[-length:]
    check = 98 - iban_remainder(f"{country}00{body}")
    return f"{country}{check:02d}{body}"


def iban_remainder(iban: str) -> int:
    """ISO 7064 remainder of an IBAN: 1 for a valid one."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97


_VENDOR_ROWS = (
    ("Harbor Paper", "DE", False, 6, "Lena Okafor"),
    ("Cedar Logistics", "NL", True, 3, "Pieter Vandermeer"),
    ("Northwind Office", "DE", False, 4, "Sabine Kellermann"),
    ("Bluestone Software", "NL", False, 7, "Ruben Achterberg"),
    ("Falcon Freight", "DE", True, 2, "Anton Weissbach"),
    ("Juniper Cleaning", "AT", False, 6, "Clara Hohenfels"),
    ("Granite Security", "DE", True, 6, "Nadia Petrov"),
    ("Alder Consulting", "BE", False, 7, "Luc Delacroix"),
    ("Summit Legal", "AT", False, 8, "Matthias Eberling"),
    ("Copper Media", "DE", True, 8, "Yusuf Demirel"),
    ("Willow Travel", "BE", False, 8, "Amelie Fontaine"),
    ("Anchor Repairs", "NL", True, 2, "Joost Hendriksen"),
    ("Maple Packaging", "DE", False, 0, "Greta Ostermann"),
    ("Orchid Print", "AT", True, 6, "Stefan Lindner"),
    ("Beacon Systems", "DE", False, 5, "Carmen Vidal"),
    ("Quarry Supplies", "BE", True, 4, "Hugo Mertens"),
    ("Silverline Cargo", "NL", False, 1, "Fatima Elbaz"),
    ("Meadow Hygiene", "DE", True, 9, "Ulrike Sommerfeld"),
    ("Tidewater Partners", "DE", False, 9, "Marcus Oyelaran"),
    ("Lantern Studio", "NL", False, 5, "Emma Kuipers"),
    ("Redwood Hardware", "AT", True, 3, "Florian Gruber"),
    ("Pioneer Tools", "DE", False, 7, "Helga Brinkmann"),
    ("Skyway Tours", "BE", True, 7, "Nicolas Lambert"),
    ("Keystone Advisory", "DE", False, 5, "Simone Falk"),
)

VENDORS = tuple(
    Vendor(
        number=f"V-{1001 + 7 * i}",
        name=name,
        country=country,
        contract=contract,
        risk=risk,
        contact=contact,
        phone=_PHONE[country].format(i),
        iban=make_iban(country, 7_310_000_000 + 104_729 * (i + 1)),
        buyer=BUYERS[i % len(BUYERS)],
    )
    for i, (name, country, contract, risk, contact) in enumerate(_VENDOR_ROWS)
)


def money(cents: int) -> str:
    """An amount as the portal and the documents write it: ``4,120.35``."""
    return f"{cents / 100:,.2f}"
