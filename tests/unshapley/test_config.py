import pytest

from unshapley.config import load_params, parse_params
from unshapley.errors import InputError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"valuaton": {}}, "unknown key 'valuaton'"),
        ({"valuation": {"budgit": 3}}, "unknown key 'valuation.budgit'"),
        ({"valuation": {"budget": -5}}, "valuation.budget = -5"),
        ({"valuation": {"stop": {"half_width": 0}}}, "valuation.stop.half_width = 0"),
        ({"prepare": {"test_share": 1.5}}, "prepare.test_share = 1.5"),
        ([1, 2], "the file"),
        ({"correction": {"coalitions": 3}}, "params.yaml: correction: coalitions = 3: at least 4"),
        ({"fidelity": {"retrain": 8}}, "which is now called 'correction.coalitions'"),
        ({"curvature": {"rank": 8}}, "which is now called 'curvature.directions'"),
    ],
)
def test_what_is_wrong_and_where_is_said(content, message):
    with pytest.raises(InputError) as error:
        parse_params(content, "params.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("params.yaml: ")


@pytest.mark.parametrize("text", ["2024-06-01", "2024-06-01 12:30:00"])
def test_a_date_needs_no_quotes(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(f"prepare:\n  time: seen\n  test_after: {text}\n")
    assert load_params(path).prepare.test_after == text.replace(" ", "T")


def test_yaml_that_is_none_is_named(tmp_path):
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not readable as YAML"):
        load_params(tmp_path / "params.yaml")
