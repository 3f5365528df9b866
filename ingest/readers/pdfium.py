"""The functions of pdfium that are asked for every letter and every object of a page.

pypdfium2 declares them with types of pointers and gives the interpreter's lock away for each call; asked
ten thousand times a page, that takes longer than the answers. Here handles and places for answers are
addresses, as numbers, and the lock is kept: pdfium bears no second thread anyway.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

_HANDLE, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_ulong


class Functions(NamedTuple):
    """pdfium's functions by their names there, less the prefix."""

    page_object: Callable[..., int | None]  # page, index
    form_object: Callable[..., int | None]  # form, index
    object_type: Callable[..., int]  # object
    loose_box: Callable[..., int]  # text page, index, FS_RECTF
    font_size: Callable[..., float]  # text page, index
    matrix: Callable[..., int]  # text page, index, FS_MATRIX
    font_info: Callable[..., int]  # text page, index, characters, their number, flags


@cache
def functions() -> Functions:
    """The functions, declared once."""
    import pypdfium2.raw as raw

    def declared(function: Any, result: Any, *arguments: Any) -> Any:
        return ctypes.PYFUNCTYPE(result, *arguments)(address(function))

    return Functions(
        declared(raw.FPDFPage_GetObject, _HANDLE, _HANDLE, _INT),
        declared(raw.FPDFFormObj_GetObject, _HANDLE, _HANDLE, _LONG),
        declared(raw.FPDFPageObj_GetType, _INT, _HANDLE),
        declared(raw.FPDFText_GetLooseCharBox, _INT, _HANDLE, _INT, _HANDLE),
        declared(raw.FPDFText_GetFontSize, ctypes.c_double, _HANDLE, _INT),
        declared(raw.FPDFText_GetMatrix, _INT, _HANDLE, _INT, _HANDLE),
        declared(raw.FPDFText_GetFontInfo, _LONG, _HANDLE, _INT, _HANDLE, _LONG, _HANDLE),
    )


def address(handle: Any) -> int:
    """Where a handle of pypdfium2 points to."""
    return ctypes.cast(handle, _HANDLE).value or 0
