"""
From Python values to the JSON that the server keeps.
"""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> bytes:
    """
    Give *value* as compact UTF-8 JSON; models of pydantic are written under their aliases.

    Raises:
        ValueError: it cannot be written: a type that JSON has not, NaN, infinity, half of a surrogate pair, a circle, or too deep.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it has half of a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json", by_alias=True)
    raise TypeError(f"{type(value).__name__} is no JSON value")
