"""The corpus of `make valuation-text`: enough documents of enough providers, the same each time."""

import subprocess
import sys
from pathlib import Path

from unshapley.data.text_inspection import documents_among, inspect_corpus

ROOT = Path(__file__).resolve().parent.parent


def corpus(folder: Path, *options: str) -> Path:
    script = ROOT / "examples/standard_library.py"
    subprocess.run([sys.executable, script, folder, *options], check=True)
    return folder


def test_packages_are_providers_of_documents_that_end_where_lines_do(tmp_path):
    folder = corpus(tmp_path / "c", "--documents", "12", "--characters", "1500")
    inspection = inspect_corpus(documents_among([folder]), None, {}, folder)
    assert len(inspection.providers) >= 8
    assert inspection.problem is None
    assert not inspection.notes
    for facts in inspection.providers.values():
        assert (facts.documents, facts.empty, facts.repeated) == (12, 0, 0)
        assert 300 < facts.shortest <= facts.longest <= 1500
    assert all(path.read_text().endswith("\n") for path in folder.rglob("*.txt"))


def test_the_corpus_is_the_same_each_time(tmp_path):
    one, other = corpus(tmp_path / "one"), corpus(tmp_path / "other")
    files = [path.relative_to(one) for path in sorted(one.rglob("*.txt"))]
    assert files == [path.relative_to(other) for path in sorted(other.rglob("*.txt"))]
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
