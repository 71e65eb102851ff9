"""Where a model comes from that a project did not train."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["safetensors", "state_dict", "torch.export", "scikit-learn", "module"]


class Origin(BaseModel):
    """What model.json holds of an imported model; hashes are hex SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """of the file, or the class of the object"""
    sha256: str
    kind: Kind
    initial: str
    """what stands for U(none), in words"""
    recipe_known: bool
    """whether section pretrain is how it was trained, so that it can be retrained"""

    def sentence(self) -> str:
        """In plain words."""
        recipe = "as stated in section pretrain" if self.recipe_known else "not stated"
        return (
            f"imported from {self.name} ({self.kind}, SHA-256 {self.sha256[:12]}…); "
            f"U(none) is that of {self.initial}; how it was trained is {recipe}"
        )
