"""
Find the function that is to be called, and say what it wants to be called with.
"""

from __future__ import annotations

import dis
import importlib
import inspect
import sys
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from headrace_automation.deferred import is_deferred
from headrace_automation.errors import RefusedError

Function = Callable[..., Awaitable[Any]]

_FOLDERS = {"api": "api", "create": "auth-sessions", "check": "auth-sessions"}
_NAMES = {"api": ("automation", "create", "check"), "create": ("create",), "check": ("check",)}
_SEES_ALL = frozenset({"locals", "vars", "eval", "exec"})
# MAKE_CELL and LOAD_CLOSURE mean that an inner function reads the variable.
_READING = ("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE", "LOAD_CLASSDEREF", "MAKE_CELL", "STORE_FAST_LOAD_FAST")
_PARAMETERS = ("params", "parameters", "_params")


def load(project: Path, kind: str, name: str) -> Function:
    """
    Import the file of a function and give the function.

    Raises:
        RefusedError: there is no such file or function, or it is not async.
        Exception: whatever the project's own code raises while it is imported.
    """
    folder = _FOLDERS[kind]
    file = _file_of(project, folder, name if kind == "api" else kind)
    dotted = ".".join(file.relative_to(project).with_suffix("").parts)
    _own(project, folder)
    module = importlib.import_module(dotted)
    for wanted in _NAMES[kind]:
        found = getattr(module, wanted, None)
        if found is not None:
            break
    else:
        raise RefusedError(
            "not-found",
            f"{folder}/{file.name} has no function {_NAMES[kind][0]}.",
            f"Write `async def {_NAMES[kind][0]}(page, params, **_)` there.",
        )
    if not inspect.iscoroutinefunction(found):
        raise RefusedError(
            "invalid", f"{wanted} in {file.relative_to(project)} is not an async function.", "Write `async def`."
        )
    return found  # type: ignore[no-any-return]  # a coroutine function, as was just seen


def _file_of(project: Path, folder: str, name: str) -> Path:
    parts = name.removeprefix("api/").split("/")
    if all(part and not part.startswith(".") and "\\" not in part and "\0" not in part for part in parts):
        base = project.joinpath(folder, *parts)
        file = base.with_name(f"{base.name}.py")
        if file.is_file():
            return file
    raise RefusedError(
        "not-found",
        f"The project has no {folder}/{name}.py.",
        "Check the name: the path below api/, without extension.",
    )


def _own(project: Path, folder: str) -> None:
    """
    See to it that the project's folder is what its name imports, even where an installed package has the same name.
    """
    if folder not in sys.modules and not (project / folder / "__init__.py").is_file():
        package = types.ModuleType(folder)
        package.__path__ = [str(project / folder)]
        sys.modules[folder] = package


def call(function: Function, page: Any, *parameters: Any, **named: Any) -> Awaitable[Any]:
    """
    Call with the page, then the parameters; only with these a function whose first argument is called `params`.

    An argument that is called `context` is the page's context, wherever it stands.

    Raises:
        RefusedError: the function wants more than that.
    """
    positional, rest = _positional(function)
    no_page = bool(parameters) and (_wants_no_page(positional) or is_deferred(function))
    given = parameters if no_page else (page, *parameters)
    if _takes_context(function):
        named["context"] = getattr(page, "context", None)
    if "context" in named and "context" in positional:
        given = given[: positional.index("context")]
    elif not rest:
        given = given[: len(positional)]
    _check(function, given, named)
    return function(*given, **named)


def _check(function: Function, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        inspect.signature(function, follow_wrapped=False).bind(*given, **named)
    except TypeError as error:
        arguments = "page" if function.__name__ == "check" else "page, params"
        raise RefusedError(
            "invalid",
            f"{function.__name__} wants other arguments than it is given: {error}.",
            f"Write `async def {function.__name__}({arguments}, **_)`.",
        ) from None


def uses_page(function: Function) -> bool:
    """
    Whether the function could ever read the page it is given, or its context; one that cannot needs no browser.

    Where that cannot be told (a decorator stands between, arguments are taken as a whole), it could.
    """
    if is_deferred(function):
        return False
    if inspect.unwrap(function) is not function or not inspect.isfunction(function):
        return True
    positional, rest = _positional(function)
    names = {"context"} if _takes_context(function) else set()
    if positional and not _wants_no_page(positional):
        names.add(positional[0])
    elif rest:
        return True
    code = function.__code__
    if names and _SEES_ALL & set(code.co_names):
        return True
    return any(_reads(instruction, name) for instruction in dis.get_instructions(code) for name in names)


def _reads(instruction: dis.Instruction, name: str) -> bool:
    # From Python 3.13 on one instruction may read two variables.
    value = instruction.argval
    return instruction.opname.startswith(_READING) and (name in value if isinstance(value, tuple) else value == name)


def _positional(function: Function) -> tuple[list[str], bool]:
    signature = inspect.signature(function).parameters.values()
    names = [one.name for one in signature if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return names, any(one.kind is one.VAR_POSITIONAL for one in signature)


def _takes_context(function: Function) -> bool:
    asked = inspect.signature(function).parameters
    if "context" not in asked or asked["context"].kind is inspect.Parameter.POSITIONAL_ONLY:
        return False
    outer = inspect.signature(function, follow_wrapped=False).parameters
    return "context" in outer or any(one.kind is one.VAR_KEYWORD for one in outer.values())


def _wants_no_page(positional: list[str]) -> bool:
    return bool(positional) and positional[0] in _PARAMETERS
