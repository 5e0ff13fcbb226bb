"""
structlog, imported without the rich that it would bring along: 5 MB in every process, for traces in colours that the server never prints.

To be imported before anything that imports structlog. Whoever needs rich itself imports it as ever.
"""

from __future__ import annotations

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # the documented way to have an import fail
    try:
        import structlog as structlog
    finally:
        del sys.modules["rich"]
