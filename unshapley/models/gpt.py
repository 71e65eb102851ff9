"""A small transformer that predicts the next token, to be read in one sitting."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal self-attention of several heads: `(…, positions, width)` to the same.

    Softmax(Q Kᵀ / √d) V as in Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), section
    3.2, written out: `torch.func.vmap` runs torch's fused attention model by model on a CPU.
    """

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        future = torch.ones(context, context, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in self.queries_keys_values(x).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(self.future, -math.inf).softmax(dim=-1)
        return self.out((weights @ v).transpose(-3, -2).flatten(-2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then two linear layers, each added to what comes in; normalised before."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm_of_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads, context)
        self.norm_of_layers = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_of_attention(x))
        return x + self.narrow(nn.functional.gelu(self.widen(self.norm_of_layers(x))))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """Logits of the next token at each position: `(…, context)` to `(…, context, vocabulary)`.

    The decoder of Radford et al., "Language Models are Unsupervised Multitask Learners" (2019),
    section 2.3: learnt positions, layers normalised before, residual layers begun smaller.
    """

    standardise: ClassVar[None] = None  # tokens have no scale

    def __init__(
        self, context: int, vocabulary: int, *, width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width = {width} cannot be divided among {heads} heads")
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.ModuleList(Block(width, heads, context) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self._begin(layers)

    def _begin(self, layers: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            residual = name.endswith(("attention.out.weight", "narrow.weight"))
            nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


def gpt(
    in_features: int, classes: int, width: int = 48, layers: int = 2, heads: int = 4
) -> nn.Module:
    """A small language model, `unshapley.models:gpt`; `in_features` tokens of context, `classes`
    tokens of vocabulary.
    """
    return GPT(in_features, classes, width=width, layers=layers, heads=heads)
