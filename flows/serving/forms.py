"""The form of a deployment: what its flow takes, with this project's own settings filled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from prefect import Flow
from prefect.utilities.callables import parameter_schema

from unshapley.config import Params


def form_of(
    flow: Flow[..., Any], allowed: Mapping[str, list[Any]], params: Params | None = None
) -> dict[str, Any]:
    """The JSON schema of a flow's parameters, as Prefect's server checks and shows it.

    allowed: parameters that take one of these values only; params: the defaults of `params`, if the
    flow takes them.
    """
    form = copy.deepcopy(parameter_schema(flow).model_dump(exclude_unset=True))
    for name, values in allowed.items():
        stated = form["properties"][name]
        described = {k: stated[k] for k in ("title", "description", "position") if k in stated}
        form["properties"][name] = {**described, "enum": values, "default": values[0]}
    if "revision" in form["properties"]:  # what was found for a name is for our own calls
        form["properties"]["revision"]["anyOf"] = [{"type": "string"}, {"type": "null"}]
        form["definitions"].pop("Revision")
    if params is not None and "params" in form["properties"]:
        _fill(form, params)
    return form


def _fill(form: dict[str, Any], params: Params) -> None:
    """Put the values of params.yaml where the model's defaults stand."""
    content = params.model_dump(mode="json")
    stated = form["properties"]["params"]
    reference = stated.pop("anyOf")[0]["$ref"]
    stated |= {"allOf": [{"$ref": reference}], "default": content}
    _defaults(form["definitions"], reference, content)


def _defaults(definitions: dict[str, Any], reference: str, content: Mapping[str, Any]) -> None:
    """Every section is a model of its own, used once, so its defaults can be the project's."""
    for key, schema in definitions[reference.rsplit("/", 1)[1]]["properties"].items():
        schema["default"] = content[key]
        inner = schema.get("$ref") or (schema.get("allOf") or [{}])[0].get("$ref")
        if inner and isinstance(content[key], Mapping):
            _defaults(definitions, inner, content[key])
