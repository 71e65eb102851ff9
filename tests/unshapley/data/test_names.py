"""What may be the name of a provider, and what becomes of it in files of ours."""

import pandas as pd
import pytest

from unshapley.data.names import check_distinct, provider_name
from unshapley.data.sources import provider_tables
from unshapley.errors import InputError
from unshapley.files import as_text, from_text, write_csv
from unshapley.results.published import read_csv

ODD = ["01", "1", "1e5", "NA", "nan", "[red]x", '=a,"b', "-dash", "+plus", "@at", "'=quoted",
       "$x$", "<b>&amp;", "Hôpital Nord", "2019"]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_kept_as_they_are(name):
    assert provider_name(name) == name


def test_a_name_is_brought_to_its_normal_form():
    assert provider_name("Ho\u0302pital") == "H\u00f4pital"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (" a", "spaces around"),
        (".d", "hidden"),
        ("a/b", "a path"),
        ("a\\b", "a path"),
        ("..", "hidden"),
        ("test", "reserved"),
        ("Reference", "reserved"),
        ("partition", "reserved"),
        ("a\nb", "control or invisible"),
        ("a\u200bb", "control or invisible"),
        ("\u202eb", "control or invisible"),
        ("n" * 300, "300 characters"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_the_reason(name, problem):
    with pytest.raises(InputError, match=f"cannot be the name of a provider: .*{problem}"):
        provider_name(name, where="here")


def test_two_names_that_look_alike_are_refused():
    check_distinct(["a", "A", "01", "1"])
    with pytest.raises(InputError, match="look alike"):
        check_distinct(["caf\u00e9 1", "caf\u00e9\u00a01"])
    with pytest.raises(InputError, match="look alike"):
        check_distinct(["\ufb01sh", "fish"])


def test_tables_are_found_whatever_the_case_of_their_ending_and_hidden_files_are_not(tmp_path):
    for name in ("a.csv", "b.CSV", "c.Parquet", ".d.csv", "._a.csv", "notes.txt", "a.csv.bak"):
        (tmp_path / name).write_text("x\n1\n")
    assert list(provider_tables(tmp_path)) == ["a", "b", "c"]
    (tmp_path / "b.parquet").write_text("")
    with pytest.raises(InputError, match="'b' has two files"):
        provider_tables(tmp_path)


def test_names_survive_a_csv_in_which_no_spreadsheet_finds_a_formula(tmp_path):
    frame = pd.DataFrame({"provider": ODD, "value": [i - 3.0 for i in range(len(ODD))]})
    write_csv(frame, tmp_path / "values.csv")
    lines = (tmp_path / "values.csv").read_text().splitlines()[1:]
    assert not any(line.lstrip('"')[0] in "=+-@" for line in lines)
    back = read_csv(tmp_path / "values.csv")
    assert back["provider"].tolist() == ODD
    assert back["value"].tolist() == frame["value"].tolist()
    assert all(from_text(as_text(name)) == name for name in ODD)
