"""Files made to hurt: each ends in one error, and nothing of theirs runs."""

import types

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshapley.config import load_params
from unshapley.data import reading
from unshapley.data.names import provider_name
from unshapley.errors import InputError


def test_a_parquet_file_that_unfolds_beyond_memory_is_not_unfolded(tmp_path, monkeypatch):
    path = tmp_path / "north.parquet"
    column = pa.array([1.0]).take(pa.array([0] * 2_000_000))
    pq.write_table(pa.table({"a": column, "b": column}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    free = types.SimpleNamespace(available=10 * 2**20)
    monkeypatch.setattr(reading.psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError, match="unfolds to"):
        reading.read_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "prepare: !!python/object/apply:os.system ['touch was_run']",
        "prepare: !!python/name:os.system",
        "\n".join(
            ["a0: &a0 [x, x]"]
            + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
            + ["prepare: {drop: *a9}"]
        ),
        "prepare: &p {drop: [*p]}",
    ],
)
def test_a_parameter_file_names_no_objects(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError):
        load_params(tmp_path / "params.yaml")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["../north", "a/b", "..", "n" * 300, "a\x00b", "a\nb", ".hidden", ""])  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(InputError):
        provider_name(name)
