"""Which of our files each stage of dvc.yaml runs, by their imports; writes them into dvc.yaml.

What only prints (the command line) or only coordinates (locks) decides nothing of an output.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
from ruamel.yaml import YAML

HOME = Path(__file__).resolve().parent.parent
ENTRIES = {"prepare": "unshapley.data.preparation", "pretrain": "flows.pretrain"}
"""The module that a stage's command calls; the valuation stage depends on all of our code."""
PACKAGES = ("unshapley", "tasks", "flows")


def code_of(stage: str) -> list[str]:
    """Paths of the files that a stage imports, sorted."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    modules = {ENTRIES[stage], *graph.find_upstream_modules(ENTRIES[stage])}
    return sorted(path for module in modules if (path := _path(module)))


def _path(module: str) -> str | None:
    """A module's file; None for a package that says nothing but what it is."""
    file = HOME / f"{module.replace('.', '/')}.py"
    if file.is_file():
        return file.relative_to(HOME).as_posix()
    package = HOME / module.replace(".", "/") / "__init__.py"
    return package.relative_to(HOME).as_posix() if "import" in package.read_text() else None


def stated(content: dict, stage: str) -> list[str]:
    """The Python files among the dependencies of a stage."""
    return [name for name in content["stages"][stage]["deps"] if name.endswith(".py")]


def write() -> None:
    """Put the files of every stage into dvc.yaml."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 200
    path = HOME / "dvc.yaml"
    content = yaml.load(path)
    for stage in ENTRIES:
        deps = content["stages"][stage]["deps"]
        data = [name for name in deps if not name.endswith(".py")]
        content["stages"][stage]["deps"] = [*data, *code_of(stage)]
    yaml.dump(content, path)


if __name__ == "__main__":
    sys.path.insert(0, str(HOME))
    write()
