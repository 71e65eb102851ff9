"""What an auditor may choose."""

from __future__ import annotations

import secrets

from pydantic import BaseModel, ConfigDict, Field


def any_seed() -> int:
    """A seed that nobody could have known before."""
    return secrets.randbelow(2**31)


class AuditSettings(BaseModel):
    """How much is measured again, and by which seed it is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: int | None = Field(
        None,
        ge=1,
        description="coalitions measured again; none: a quarter of the run's work",
    )
    retrain: int = Field(
        2, ge=0, description="coalitions retrained of the recorded check, and so many others"
    )
    everything: bool = Field(False, description="measure all coalitions again")
    seed: int = Field(default_factory=any_seed, ge=0, description="of what is drawn")
