"""Start the portal: ``python -m playbooks.quickstart.app --db payables.db --port 8080``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fde.errors import FdeError
from playbooks.quickstart import company
from playbooks.quickstart.app import seed_database, serve


def main() -> int:
    """Serve until interrupted; the address is printed on stdout."""
    parser = argparse.ArgumentParser(prog="python -m playbooks.quickstart.app", description=__doc__)
    parser.add_argument("--db", type=Path, required=True, help="the portal's database")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 picks a free one")
    parser.add_argument(
        "--seed", type=int, help="make the database from this seed when it does not exist yet"
    )
    options = parser.parse_args()
    try:
        if options.seed is not None and not options.db.exists():
            seed_database(options.db, options.seed)
        portal, url = serve(options.db, options.port)
    except FdeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(url, flush=True)
    print(f"Sign in as {company.CLERKS[0].user}, password {company.PASSWORD}. Ctrl+C ends.", file=sys.stderr)
    try:
        portal.join()
    except KeyboardInterrupt:
        return 130
    finally:
        portal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
