"""
Files of a form: `multipart/form-data` (RFC 7578), whose body is in memory already and no longer than the server's limit.
"""

from __future__ import annotations

from email.message import Message
from email.parser import HeaderParser

from headrace.core.errors import InvalidError

_WRONG = "The body is no form with files."
_RIGHT = "Send multipart/form-data, as a browser's form does."


def files_of(body: bytes, content_type: str) -> dict[str, bytes]:
    """
    Give the files of a form by their names, paths in front of them left out; of two of one name the later.

    Raises:
        InvalidError: it is no such form, or has no file.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise InvalidError(_WRONG, _RIGHT)
    # The first boundary may open the body; every other one follows a line end, which is not part of the content.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii", "replace"))
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise InvalidError(_WRONG, _RIGHT)
    found = dict(file for piece in pieces[1:-1] if (file := _file(piece)))
    if not found:
        raise InvalidError("The form has no file.", _RIGHT)
    return found


def _file(piece: bytes) -> tuple[str, bytes] | None:
    """
    Read one part; None for a field that is no file.
    """
    headers, separator, content = piece.partition(b"\r\n\r\n")
    if not separator:
        raise InvalidError(_WRONG, _RIGHT)
    name = HeaderParser().parsestr(headers.strip().decode("utf-8", "replace")).get_filename()
    return (name.replace("\\", "/").rsplit("/", 1)[-1], content) if name else None
