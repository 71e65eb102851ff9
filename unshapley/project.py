"""Where everything of one valuation project lies: a fixed layout below one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unshapley.errors import InputError


@dataclass(frozen=True)
class Project:
    """Paths of a project; nothing is created or read.

    Project(Path("."))            the folder that holds params.yaml
    project.partition("form-00")  data/partitions/form-00.parquet
    """

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    @property
    def expectations(self) -> Path:
        return self.data / "expectations"

    @property
    def schema(self) -> Path:
        return self.data / "schema.json"

    @property
    def tokenizer(self) -> Path:
        """Of text: how it becomes tokens, as the library `tokenizers` stores it."""
        return self.data / "tokenizer.json"

    @property
    def partitions(self) -> Path:
        return self.data / "partitions"

    @property
    def test(self) -> Path:
        return self.data / "test.parquet"

    @property
    def reference(self) -> Path:
        return self.data / "reference.parquet"

    @property
    def model(self) -> Path:
        return self.data / "model"

    @property
    def curvature(self) -> Path:
        return self.data / "curvature"

    @property
    def valuation(self) -> Path:
        return self.data / "valuation"

    @property
    def untrusted(self) -> Path:
        """Where a valuation goes that may not be published (untrusted, or unchecked)."""
        return self.data / "untrusted"

    @property
    def results(self) -> Path:
        """Chunk results that let a killed run resume; disposable, never versioned."""
        return self.root / ".unshapley" / "results"

    def partition(self, provider: str) -> Path:
        return self.partitions / f"{provider}.parquet"

    def providers(self) -> list[str]:
        """Names of all partitions on disk, sorted: the provider order."""
        if not self.partitions.is_dir():
            raise InputError(
                "folder of partitions is missing",
                where=self.partitions,
                do="run `unshapley prepare` or restore it with `dvc checkout`",
            )
        return sorted(path.stem for path in self.partitions.glob("*.parquet"))

    def relative(self, path: Path) -> str:
        """`path` as the manifest names it."""
        return path.relative_to(self.root).as_posix()
