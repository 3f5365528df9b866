"""Payables, the accounts-payable portal of the sample company: a small real web application.

Server-rendered pages over an SQLite database; see :func:`serve` and :func:`seed_database`.
"""

from playbooks.quickstart.app.seed import Wanted, seed_database
from playbooks.quickstart.app.web import Portal, serve

__all__ = ["Portal", "Wanted", "seed_database", "serve"]
