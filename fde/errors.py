"""Errors that carry what happened, with which value, and the next command.

Every error of the toolkit is an :class:`FdeError` and also one of Python's
standard errors, so that library users can catch either.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

# Exit code of what Ctrl-C ended; the command line library's own.
INTERRUPTED = 130


class FdeError(Exception):
    """An error meant for a person: shown without a traceback.

    Args:
        message: What happened, naming the thing and the offending value.
        hint: What to do next, preferably a command. May be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(FdeError, ValueError):
    """Wrong usage or bad input: exit code 2, nothing was changed."""

    exit_code = 2


class MissingError(InputError, LookupError):
    """Something that must be there first is not: a file, a model, a stage."""


class WorkError(FdeError, RuntimeError):
    """The work was attempted and failed, or missed a bar: exit code 1."""


class LeakError(WorkError):
    """Personal data would have left the redacted side; nothing was published."""


def first_fault(error: ValidationError) -> str:
    """Where the first thing stands that is wrong, and what is wrong with it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def explain_os_error(error: OSError) -> InputError | None:
    """The message for an error of the machine that a person can mend; None for other errors."""
    where = os.fspath(error.filename) if isinstance(error.filename, str | os.PathLike) else ""
    at = f" ({where})" if where else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(
            f"The disk is full{at}: {error.strerror}.",
            "Nothing that was finished is lost. Free some space and run the same command to go on.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"Not permitted{at}: {error.strerror}.", "Check who owns the folder and run again.")
    if error.errno == errno.EMFILE:
        return InputError("Too many open files.", "Raise the limit with: ulimit -n 4096")
    return None
