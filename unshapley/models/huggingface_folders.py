"""Folders that Hugging Face's libraries save: a whole causal model, or the adapters of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unshapley.errors import InputError

ARCHITECTURE = "unshapley.models:huggingface"
ADAPTERS, WHOLE = "adapter_config.json", "config.json"
EXPECTED = (
    "a folder that model.save_pretrained(folder) wrote: config.json and model.safetensors of a "
    "causal model, or adapter_config.json and adapter_model.safetensors of LoRA adapters"
)


def arguments_of(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `huggingface` for the model of a folder; given: what the user states.

    Raises `InputError` for a folder that is none of them, and for adapters without a local base.
    """
    if not (folder / ADAPTERS).is_file():
        if not (folder / WHOLE).is_file():
            raise InputError("is no folder of a model", where=folder, expected=EXPECTED)
        return {"adapters": None, **given, "folder": str(folder)}
    config = _config(folder / ADAPTERS)
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none":
        raise InputError(
            f"holds adapters of type {config.get('peft_type')}, with bias {config.get('bias')}",
            where=folder / ADAPTERS,
            expected="LoRA adapters without biases of their own",
        )
    base = given.get("folder") or config.get("base_model_name_or_path")
    if not base or not Path(base).is_dir():
        raise InputError(
            f"the adapters belong to {base!r}, which is no folder here",
            where=folder / ADAPTERS,
            expected="the model that they were trained on, in a local folder",
            do='name it: --kwargs \'{"folder": "…"}\'',
        )
    rank = int(config["r"])
    return {
        "folder": str(base),
        "adapters": rank,
        "scale": config["lora_alpha"] / rank,
        "layers": config["target_modules"],
    }


def weights_of(folder: Path) -> Path:
    """The one file of the weights of a folder."""
    name = "adapter_model" if (folder / ADAPTERS).is_file() else "model"
    file = folder / f"{name}.safetensors"
    if file.is_file():
        return file
    shards = len(list(folder.glob("*.safetensors")))
    raise InputError(
        f"holds {shards} files of weights" if shards else f"{file.name} is missing",
        where=folder,
        expected=EXPECTED,
        do="save it in one: model.save_pretrained(folder, max_shard_size='100GB')",
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        int(content["r"]), float(content["lora_alpha"]), content["target_modules"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"no settings of adapters: {error}", where=path) from None
    found: dict[str, Any] = content
    return found
