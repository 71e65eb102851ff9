"""Causal language models from a local Hugging Face folder, whole or by LoRA adapters."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unshapley.data.embedding import quiet
from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.huggingface_folders import ADAPTERS

log = logging.getLogger("unshapley.models")

WHERE = "pretrain.kwargs.folder"
EXPECTED = "a local folder with config.json and *.safetensors"
INSTALL = "pip install 'unshapley[llm]'"
RUNS_CODE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Suffixes of files that run code when they are read."""


class CausalModel(nn.Module):
    """A model of transformers: tokens `(rows, context)` to logits `(rows, context, vocabulary)`.

    What is not trained stays outside of its state: a checkpoint holds the adapters alone, and
    copies share the base.
    """

    standardise: ClassVar[None] = None

    def __init__(self, inner: nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.inner, self.vocabulary = inner, vocabulary
        _frozen_as_buffers(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(input_ids=x.long(), use_cache=False).logits
        return logits[..., : self.vocabulary]

    def own_names(self, state: State) -> State:
        """Tensors of a file of transformers or peft under the names that they have here; a head
        that shares the weights of the tokens gets a copy.
        """
        left, out = dict(state), State()
        for name in self.state_dict():
            plain = name.removeprefix("inner.").replace(".default.", ".")
            tied = plain.replace("lm_head.", "model.embed_tokens.")
            source = next((n for n in (name, plain, tied) if n in state), None)
            if source is not None:
                out[name] = state[source]
                left.pop(source, None)
        return {**left, **out}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert what has two names once: torch would make two tensors of it."""
        made: dict[int, tuple[Tensor, Tensor]] = {}

        def once(tensor: Tensor) -> Tensor:
            if id(tensor) not in made:  # which is kept, or another could get its number
                made[id(tensor)] = tensor, fn(tensor)
            return made[id(tensor)][1]

        converted: Self = super()._apply(once, recurse)  # type: ignore[no-untyped-call]
        return converted

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        state = {id(tensor) for tensor in self.state_dict(keep_vars=True).values()}
        base = [tensor for tensor in self.buffers() if id(tensor) not in state]
        memo.update({id(tensor): tensor for tensor in base})
        copy = type(self).__new__(type(self))
        memo[id(self)] = copy
        copy.__dict__.update(deepcopy(self.__dict__, memo))
        return copy


def huggingface(
    in_features: int,
    classes: int,
    folder: str,
    adapters: int | None = 8,
    scale: float = 2.0,
    layers: Sequence[str] | str = "all-linear",
    dtype: str = "float32",
) -> nn.Module:
    """A causal language model of a local folder, `unshapley.models:huggingface`.

    folder: holds config.json and *.safetensors; adapters: rank of the LoRA
    adapters that are trained while the model stays as it is, or None to train all of it (Hu et al.,
    "LoRA: Low-Rank Adaptation of Large Language Models", 2021); scale: of their product, in ranks;
    layers: that get one; dtype: of the base. Needs `unshapley[llm]`. Raises `InputError` for a
    folder that is none, wants code of its own, or holds pickles only, and for another vocabulary or
    a shorter context than the data's.
    """
    path = Path(folder)
    check_folder(path)
    if adapters is not None and adapters < 1:
        raise InputError(
            f"adapters of rank {adapters}",
            where="pretrain.kwargs.adapters",
            expected="1 or more, or null to train all of the model",
        )
    model = _load(path, getattr(torch, dtype))
    _check_sizes(path, model.config, in_features, classes)
    if adapters is None:
        _untie(model)
        return CausalModel(model, classes)
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapters,
        lora_alpha=int(scale * adapters),
        lora_dropout=0.0,
        target_modules=layers if isinstance(layers, str) else list(layers),
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's own
            return CausalModel(get_peft_model(model, config), classes)
    except ValueError as error:
        raise InputError(
            f"no adapters can be added: {error}", where="pretrain.kwargs.layers"
        ) from None


def folder_of(kwargs: Mapping[str, Any]) -> Path:
    """The folder that arguments of `huggingface` name; `InputError` where they name none."""
    folder = kwargs.get("folder")
    if not isinstance(folder, str | Path) or not str(folder):
        raise InputError(
            "names no folder of a model" if folder is None else f"folder is {folder!r}",
            where="pretrain.kwargs",
            expected=EXPECTED,
            do="set pretrain.kwargs: {folder: …}",
        )
    return Path(folder)


def files_of(kwargs: Mapping[str, Any]) -> list[Path]:
    """The files that decide what `huggingface` gives, beside its arguments."""
    folder = Path(kwargs["folder"])
    return sorted(p for p in folder.glob("*") if p.suffix in (".safetensors", ".json"))


huggingface.reads = files_of  # type: ignore[attr-defined]


def _load(path: Path, dtype: torch.dtype) -> Any:
    try:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging as of_transformers
    except ImportError:
        raise InputError(
            "transformers is not installed", where="pretrain.architecture", do=INSTALL
        ) from None
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        # eager attention: vmap runs the fused one model by model on a CPU
        with quiet(of_transformers):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(path),
                attn_implementation="eager",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"cannot be read as a causal language model: {str(error).splitlines()[0]}",
            where=path,
            expected="a folder that transformers' AutoModelForCausalLM reads",
        ) from None
    model, report = loaded
    missing = sorted(report["missing_keys"])  # which transformers would draw at random
    if missing:
        raise InputError(
            f"lacks {len(missing)} of the model's tensors: {missing[0]}",
            where=path,
            expected="the weights of a whole causal language model",
            do="save it again: model.save_pretrained(folder)",
        )
    return model


def check_folder(path: Path) -> None:
    """Raise `InputError` for a folder that is none, would run code, or holds adapters: transformers
    would load them over a base that nothing here knows of.
    """
    if not path.is_dir():
        raise InputError(
            "there is no such folder",
            where=path,
            expected=EXPECTED,
            do=f"set {WHERE}; a path that is not absolute starts where the command runs",
        )
    if (path / ADAPTERS).is_file():
        raise InputError(
            f"holds adapters ({ADAPTERS}), not the model that they belong to alone",
            where=path,
            expected=EXPECTED,
            do=f"set {WHERE} to that model; adapters are valued after `unshapley import-model`",
        )
    kinds = {p.suffix for p in path.glob("*")}
    if ".safetensors" not in kinds:
        pickled = sorted(kinds & set(RUNS_CODE))
        raise InputError(
            f"holds weights as {pickled[0]}, which can run code" if pickled else "holds no weights",
            where=path,
            expected=EXPECTED,
            do="save it by model.save_pretrained(folder) of transformers"
            if pickled
            else f"set {WHERE}",
        )
    config = path / "config.json"
    if not config.is_file():
        raise InputError("holds no config.json", where=path, expected=EXPECTED, do=f"set {WHERE}")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"not readable as JSON: {error}", where=config) from None
    if "auto_map" in content:
        raise InputError(
            "wants code of its own to be run (auto_map)",
            where=config,
            expected="an architecture that transformers itself has",
            do="take another model, or wrap it in a module of your own",
        )


def _check_sizes(path: Path, config: Any, context: int, vocabulary: int) -> None:
    """Raise `InputError` where the model does not fit the tokens."""
    longest = getattr(config, "max_position_embeddings", context)
    if config.vocab_size < vocabulary:
        raise InputError(
            f"the model knows {config.vocab_size} tokens, the tokenizer of the data {vocabulary}",
            where=path,
            expected="the model's own tokenizer",
            do=f"set prepare.documents.tokenizer: {path}, and run `unshapley prepare`",
        )
    if config.vocab_size > vocabulary:  # often rounded up
        log.info(
            "the model's last %d tokens, which the tokenizer does not have, are left out",
            config.vocab_size - vocabulary,
        )
    if longest < context:
        raise InputError(
            f"the model reads {longest} tokens, a row of the data has {context}",
            where=path,
            do=f"set prepare.documents.context: {longest} or less, and run `unshapley prepare`",
        )


def _frozen_as_buffers(module: nn.Module) -> None:
    """Make parameters that are not trained, and all buffers, buffers outside of the state."""
    made = dict[int, Tensor]()
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter.requires_grad:
                continue
            delattr(owner, name)
            tensor = made.setdefault(id(parameter), parameter.detach())
            owner.register_buffer(name, tensor, persistent=False)
    for owner in module.modules():  # tables of positions and the like
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if name not in owner._non_persistent_buffers_set:
                owner.register_buffer(name, buffer, persistent=False)


def _untie(model: Any) -> None:
    """Give the head weights of its own: tied ones have two names, and models differ by name."""
    head, tokens = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight is tokens.weight:
        head.weight = nn.Parameter(tokens.weight.detach().clone())
        log.warning("the head's weights are trained apart from those of the tokens")
