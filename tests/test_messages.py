"""What messages name is there: keys of params.yaml, commands, exit codes."""

import ast
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.cli import app
from tests.cli import unshapley
from unshapley import errors
from unshapley.config import Params

HOME = Path(__file__).resolve().parent.parent
SECTIONS = "|".join(Params.model_fields)
DOTTED = re.compile(rf"(?<![\w./-])(?:{SECTIONS})\.[a-z_]+(?:\.[a-z_]+)*(?![\w(/])")
SET = re.compile(r"\bset ([a-z_.]+)(?::| to )")
ENDINGS = {"csv", "html", "json", "md", "parquet", "svg", "yaml", "safetensors"}


def texts_of_errors():
    """File and text of every string in a call that makes an error."""
    for folder in ("unshapley", "tasks", "flows"):
        for path in sorted((HOME / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                    texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
                    for text in texts:
                        if isinstance(text, str):
                            yield path.relative_to(HOME).as_posix(), text


def is_key(name: str) -> bool:
    model: object = Params
    for part in name.split("."):
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return True  # an entry of a mapping, whose keys are free
        if part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def test_errors_name_keys_that_exist():
    unknown = []
    for file, text in texts_of_errors():
        named = DOTTED.findall(text)
        named += [name for name in SET.findall(text) if name != "it"]
        unknown += [(file, n) for n in named if n.split(".")[-1] not in ENDINGS and not is_key(n)]
    assert unknown == []
    assert is_key("valuation.estimator")
    assert not is_key("semivalue")


def test_errors_name_commands_that_exist():
    commands = {command.name for command in app.registered_commands}
    named = {
        (file, name)
        for file, text in texts_of_errors()
        for name in re.findall(r"`unshapley ([a-z-]+)", text)
    }
    assert len(named) > 10
    assert {name for _, name in named} <= commands


@pytest.mark.parametrize("command", ["", "verify"])
def test_exit_codes_are_in_the_help(command):
    text = " ".join(unshapley(*command.split(), "--help").stdout.split())
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.UnshapleyError)}
    for code in sorted(codes) if not command else (4, 5):
        assert re.search(rf"\b{code}[ :]", text), code
