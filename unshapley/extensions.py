"""Objects of the user's own: named by import path, or installed under an entry point.

An import path is 'package.module:name'. Groups of entry points: `unshapley.unlearners`,
`unshapley.estimators`, `unshapley.utilities`; CONTRIBUTING.md shows one of each.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from unshapley.errors import InputError, OwnCodeError
from unshapley.files import digest, sha256

T = TypeVar("T")
_PROJECTS: set[str] = set()
"""Folders of projects that are looked into, for messages."""
WORK = ".unshapley"
"""Folder of a project in which an audit has its work tree, which nobody puts a file into."""


def look_in(folder: Path) -> None:
    """Import what is named by import path from a project's folder too, after all other places."""
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.append(path)
    _PROJECTS.add(path)


def is_import_path(name: str) -> bool:
    """Whether a name stands for an object of the user's own."""
    return ":" in name


def import_object(path: str, what: str, where: str) -> Any:
    """Import 'package.module:name'; `OwnCodeError` where that fails.

    what: the kind of object, for messages; where: the parameter that names it.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 (importing runs the user's code: anything may come)
        lasting = [path for path in sorted(_PROJECTS) if WORK not in Path(path).parts]
        projects = " or ".join(lasting) or "the project"
        raise OwnCodeError(
            f"{what} {path!r} cannot be imported: {describe_exception(error)}",
            where=where,
            expected="the name of an importable object, 'package.module:name'",
            do=f"install its package, put its file into {projects}, or its folder on PYTHONPATH",
        ) from None


def find(name: str, built_in: Mapping[str, T], what: str, where: str, purpose: str = "") -> T | Any:
    """The object that `name` stands for: a built-in one, one by import path, or an installed one.

    what: 'unlearner', 'estimator' or 'utility', whose plural names the group of entry points;
    purpose: what it must serve, for the message. Raises `InputError` for a name that stands for
    nothing.
    """
    if name in built_in:
        return built_in[name]
    if is_import_path(name):
        return import_object(name, what, where)
    installed = installed_objects(what, built_in)
    if name in installed:
        return import_object(installed[name], what, where)
    raise InputError(
        f"there is no {what} {name!r}{purpose}",
        where=where,
        expected=f"one of {', '.join([*built_in, *installed])}, or your own as "
        f"'package.module:{'function' if what == 'utility' else 'Class'}'",
    )


def installed_objects(what: str, built_in: Mapping[str, Any]) -> dict[str, str]:
    """Import path by name of what other packages have installed for this kind of object.

    Raises `InputError` for two of the same name.
    """
    group = f"unshapley.{plural(what)}"
    paths: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=group):
        if paths.get(point.name) == point.value:  # one package, met twice on sys.path
            continue
        if point.name in built_in or point.name in paths:
            other = paths.get(point.name, "one that comes with unshapley")
            raise InputError(
                f"two {plural(what)} are called {point.name!r}: {point.value} and {other}",
                where=f"entry points of the group {group}",
                expected="every name once",
                do="rename one of them, or remove the package that you do not need",
            )
        paths[point.name] = point.value
    return paths


def plural(what: str) -> str:
    """'utility' → 'utilities'."""
    return f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"


def source_of(path: str, target: Any) -> str:
    """Hex SHA-256 of the source of an imported object.

    It covers the module that the path states and the one that defines the object, but not what
    these import.
    """
    module = path.partition(":")[0]
    files = {
        name: getattr(sys.modules.get(name), "__file__", None)
        for name in {module, getattr(target, "__module__", None) or module}
    }
    return digest({n: sha256(Path(f)) if f else _text_of(target) for n, f in files.items()})


def _text_of(target: Any) -> str:
    """The source of an object whose module is no file, as in a notebook."""
    try:
        return inspect.getsource(target)
    except (OSError, TypeError):
        return "built in"


def path_of(target: Any, what: str, where: str) -> str:
    """The import path by which an object of the user's program is found again.

    what: the kind of object, for messages. Raises `InputError` for one that its module does not
    know by its name, as a lambda.
    """
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    if module is None or getattr(sys.modules.get(module), name, None) is not target:
        raise InputError(
            f"{what} {name or target!r} is not found by its name in its module",
            where=where,
            expected="a function or class defined at the top of a module or notebook",
        )
    return f"{module}:{name}"


def check_parameters_of(function: Any, names: tuple[str, ...], path: str, where: str) -> None:
    """Raise `InputError` for a function that cannot be called with so many positional arguments.

    names: of the arguments, for the message.
    """
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        raise InputError(
            f"{path} cannot be called with ({', '.join(names)}): {error}",
            where=where,
            expected=f"a function of {', '.join(names)}",
        ) from None
    except ValueError:  # one in C without a signature: calling it will tell
        return


def describe_exception(error: Exception) -> str:
    """An exception of the user's code in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
