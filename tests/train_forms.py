"""An engagement with compiled forms and a tiny base model, to train in as the commands do."""

from __future__ import annotations

from pathlib import Path

from envgen_forms import appointment

from envgen.stage import build
from fde.engagement import Engagement


def forms(folder: Path, base: Path, *workflows: str) -> Engagement:
    """A new engagement in which each of these workflows is the appointment form."""
    made = Engagement.create(
        folder,
        f'[engagement]\nname = "Forms"\n[model]\nbase = "{base}"\n[envgen]\ndocuments = false\n',
    )
    compiled(made, *workflows)
    return made


def compiled(made: Engagement, *workflows: str) -> None:
    """Compile these, and no others any more."""
    run = made.run("redact", inputs={}, config={"workflows": list(workflows)})
    with made.working(run):
        for workflow in workflows:
            for recording in map(appointment, range(8)):
                named = recording.model_copy(
                    update={"workflow": workflow, "id": f"{workflow}-{recording.id}"}
                )
                run.write_json(f"recordings/{named.id}.json", named.model_dump(mode="json"))
        run.finish()
    build(made, accept_risk=dict.fromkeys(workflows, "a trial"))
