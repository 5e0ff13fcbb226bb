"""
Our helpers under the name that projects written for Intuned import.

A module of that name is served from here whether or not the vendor's package is installed: its helpers would speak to a program that is
not there. Only names that this package has are found; others are an ImportError that says so.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_NAMES = ("intuned_runtime", "runtime_helpers")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name in _NAMES else None

    def exec_module(self, module: ModuleType) -> None:
        import headrace_automation

        names = {name: getattr(headrace_automation, name) for name in headrace_automation.__all__}
        types = {
            "AttributeValue": Any,
            "EnsureBrowserFunction": headrace_automation.EnsureBrowser,
            "IntunedContext": headrace_automation.RunInfo,
        }
        module.__dict__.update(names, **types)
        module.__doc__ = headrace_automation.__doc__


def install() -> None:
    """
    Let the names be imported from here on.
    """
    sys.meta_path.insert(0, _Finder())
