"""Networks of linear layers over scaled inputs, as scikit-learn fits them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from unshapley.models.adapting import StandardisedInputs
from unshapley.models.chains import ACTIVATIONS, Chain, Layer

BY_NAME = {name or "identity": kind for kind, name in ACTIVATIONS.items()}


class ScaledNetwork(StandardisedInputs):
    """Scaled features through hidden layers to outputs, in float64."""

    def __init__(self, widths: Sequence[int], activation: str) -> None:
        super().__init__(widths[0])
        self.activation = activation
        *hidden, last = (nn.Linear(a, b) for a, b in pairwise(widths))
        self.hidden, self.head = nn.ModuleList(hidden), last
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.standardised(x.double())
        for layer in self.hidden:
            x = BY_NAME[self.activation]()(layer(x))
        return self.head(x)  # type: ignore[no-any-return]

    def chain(self) -> Chain:
        """Its layers."""
        names = [f"hidden.{i}" for i in range(len(self.hidden))]
        activation = "" if self.activation == "identity" else self.activation
        layers = [Layer(f"{name}.weight", f"{name}.bias", activation) for name in names]
        return Chain((*layers, Layer("head.weight", "head.bias")), ("mean", "scale"))


def network(
    in_features: int, classes: int, hidden: Sequence[int] = (), activation: str = "relu"
) -> nn.Module:
    """The architecture of a converted estimator: one output for two classes.

    activation: relu, tanh, sigmoid or identity.
    """
    return ScaledNetwork([in_features, *hidden, 1 if classes == 2 else classes], activation)
