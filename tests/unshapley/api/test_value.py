"""`unshapley.value` by itself: what it takes, warns of, and leaves as it was."""

import json
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import unshapley as us
from unshapley.files import sha256

RECIPE = {
    "pretrain": {"steps": 40, "kwargs": {"hidden": [6]}},
    "valuation": {"unlearner": "newton"},
    "fidelity": {"coalitions": 4},
    "run": {"workers": 1},
}
NAMES = ("north", "south", "west")


def rows(seed: int, count: int = 60, *, noise: float = 0.3) -> pd.DataFrame:
    """Two classes that a plane tells apart, but for noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    y = x[:, 0] - x[:, 1] + noise * rng.normal(size=count) > 0
    return pd.DataFrame(x, columns=list("abcd")).assign(ill=np.where(y, "yes", "no"))


@pytest.fixture(scope="module")
def data() -> dict[str, pd.DataFrame]:
    return {name: rows(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def result(data) -> us.Result:
    return us.value(
        None,
        data,
        test=rows(8, 200),
        reference=rows(9),
        label="ill",
        utility="auroc",
        params=RECIPE,
    )


def test_values_carry_intervals_and_a_verdict(result):
    frame = result.frame
    assert frame["provider"].tolist() == list(NAMES)
    assert (frame["ci_low"] < frame["value"]).all()
    assert frame["value"].sum() == pytest.approx(result.valuation.u_all - result.valuation.u_none)
    assert frame.attrs == {"utility": "auroc", "fidelity": result.status, "grade": result.grade}
    assert result.status == "trusted"
    assert len(result.fidelity.retrained) == 4
    assert len(result.differences()) == len(result.interactions()) == 3
    assert len(result.utilities()) == 8
    assert str(result).count("\n") >= 5
    assert "fidelity: trusted" in repr(result)


def test_the_order_of_providers_and_the_number_of_threads_change_no_bit(data, result):
    other = us.value(
        None,
        dict(reversed(data.items())),
        test=rows(8, 200),
        reference=rows(9),
        label="ill",
        utility="auroc",
        params=RECIPE | {"run": {"workers": 3}},
    )
    pd.testing.assert_frame_equal(other.utilities(), result.utilities(), check_exact=True)


def test_values_that_nothing_checked_are_warned_of(data):
    params = RECIPE | {"fidelity": {"coalitions": 0}}
    with pytest.warns(us.ValuationWarning, match="unchecked: no coalition was retrained"):
        found = us.value(None, data, test=rows(8), label="ill", params=params)
    assert (found.status, found.publishable, found.frame.attrs["fidelity"]) == (
        "unchecked", False, "unchecked",
    )  # fmt: skip


def test_values_that_the_check_refuses_are_warned_of(data):
    params = RECIPE | {"valuation": {"unlearner": "no_unlearning"}}
    with pytest.warns(
        us.ValuationWarning, match="untrusted: unlearning predicts retraining no bet"
    ):
        found = us.value(None, data, test=rows(8), label="ill", params=params)
    assert (found.status, found.grade, found.publishable) == ("untrusted", "none", False)
    assert "warning: untrusted" in str(found)


def test_test_rows_from_providers_and_copied_rows_are_warned_of(data):
    copied = {**data, "zopied": data["north"]}
    with pytest.warns(us.ValuationWarning) as caught:
        us.value(None, copied, reference=data["south"], label="ill", params=RECIPE)
    said = "\n".join(str(w.message) for w in caught)
    assert "test rows are drawn from the providers that are valued" in said
    assert re.search(r"\d\d% of the rows of zopied are rows of another provider before it", said)
    assert "100% of the rows of south are rows of the reference set" in said
    assert caught[0].filename == __file__


def test_numbers_as_labels(data):
    numbers = {n: f.assign(ill=f["a"] * 2 + f["b"]) for n, f in data.items()}
    test = rows(8).assign(ill=lambda f: f["a"] * 2 + f["b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", us.ValuationWarning)
        found = us.value(None, numbers, test=test, label="ill", task="regression", params=RECIPE)
    assert (found.utility, list(found.valuation.measured.utilities)) == (
        "neg_mse",
        ["neg_mse", "r2"],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": [1, 2]}, "data: is a list"),
        ({"data": {"north": rows(0)}}, "data: is a dict of 1"),
        ({"data": {"north": rows(0), 2: rows(1)}}, "data: 2 is no name"),
        ({"data": {"north": rows(0), "../x": rows(1)}}, "data: '../x' cannot be the name"),
        ({"data": {"north": rows(0), "south": [1]}}, "data['south']: is a list"),
        ({"data": {"north": rows(0), "south": rows(1).iloc[:0]}}, "data['south']: holds no rows"),
        ({"data": {"north": rows(0), "south": rows(1).assign(a=np.nan)}}, "data['south']: 'a' is nan"),
        ({"test": rows(1).drop(columns="a")}, "'a'"),
        ({"label": "disease"}, "no label column 'disease'"),
        ({"utility": "speed"}, "there is no utility 'speed'"),
        ({"utility": "neg_mse"}, "neg_mse is a utility for regression"),
        ({"params": {"valuation": {"bugdet": 3}}}, "unknown key 'valuation.bugdet'"),
        ({"params": {"valuation": 3}}, "valuation = 3"),
        ({"params": {"valuation": {"targets": ["north", "east"]}}}, "'east'"),
        ({"params": {"faults": {"noise": {"north": 1.0}}}}, "faults are planted"),
        ({"params": {"valuation": {"numerics": "portable"}}}, "only some processors"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_before_anything_is_computed(data, change, message):
    arguments = {"data": data, "test": rows(8), "label": "ill", "params": RECIPE} | change
    with pytest.raises(us.InputError) as raised:
        us.value(None, arguments.pop("data"), **arguments)
    assert message in str(raised.value)


def test_nothing_is_written_or_left_changed():
    """In a process of its own: no file is opened to be written, no setting differs afterwards."""
    script = """
