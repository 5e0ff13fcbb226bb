"""
What is refused before a service is asked.
"""

from __future__ import annotations

from headrace.core.errors import CallerError, FatalError, NotFoundError


class NoSuchPathError(NotFoundError):
    """Nothing answers at this path."""

    code = "no-such-path"


class MethodError(CallerError):
    """The path exists and does not take this method."""

    code = "method-not-allowed"


class EncodingError(CallerError):
    """The body is encoded in a way that the server does not read."""

    code = "unsupported-encoding"


class InternalError(FatalError):
    """Something that nobody planned; the trace is in the server's log under the request's id."""

    code = "internal"
