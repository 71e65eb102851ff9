"""The configuration: params.yaml, read by a pydantic model.

`Params` is also the parameter form that Prefect shows; docs/parameters.md explains every key.
"""

from __future__ import annotations

import codecs
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from unshapley.errors import InputError
from unshapley.parameter_file import read_parameter_file

LARGEST = 3.4028235e38
"""Largest number in float32, which models compute with."""
Share = Annotated[float, Field(gt=0, lt=1)]

CLUSTERS = ("dask", "ray")
"""Runners that are clusters of their own."""

RENAMED = {
    "fidelity.retrain": "correction.coalitions",
    "curvature.rank": "curvature.directions",
}
"""Keys of earlier versions, and their present names."""


class Section(BaseModel):
    """A section of params.yaml: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadSettings(Section):
    """How text files are written."""

    separator: str | None = Field(
        None, min_length=1, max_length=1,
        description="between columns; by default a comma, in .tsv files a tabulator",
    )  # fmt: skip
    decimal: Literal[".", ","] = Field(".", description="point or comma in numbers")
    thousands: Literal[".", ",", " ", "'"] | None = Field(
        None, description="what groups the digits of numbers: 1.234,5 is read as 1234,5"
    )
    encoding: str = Field("utf-8", description="of the characters")
    header: bool = Field(True, description="whether the first line names the columns")
    names: list[str] = Field([], description="of all columns, in place of the header")
    missing: list[str] = Field(
        [], description="texts that stand for a missing value, beside the empty one"
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError(f"encoding {encoding!r} is unknown; utf-8 or latin-1, say") from None
        return encoding

    @model_validator(mode="after")
    def _check_marks(self) -> ReadSettings:
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimal are the same mark")
        return self


class PictureSettings(Section):
    """How pictures become rows."""

    side: int = Field(28, ge=2, le=512, description="pixels of a side, to which all are resized")
    channels: Literal["gray", "rgb"] = Field("gray", description="one number a pixel, or three")


class DocumentSettings(Section):
    """How documents become rows of tokens, where the task is a language model."""

    column: str = Field("text", description="column of the text, in tables of documents")
    tokenizer: str | None = Field(
        None,
        description="tokenizer.json, or a local Hugging Face folder that holds one; none: "
        "byte-level BPE is trained on the reference set",
    )
    vocabulary: int = Field(
        512, ge=257, le=2**20, description="tokens of a tokenizer that is trained here"
    )
    context: int = Field(64, ge=2, le=2**16, description="tokens of a row, which the model reads")


DIGITS = ("test_from", "test_share", "reference_share", "seed")
"""Keys of section `prepare` that the built-in digits have."""


class PrepareSettings(Section):
    """The source of the rows and how they are split."""

    source: Literal["digits", "files"] = Field(
        "digits",
        description="built-in digits, or the tables in data/raw",
    )
    read: ReadSettings = ReadSettings()
    provider: str | None = Field(
        None,
        description="column that names the provider of each row; by default file names do",
    )
    provider_names: dict[str, str] = Field(
        {},
        description="text in that column: name of the provider that is meant; others as they are",
    )
    label: str = Field("label", description="name of the label column")
    label_above: float | None = Field(
        None, description="two classes: labels above this number, and all others"
    )
    label_classes: dict[str, str] = Field(
        {}, description="text in the files: class that it means; others stay as they are written"
    )
    columns: dict[
        str,
        Literal["number", "number_or_missing", "category", "text", "tfidf", "embedding"]
        | list[str],
    ] = Field(
        {},
        description="column: what it holds, where that cannot be told from all files; in "
        "number_or_missing other cells count as missing; text: words, hashed; tfidf: words of the "
        "reference set, by their frequency; embedding: by the model of prepare.embedding; a list "
        "names its values in ascending order, which become 0, 1, 2 …",
    )
    text_features: int = Field(
        256,
        ge=8,
        le=65536,
        description="features of a column of text: as many as words are hashed to; of tfidf the "
        "most frequent words and pairs",
    )
    embedding: str | None = Field(
        None,
        description="local folder of a sentence-embedding model, for columns of that kind",
    )
    pictures: PictureSettings = PictureSettings()
    documents: DocumentSettings = DocumentSettings()
    transform: str | None = Field(
        None,
        description="function of your own, 'package.module:name', that gets every table as it was "
        "read and gives the table to use",
    )
    drop: list[str] = Field([], description="columns that are left out")
    incomplete: Literal["keep", "drop", "impute"] = Field(
        "keep",
        description="rows with a missing value: kept for validation to find, left out, or filled "
        "with the reference set's median and marked; a missing label is never filled",
    )
    task: Literal["classification", "regression", "language-model"] = Field(
        "classification",
        description="whether the label is a class or a number; language-model: rows are text, and "
        "there is no label",
    )
    test: str | None = Field(
        None, description="table of your own in data/raw that judges; else rows are held out"
    )
    reference: str | None = Field(
        None, description="reference table of your own in data/raw; else rows are held out"
    )
    test_from: list[str] = Field(
        [], description="providers that are trusted to judge; test rows come from them only"
    )
    test_share: Share = Field(0.2, description="share of every provider's rows held out as test")
    reference_share: Share = Field(
        0.1, description="share of every provider's rows held out as reference set"
    )
    group: str | None = Field(
        None,
        description="column, no feature: rows of one value stay on one side of the split",
    )
    time: str | None = Field(None, description="column of dates or numbers, no feature")
    test_after: str | float | None = Field(
        None, description="date (YYYY-MM-DD …) or number: later rows are test rows, not a share"
    )
    seed: int = Field(0, ge=0, description="seed of the split and of planted faults")

    @field_validator("test_after", mode="before")
    @classmethod
    def _date_as_text(cls, value: Any) -> Any:
        """YAML reads 2024-06-01 without quotes as a date."""
        return value.isoformat() if isinstance(value, date) else value

    @model_validator(mode="after")
    def _check_shares(self) -> PrepareSettings:
        if self.test_share + self.reference_share >= 1:
            raise ValueError("test_share and reference_share leave no row for training")
        if self.label_above is not None and (self.task == "regression" or self.label_classes):
            raise ValueError("label_above makes classes: not with regression, nor label_classes")
        self._check_text()
        for key in ("drop", "columns"):
            if {self.label, *self.aside} & set(getattr(self, key)):
                raise ValueError(f"{key} names the label, or a column that is used otherwise")
        self._check_judges()
        embedded = [name for name, rule in self.columns.items() if rule == "embedding"]
        if embedded and self.embedding is None:
            raise ValueError(
                f"embedding: column {embedded[0]!r} is to be embedded, and no model is named: a "
                "local folder of a sentence-embedding model"
            )
        return self

    @property
    def aside(self) -> tuple[str, ...]:
        """Columns that are read, but are no features."""
        return tuple(dict.fromkeys(c for c in (self.provider, self.group, self.time) if c))

    def _check_text(self) -> None:
        if self.task != "language-model":
            return
        defaults = PrepareSettings()
        for key in ("label", "label_above", "label_classes", "columns", "drop"):
            if getattr(self, key) != getattr(defaults, key):
                raise ValueError(f"{key} is of tables, and the task is language-model")
        if self.incomplete == "impute":
            raise ValueError("incomplete = impute: text is kept or left out (drop)")

    def _check_judges(self) -> None:
        given = [
            name
            for name, chosen in (
                ("test", self.test is not None),
                ("test_from", bool(self.test_from)),
                ("test_after", self.test_after is not None),
            )
            if chosen
        ]
        if "test" in given and len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: one of them says which rows judge")
        if (self.time is None) != (self.test_after is None):
            raise ValueError("time and test_after are needed together")


class FetchSettings(Section):
    """Rows of a database, which `unshapley fetch` writes to data/raw."""

    url: str | None = Field(
        None, description="SQLAlchemy URL; $NAME is an environment variable, passwords only so"
    )
    query: str = Field("", description="SQL whose rows are the table")
    file: str = Field("query.parquet", description="file in data/raw that is written")

    @field_validator("file")
    @classmethod
    def _check_file(cls, name: str) -> str:
        if not name.endswith(".parquet") or "/" in name or "\\" in name or name.startswith("."):
            raise ValueError(f"file = {name!r}: the name of a parquet file is needed")
        return name


class FaultSettings(Section):
    """Faults planted into the rows of providers, for demonstrations and tests; none by default."""

    wrong_labels: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        {}, description="provider: share of its labels replaced by a wrong one"
    )
    noise: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="provider: noise added, in standard deviations of all features together"
    )
    duplicate: dict[str, str] = Field(
        {}, description="provider: the provider whose rows replace its own"
    )
    garbage: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        {}, description="of text; provider: share of its documents replaced by random characters"
    )


class ValidationSettings(Section):
    """What happens when a partition breaks its expectation suite."""

    policy: Literal["stop", "quarantine"] = Field(
        "stop", description="stop the run, or continue without the provider"
    )
    min_rows: int = Field(
        20, ge=1, description="smallest number of rows of a partition, written into suites"
    )
    feature_range: tuple[float, float] | None = Field(
        None, description="smallest and largest feature value allowed, written into suites"
    )
    near_copies: float | None = Field(
        0.8,
        gt=0,
        le=1,
        description="of text: from which similarity on two documents are near-copies, written into "
        "suites; none: they are not looked for",
    )
    document_length: tuple[int, int] | None = Field(
        None, description="of text: fewest and most characters of a document, written into suites"
    )

    @model_validator(mode="after")
    def _check_range(self) -> ValidationSettings:
        shortest, longest = self.document_length or (0, 1)
        if not 0 <= shortest < longest:
            raise ValueError(
                f"document_length = [{shortest}, {longest}]: two numbers in ascending order are "
                "needed, or null"
            )
        low, high = self.feature_range or (0.0, 1.0)
        if not (low < high and low >= -LARGEST and high <= LARGEST):
            raise ValueError(
                f"feature_range = [{low:g}, {high:g}]: two finite numbers in ascending order are "
                "needed, or null"
            )
        return self


class PretrainSettings(Section):
    """Architecture and training recipe; the retrainings of the fidelity check use the same."""

    architecture: str = Field(
        "unshapley.models:mlp",
        description="importable callable 'module:name', called with in_features and classes, if it "
        "takes them, and kwargs",
    )
    kwargs: dict[str, Any] = Field({}, description="further keyword arguments of the callable")
    steps: int = Field(300, ge=1, description="number of optimizer steps")
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adam", description="adamw decays the weights beside the loss instead of in it"
    )
    momentum: float | None = Field(None, ge=0, lt=1, description="of sgd; none: 0.9")
    learning_rate: float = Field(0.01, gt=0)
    batch_size: int | None = Field(
        None, ge=1, description="rows of a step; none, or as many as there are: all rows"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="cosine: the learning rate falls to 0 over the steps"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps in which the learning rate rises first"
    )
    weight_decay: float = Field(
        0.01, ge=0, description="L2 penalty on the mean loss; for adamw the decay of the weights"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many passes over the rows without a smaller loss on the "
        "reference set, and keep the best weights; none: take all steps",
    )
    seed: int = Field(0, ge=0, description="seed of the initialisation and of mini-batches")
    rewind: Share = Field(
        0.1, description="share of the steps after which weights are saved for rewind_finetune"
    )

    @model_validator(mode="after")
    def _check_momentum(self) -> PretrainSettings:
        if self.momentum is not None and self.optimizer != "sgd":
            raise ValueError(
                f"momentum = {self.momentum:g} is of sgd, and optimizer is {self.optimizer}"
            )
        return self

    @property
    def penalty(self) -> float:
        """The w of a penalty ½ w ‖θ‖² on the mean loss, which trained weights minimise.

        None for adamw: where full-batch AdamW converges, it has minimised the loss alone under
        |θ_i| ≤ 1 / weight_decay, which common decays leave inactive (Xie and Li, "Implicit Bias of
        AdamW: ℓ∞-Norm Constrained Optimization", ICML 2024).
        """
        return 0.0 if self.optimizer == "adamw" else self.weight_decay


class CurvatureSettings(Section):
    """Statistics of every provider's rows, by which they can be forgotten without reading them."""

    layers: Literal["all", "last"] = Field(
        "all", description="layers whose weights the statistics cover"
    )
    directions: int = Field(
        200, ge=1, description="number of directions; a model with fewer weights uses all"
    )


class StopSettings(Section):
    """When a run ends before its budget: at the first rule that is met; empty rules are ignored."""

    half_width: float | None = Field(
        None,
        gt=0,
        description="stop when all 95 % intervals are within ± this, in units of the utility",
    )
    top_k: int | None = Field(
        None, ge=1, description="stop when the k providers with the largest values are known …"
    )
    probability: float = Field(0.95, gt=0, lt=1, description="… with this probability")
    seconds: float | None = Field(
        None, gt=0, description="stop after so many seconds of measuring; checked after each round"
    )
    cost: float | None = Field(None, gt=0, description="spend at most this on coalitions, at …")
    price: float = Field(1.0, gt=0, description="… this price for each")

    @property
    def needs_interim_estimates(self) -> bool:
        """Whether a rule is checked between rounds."""
        return any(rule is not None for rule in (self.half_width, self.top_k, self.seconds))


class ValuationSettings(Section):
    """The game that is measured, and how values are estimated from it."""

    targets: list[str] = Field(
        [], description="providers to value, while all others stay; an empty list: all"
    )
    unlearner: str = Field("auto", description="how providers are forgotten; see below")
    options: dict[str, Any] = Field({}, description="options of the unlearner; see below")
    utilities: Annotated[list[str], Field(min_length=1)] = Field(
        ["neg_log_loss", "accuracy"],
        description="measured utilities, see below; the first is primary",
    )
    estimator: str = Field(
        "auto", description="auto: the most exact for the number of coalitions; see below"
    )
    budget: int = Field(1000, ge=2, description="largest number of coalitions measured")
    stop: StopSettings = StopSettings()
    seed: int = Field(0, ge=0, description="seed of the plan")
    chunk_gflop: float = Field(
        10.0,
        gt=0,
        description="counted work of a task in billions of operations: smaller tasks are spent on "
        "Prefect, larger ones make a stopped run repeat more",
    )
    chunk_size: int = Field(256, ge=1, description="largest number of coalitions per task")
    memory_mb: int = Field(
        1024, ge=1, description="memory limit of one task in MB; it can reduce the chunk size"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="device that models run on")
    numerics: Literal["native", "portable"] = Field(
        "native",
        description="native: as fast as the processor allows, other kinds give other last digits; "
        "portable: the same bits on every x86-64, slower; pretrain obeys it too",
    )

    @model_validator(mode="after")
    def _check_numerics(self) -> ValuationSettings:
        if self.numerics == "portable" and self.device != "cpu":
            raise ValueError(f"numerics = portable: device is {self.device}, it must be cpu")
        return self


class FidelitySettings(Section):
    """The check against real retraining that gates publication."""

    coalitions: int = Field(
        8,
        ge=0,
        description="number of unlearned coalitions retrained, and more while that costs less than "
        "half of what measuring did; 0: no check",
    )
    seed: int = Field(0, ge=0, description="seed of the choice of these coalitions")
    publish_unchecked: bool = Field(False, description="publish results without a check")


class CalibrationSettings(Section):
    """The retrainings by which `auto` chooses how providers are forgotten."""

    share: float = Field(
        0.03,
        gt=0,
        le=1,
        description="share of the cost of retraining the whole plan that is spent on coalitions to "
        "choose and to correct by; 8 to 200 coalitions",
    )
    coalitions: int | None = Field(
        None, ge=0, description="number of these coalitions, at least 4; none: set by share"
    )
    seed: int = Field(0, ge=0, description="seed of the choice of these coalitions")


class CorrectionSettings(Section):
    """The correction of unlearned utilities by a few real retrainings."""

    coalitions: int = Field(
        0, ge=0, description="number of coalitions retrained for it, at least 4; 0: no correction"
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_coalitions(self) -> CorrectionSettings:
        if 0 < self.coalitions < 4:
            raise ValueError(f"coalitions = {self.coalitions}: at least 4 are needed, or 0")
        return self


class RunSettings(Section):
    """How the work is distributed; the values do not depend on it."""

    runner: Literal["threads", "processes", "dask", "ray"] = Field(
        "threads",
        description="threads or processes of this machine, or a cluster, docs/distribution.md",
    )
    workers: int = Field(
        2,
        ge=1,
        description="number of tasks that run at the same time; a cluster at an address "
        "has its own",
    )
    address: str | None = Field(
        None,
        description="of a Dask scheduler (tcp://host:8786) or Ray cluster (ray://host:10001) that "
        "runs already; none: one is started on this machine for the run",
    )
    cluster: dict[str, Any] = Field(
        {},
        description="how a cluster is started: keyword arguments of prefect-dask's "
        "DaskTaskRunner, or of ray.init",
    )
    retries: int = Field(2, ge=0, description="retries of a failed task, with exponential backoff")

    @model_validator(mode="after")
    def _check_cluster(self) -> RunSettings:
        given = [name for name in ("address", "cluster") if getattr(self, name)]
        if given and self.runner not in CLUSTERS:
            raise ValueError(
                f"{given[0]} is of a cluster, and runner is {self.runner}; set run.runner to "
                f"{' or '.join(CLUSTERS)}, or remove it"
            )
        if len(given) == 2:
            raise ValueError("address is of a cluster that runs, cluster of one to start: set one")
        return self

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on machines that do not see the project's folder."""
        return bool(self.address or self.cluster)

    @property
    def tasks_in_process(self) -> int:
        """Tasks that one process runs at the same time."""
        return self.workers if self.runner == "threads" else 1


class SigningSettings(Section):
    """Who signs manifests, and whose signatures count; the values do not depend on it."""

    key: str | None = Field(
        None,
        description="file of the key by which `unshapley refresh` signs; none: it does not sign",
    )
    allowed_signers: str | None = Field(
        None,
        description="file of the keys that may sign, as ssh-keygen takes it; none: the one that "
        "git's gpg.ssh.allowedSignersFile names",
    )
    revoked: str | None = Field(
        None,
        description="list of revoked keys; none: the one that git's gpg.ssh.revocationFile names",
    )
    required: bool = Field(False, description="whether `unshapley verify` asks for a signature")


class Params(Section):
    """All of params.yaml."""

    fetch: FetchSettings = FetchSettings()
    prepare: PrepareSettings = PrepareSettings()
    faults: FaultSettings = FaultSettings()
    validation: ValidationSettings = ValidationSettings()
    pretrain: PretrainSettings = PretrainSettings()
    curvature: CurvatureSettings = CurvatureSettings()
    valuation: ValuationSettings = ValuationSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    fidelity: FidelitySettings = FidelitySettings()
    correction: CorrectionSettings = CorrectionSettings()
    run: RunSettings = RunSettings()
    signing: SigningSettings = SigningSettings()

    def recorded(self) -> dict[str, Any]:
        """What a manifest states of the parameters: all but sections that no value depends on."""
        return self.model_dump(mode="json", exclude={"run", "signing"})


def load_params(path: Path) -> Params:
    """Read params.yaml; `InputError` names the key, the value found and what is allowed."""
    return parse_params(read_parameter_file(path) or {}, where=path)


def parse_params(content: object, where: object) -> Params:
    """Check a mapping against `Params`; raises `InputError`."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(
            "; ".join(_explain(e) for e in error.errors()),
            where=where,
            do="docs/parameters.md lists every key and its values",
        ) from None


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        renamed = f", which is now called {RENAMED[key]!r}" if key in RENAMED else ""
        return f"unknown key {key!r}{renamed}"
    if error["type"] == "value_error":  # from a validator of a section, whose message has the keys
        return f"{key}: {error['ctx']['error']}"
    return f"{key} = {error['input']!r}: {error['msg']}"