import logging, os, random, sys, warnings
import numpy as np, pandas as pd, torch
import unshapley as us
from tests.unshapley.api.test_value import NAMES, RECIPE, rows

def state():
    return (dict(os.environ), os.getcwd(), list(sys.path), list(warnings.filters),
            logging.root.handlers[:], logging.getLogger("unshapley").handlers[:],
            random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(),
            torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
            torch.get_deterministic_debug_mode())

data = {name: rows(seed) for seed, name in enumerate(NAMES)}
call = dict(test=rows(8), label="ill", params=RECIPE | {"valuation": {"options": {"retrain_up_to": 0}}})
written = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        written.append(arguments[0])
sys.addaudithook(hook)
us.value(None, data, **call)
assert torch.backends.cuda.is_built() or "CUBLAS_WORKSPACE_CONFIG" not in os.environ
before = state()  # torch has imported by now what it imports late, which sets variables of its own
us.value(None, data, **call)
assert state() == before
assert written == [], written
print([m for m in ("prefect", "dvc", "great_expectations", "flows") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_result_is_saved_as_a_valuation(result, tmp_path):
    folder = result.save(tmp_path / "deep" / "valuation")
    manifest = json.loads((folder / "manifest.json").read_text())
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert names == {*manifest["outputs"], "manifest.json"}
    assert {"values.csv", "utilities.parquet", "report.html", "metrics.json"} <= names
    assert all(sha256(folder / name) == value for name, value in manifest["outputs"].items())
    assert set(manifest["inputs"]) >= {"data/north", "test", "reference"}
    saved = pd.read_csv(folder / "values.csv")
    pd.testing.assert_frame_equal(saved, result.frame, check_dtype=False)
    first = (folder / "manifest.json").read_bytes()
    assert result.save(folder) == folder
    assert (folder / "manifest.json").read_bytes() == first
    assert list(tmp_path.glob("deep/.staged*")) == []


def test_what_the_gate_refuses_is_saved_on_request_only(data, tmp_path):
    params = RECIPE | {"fidelity": {"coalitions": 0}}
    with pytest.warns(us.ValuationWarning):
        found = us.value(None, data, test=rows(8), label="ill", params=params)
    with pytest.raises(us.UntrustedError, match="not saved: no coalition was retrained"):
        found.save(tmp_path / "valuation")
    assert list(tmp_path.iterdir()) == []
    page = (found.save(tmp_path / "valuation", untrusted=True) / "report.html").read_text()
    assert "no coalition was retrained to check the values" in page
    (tmp_path / "file").touch()
    with pytest.raises(us.InputError):
        found.save(tmp_path / "file" / "valuation", untrusted=True)


def test_a_result_is_shown_in_notebooks(result, tmp_path):
    before = set(sys.modules)  # shapiq, which another test may have used, imports pyplot
    html = result._repr_html_()
    assert "<table" in html
    assert "fidelity: trusted" in html
    picture = result.plot_values()
    svg = picture._repr_svg_()
    assert svg.startswith("<svg")
    assert all(name in svg for name in NAMES)
    picture.save(tmp_path / "values.png")
    assert (tmp_path / "values.png").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules.keys() - before


def test_names_stay_text(data):
    evil = {"<b>north": data["north"], "=1+1": data["south"], "west": data["west"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", us.ValuationWarning)
        found = us.value(None, evil, test=rows(8), label="ill", params=RECIPE)
    assert "&lt;b&gt;north" in found._repr_html_()
    assert "<b>north" not in found._repr_html_()
