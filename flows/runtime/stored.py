"""Parameters that a server has stored, perhaps for an earlier version."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from unshapley.config import Params, parse_params
from unshapley.errors import InputError


def of_today(content: Any) -> Any:
    """Parameters as they are today; `InputError` for a key or value of another version.

    It is no `ValueError`, so it reaches the user as it is, without pydantic's words around it.
    """
    if content is None or isinstance(content, Params):
        return content
    try:
        return parse_params(content, "params")
    except InputError as error:
        raise InputError(
            error.what,
            where="the stored parameters, params",
            do="start a new run from the form; where a deployment or schedule holds them, correct "
            "them there. docs/parameters.md lists every key",
        ) from None


Stated = Annotated[Params, BeforeValidator(of_today)]
"""`Params` of a flow that a deployment may call years later."""
