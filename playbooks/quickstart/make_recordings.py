"""Record the sample company's experts: ``python -m playbooks.quickstart.make_recordings``.

For every plan the portal is started over a fresh database and an expert works in headless
Chromium under the recorder. Only work that the hand-written truth finds right is kept. A
recording that is already there is left alone unless ``--again`` is given, so that an
interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fde.artifacts import write_bytes
from fde.errors import FdeError, WorkError
from ingest.browser import launch
from ingest.recorder import SCRIPT_PAUSE_MS, record
from playbooks.quickstart import company, truth
from playbooks.quickstart.app import seed_database, serve
from playbooks.quickstart.experts import perform, sign_in
from playbooks.quickstart.plans import WORKFLOWS, Plan, recorded_plans

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parent / "recordings"


def make_recordings(
    folder: Path = FOLDER, *, workflows: Sequence[str] = WORKFLOWS, again: bool = False
) -> Iterator[Path]:
    """Record every plan of ``workflows`` as ``folder/<workflow>/NN.fderec``.

    Yields:
        Each file once it is there.

    Raises:
        InputError: when a workflow is unknown.
        WorkError: when an expert failed, or did the work wrongly.
    """
    planned = [
        (folder / workflow / f"{number:02d}.fderec", number, plan)
        for workflow in workflows
        for number, plan in enumerate(recorded_plans(workflow), 1)
    ]
    wanted = [(path, number, plan) for path, number, plan in planned if again or not path.exists()]
    if not wanted:
        return
    with launch(slow_mo_ms=SCRIPT_PAUSE_MS) as browser:
        for path, number, plan in wanted:
            clerk = company.CLERKS[number % len(company.CLERKS)]
            _record(path, plan, f"{plan.workflow}-{number:02d}", clerk, browser)
            yield path


def _record(path: Path, plan: Plan, name: str, clerk: company.Employee, browser: Browser) -> None:
    """One recording; what goes wrong leaves no file."""
    with tempfile.TemporaryDirectory(prefix="fde-recording-") as folder:
        database, before, made = (Path(folder) / part for part in ("portal.db", "before.db", "made.fderec"))
        seed_database(database, plan.seed, wanted=plan.wanted, wanted_vendors=plan.wanted_vendors)
        shutil.copyfile(database, before)
        portal, url = serve(database)

        def work(page: Page) -> None:
            sign_in(page, url, clerk)
            perform(page, plan)

        try:
            record(
                url,
                made,
                workflow=plan.workflow,
                instruction=plan.instruction,
                script=work,
                headless=True,
                recording_id=name,
                browser=browser,
            )
        finally:
            portal.close()
        right, reasons = truth.judge(before, database, plan.workflow, plan.parameters)
        if not right:
            raise WorkError(f"The expert of {name} did the work wrongly: {'; '.join(reasons)}")
        write_bytes(path, made.read_bytes())


def main() -> int:
    """Make the recordings and print their paths."""
    parser = argparse.ArgumentParser(
        prog="python -m playbooks.quickstart.make_recordings", description=__doc__
    )
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("--workflow", action="append", choices=WORKFLOWS, help="only this one; repeatable")
    parser.add_argument("--again", action="store_true", help="also those that are already there")
    options = parser.parse_args()
    try:
        for path in make_recordings(options.to, workflows=options.workflow or WORKFLOWS, again=options.again):
            print(path, flush=True)
    except FdeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
