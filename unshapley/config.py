"""The one configuration: params.yaml, read by one pydantic model.

`Params` is also the parameter form that Prefect shows; docs/parameters.md explains every key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unshapley.errors import InputError

Share = Annotated[float, Field(gt=0, lt=1)]

RENAMED = {
    "fidelity.retrain": "correction.coalitions",
    "curvature.rank": "curvature.directions",
}
"""Keys of earlier versions, and what they are called now."""


class Section(BaseModel):
    """A section of params.yaml: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PrepareSettings(Section):
    """Where the rows come from and how they are split."""

    source: Literal["digits", "files"] = Field(
        "digits", description="embedded digits, or one CSV or parquet file a provider in data/raw"
    )
    label: str = Field("label", description="name of the label column")
    task: Literal["classification", "regression"] = Field(
        "classification", description="what the label is: a class, or a number"
    )
    test_share: Share = Field(0.2, description="share of every provider's rows held out as test")
    reference_share: Share = Field(0.1, description="share held out as reference set")
    seed: int = Field(0, ge=0, description="seed of the split and of planted faults")

    @model_validator(mode="after")
    def _rows_are_left(self) -> PrepareSettings:
        if self.test_share + self.reference_share >= 1:
            raise ValueError("test_share and reference_share leave no row for training")
        return self


class FaultSettings(Section):
    """Faults planted into training rows, for demonstrations and tests; empty means none."""

    wrong_labels: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        {}, description="provider: share of its labels replaced by a wrong one"
    )
    noise: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="provider: noise added, in standard deviations of each feature"
    )
    duplicate: dict[str, str] = Field(
        {}, description="provider: the provider whose rows it hands in as its own"
    )


class ValidationSettings(Section):
    """What happens when a partition breaks its expectation suite."""

    policy: Literal["stop", "quarantine"] = Field(
        "stop", description="stop the run, or leave the provider out and go on"
    )
    min_rows: int = Field(20, ge=1, description="fewest rows of a partition, written into suites")
    feature_range: tuple[float, float] | None = Field(
        None, description="lowest and highest allowed feature, written into suites"
    )


class PretrainSettings(Section):
    """Architecture and training recipe; retrainings of the fidelity check use the same."""

    architecture: str = Field(
        "unshapley.models:mlp",
        description="importable callable 'module:name', called with in_features, classes, kwargs",
    )
    kwargs: dict[str, Any] = Field({}, description="further keyword arguments of the callable")
    steps: int = Field(300, ge=1, description="full-batch Adam steps")
    learning_rate: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.01, ge=0, description="L2 penalty on the mean loss")
    seed: int = Field(0, ge=0, description="seed of the initialisation")
    rewind: Share = Field(
        0.1, description="share of the steps after which weights are kept for rewind_finetune"
    )


class CurvatureSettings(Section):
    """What is stored of every provider's rows, so that they can be forgotten unread."""

    layers: Literal["all", "last"] = Field("all", description="whose weights the statistics cover")
    directions: int = Field(
        200, ge=1, description="directions that are kept; a model with fewer weights keeps all"
    )


class StopSettings(Section):
    """When a run ends before its budget: whichever comes first; empty rules are not looked at."""

    half_width: float | None = Field(
        None, gt=0, description="every 95 % interval is within ± so much, in units of the utility"
    )
    top_k: int | None = Field(
        None, ge=1, description="the providers of the k largest values are known …"
    )
    probability: float = Field(0.95, gt=0, lt=1, description="… with this probability")
    seconds: float | None = Field(
        None, gt=0, description="so long was measured; looked at after each round"
    )
    cost: float | None = Field(None, gt=0, description="no more is spent on coalitions, at …")
    price: float = Field(1.0, gt=0, description="… so much for each")

    @property
    def needs_interim_estimates(self) -> bool:
        """Whether a rule depends on the values so far."""
        return any(rule is not None for rule in (self.half_width, self.top_k, self.seconds))


class ValuationSettings(Section):
    """The game that is measured and how it is aggregated."""

    targets: list[str] = Field(
        [], description="providers that are valued while all others stay; none named: all"
    )
    unlearner: str = Field("hybrid", description="how providers are forgotten; see below")
    options: dict[str, Any] = Field({}, description="options of the unlearner; see below")
    utilities: Annotated[list[str], Field(min_length=1)] = Field(
        ["neg_log_loss", "accuracy"],
        description="measured utilities, see below; the first is primary",
    )
    estimator: str = Field(
        "auto", description="auto: the most exact for so many coalitions; see below"
    )
    budget: int = Field(1000, ge=2, description="most coalitions measured")
    stop: StopSettings = StopSettings()
    seed: int = Field(0, ge=0, description="seed of the plan")
    chunk_size: int = Field(64, ge=1, description="most coalitions that one task measures together")
    memory_mb: int = Field(
        1024, ge=1, description="memory that one chunk may take; chunks are made smaller for it"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where models run")


class FidelitySettings(Section):
    """The check against real retraining that gates publication."""

    coalitions: int = Field(8, ge=0, description="coalitions retrained; 0 leaves it unchecked")
    seed: int = Field(0, ge=0)
    publish_unchecked: bool = Field(False, description="publish although nothing was checked")


class CorrectionSettings(Section):
    """The correction of unlearned utilities by a few real retrainings."""

    coalitions: int = Field(
        0, ge=0, description="coalitions retrained to correct the utilities, 4 or more; 0: none"
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _enough_to_learn_from(self) -> CorrectionSettings:
        if 0 < self.coalitions < 4:
            raise ValueError(f"coalitions = {self.coalitions}: at least 4 are needed, or 0")
        return self


class RunSettings(Section):
    """How the work is spread; the values do not depend on it."""

    runner: Literal["threads", "processes"] = "threads"
    workers: int = Field(2, ge=1, description="tasks at the same time")
    retries: int = Field(2, ge=0, description="retries of a failed task, with backoff")


class Params(Section):
    """All of params.yaml."""

    prepare: PrepareSettings = PrepareSettings()
    faults: FaultSettings = FaultSettings()
    validation: ValidationSettings = ValidationSettings()
    pretrain: PretrainSettings = PretrainSettings()
    curvature: CurvatureSettings = CurvatureSettings()
    valuation: ValuationSettings = ValuationSettings()
    fidelity: FidelitySettings = FidelitySettings()
    correction: CorrectionSettings = CorrectionSettings()
    run: RunSettings = RunSettings()


def load_params(path: Path) -> Params:
    """Read params.yaml; `InputError` names the key, the value found and what is allowed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            "file is missing", where=path, do="name a project folder that holds params.yaml"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as YAML: {error}", where=path) from None
    return parse_params(content or {}, where=path)


def parse_params(content: object, where: object) -> Params:
    """Check a mapping against `Params`; raises `InputError`."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(
            "; ".join(_explain(e) for e in error.errors()),
            where=where,
            do="docs/parameters.md lists every key and what it takes",
        ) from None


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        renamed = f", which is now called {RENAMED[key]!r}" if key in RENAMED else ""
        return f"unknown key {key!r}{renamed}"
    if error["type"] == "value_error":  # of a whole section, and it names the keys itself
        return f"{key}: {error['ctx']['error']}"
    return f"{key} = {error['input']!r}: {error['msg']}"
