"""What a playbook may say: a mission as a list of stages with their settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fde.errors import InputError, MissingError
from playbooks import stages, yamlfile
from playbooks.yamlfile import Lines

HERE = Path(__file__).resolve().parent
LIBRARY = HERE / "library"
NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class StageEntry(BaseModel):
    """One stage: what it is called, which kind of work it is, and the settings for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(pattern=NAME_PATTERN, max_length=60)
    uses: str
    settings: dict[str, Any] = Field(default_factory=dict, alias="with")


class NewEngagement(BaseModel):
    """The engagement a playbook makes when there is none: a folder, and the ``fde.toml`` for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(min_length=1)
    config: str = Field(min_length=1)


class Playbook(BaseModel):
    """A whole mission. Paths in it are relative to the folder of the toolkit's playbooks or to its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN, max_length=60)
    title: str = Field(min_length=1)
    about: str = ""
    engagement: NewEngagement | None = None
    stages: tuple[StageEntry, ...] = Field(min_length=1)


def load(name_or_path: str) -> tuple[Playbook, Path]:
    """Read and check a playbook.

    Args:
        name_or_path: A name of the library, or a path to a YAML file.

    Returns:
        The playbook, and the folder its paths are relative to.

    Raises:
        MissingError: when there is none of that name.
        InputError: naming the line of what is wrong.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return check(*yamlfile.read(path), source=str(path)), path.resolve().parent
    known = names()
    if name_or_path not in known:
        raise MissingError(
            f"There is no playbook '{name_or_path}'.", f"Known are: {', '.join(known)}. Or name a YAML file."
        )
    path = LIBRARY / f"{name_or_path}.yaml"
    return check(*yamlfile.read(path), source=str(path)), HERE


def names() -> list[str]:
    """The playbooks of the library."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def check(data: Any, lines: Lines, *, source: str) -> Playbook:
    """Check a playbook and every stage's settings.

    Raises:
        InputError: ``source, line N: …``.
    """
    if not isinstance(data, dict):
        raise InputError(f"{source}: not a playbook: it must begin with 'name:'.", "See: fde playbook list")
    try:
        playbook = Playbook.model_validate(data)
    except ValidationError as error:
        raise _complaint(error, (), lines, source, Playbook) from error
    seen: dict[str, int] = {}
    for index, entry in enumerate(playbook.stages):
        here = ("stages", index)
        line = lines.of((*here, "name"))
        if entry.name in seen:
            raise InputError(
                f"{source}, line {line}: stage '{entry.name}' is there already, on line {seen[entry.name]}.",
                "Give each stage a name of its own.",
            )
        kind = stages.KINDS.get(entry.uses)
        if kind is None:
            raise InputError(
                f"{source}, line {lines.of((*here, 'uses'))}: there is no kind of stage '{entry.uses}'.",
                f"Known are: {', '.join(stages.KINDS)}.",
            )
        try:
            settings = kind.settings.model_validate(entry.settings)
        except ValidationError as error:
            raise _complaint(error, (*here, "with"), lines, source, kind.settings) from error
        for needed in settings.after:
            if needed not in seen:
                raise InputError(
                    f"{source}, line {lines.of((*here, 'with'))}: stage '{entry.name}' needs '{needed}', "
                    "which is no stage before it.",
                    "Put it before, or correct the name.",
                )
        seen[entry.name] = line
    return playbook


def _complaint(
    error: ValidationError, prefix: tuple[str | int, ...], lines: Lines, source: str, model: type[BaseModel]
) -> InputError:
    # A misspelt key makes two complaints, "unknown" and "missing": the first tells more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    path = (*prefix, *(part for part in first["loc"] if isinstance(part, str | int)))
    told = ".".join(str(part) for part in path)
    hint = "Correct that line and run again."
    message = first["msg"]
    if first["type"] == "extra_forbidden":
        message = "there is no such key"
        owner: type[BaseModel] = model
        if not prefix and len(first["loc"]) > 1:
            owner = StageEntry if first["loc"][0] == "stages" else NewEngagement
        known = [field.alias or name for name, field in owner.model_fields.items()]
        hint = f"Known keys: {', '.join(known)}." if known else "This kind of stage has no settings."
    return InputError(f"{source}, line {lines.of(path)}: {told}: {message}.", hint)
