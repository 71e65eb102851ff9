"""Tables that lie in a bucket, fetched as DVC fetches."""

import boto3
import pandas as pd
import pytest

from tests.cli import unshapley
from tests.s3 import s3  # noqa: F401 (a fixture)
from unshapley.config import load_params

pytestmark = [pytest.mark.process, pytest.mark.drill]


def test_a_project_begins_with_a_folder_of_a_bucket(s3, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    client = boto3.client("s3", endpoint_url=s3)
    for number, name in enumerate(("north", "south")):
        rows = pd.DataFrame({"a": range(number, 40 + number), "label": ["x", "y"] * 20})
        client.put_object(Bucket="models", Key=f"exports/{name}.csv", Body=rows.to_csv(index=False))
    words = ("--data", "s3://models/exports", "--label", "label", "--yes")
    done = unshapley("init", tmp_path / "project", *words)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "project/data/raw").iterdir()) == ["north.csv", "south.csv"]  # fmt: skip
    assert load_params(tmp_path / "project/params.yaml").prepare.source == "files"

    gone = unshapley("init", tmp_path / "other", "--data", "s3://models/nothing", "--label", "y")
    assert gone.returncode == 2
    assert "s3://models/nothing: cannot be fetched" in gone.stderr
    assert not (tmp_path / "other").exists()
