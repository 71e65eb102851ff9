"""The forms of rows: frames, pairs of arrays or tensors, datasets."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

import unshapley as us
from tests.unshapley.api.test_value import NAMES, RECIPE, rows

pytestmark = pytest.mark.filterwarnings("ignore::unshapley.errors.ValuationWarning")


class Pairs(Dataset):
    """Map-style: items of (x, y)."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def arrays(seed: int) -> tuple[np.ndarray, np.ndarray]:
    frame = rows(seed)
    return frame[list("abcd")].to_numpy(np.float32, copy=True), (frame["ill"] == "yes").to_numpy(
        int
    )


def tensors(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(map(torch.from_numpy, arrays(seed)))


FORMS = {
    "arrays": arrays,
    "tensors": tensors,
    "lists": lambda seed: [part.tolist() for part in arrays(seed)],
    "a frame and labels": lambda seed: (rows(seed)[list("abcd")], pd.Series(arrays(seed)[1])),
    "a column of labels": lambda seed: (arrays(seed)[0], arrays(seed)[1][:, None]),
    "pictures": lambda seed: (arrays(seed)[0].reshape(-1, 1, 2, 2), arrays(seed)[1]),
    "a TensorDataset": lambda seed: TensorDataset(*tensors(seed)),
    "a dataset": lambda seed: Pairs(*tensors(seed)),
}


def valued(form) -> us.Result:
    data = {name: form(seed) for seed, name in enumerate(NAMES)}
    return us.value(None, data, test=form(8), reference=form(9), utility="auroc", params=RECIPE)


@pytest.fixture(scope="module")
def from_frames() -> us.Result:
    def frame(seed: int) -> pd.DataFrame:
        x, y = arrays(seed)
        return pd.DataFrame(x, columns=list("abcd")).assign(label=y)

    return valued(frame)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_values(form, from_frames):
    found = valued(FORMS[form])
    pd.testing.assert_frame_equal(found.utilities(), from_frames.utilities(), check_exact=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((5, 2)), "data['south']: is a ndarray"),
        ((np.zeros(5), np.zeros(5)), "data['south']: x has the shape (5,)"),
        ((np.zeros((5, 4)), np.zeros(4)), "data['south']: x has 5 rows, y has 4"),
        ((np.zeros((5, 4)), np.eye(5)), "data['south']: y has the shape (5, 5)"),
        ((np.array([["a", object()]]), [1]), "data['south']: x is of type ndarray"),
        ((rows(0).assign(label=1), np.zeros(60)), "data['south']: x has a column 'label'"),
        ((np.zeros((5, 2, 2)), np.arange(5)), "data['south']: rows have the shape (2, 2)"),
        ((np.zeros((5, 3)), np.arange(5)), "column 'x3'"),
        (Pairs(np.zeros((0, 4)), []), "data['south']: holds no rows"),
        (Pairs([np.zeros(4), np.zeros(3)], [0, 1]), "data['south']: rows of different shapes"),
    ],
)
def test_what_is_no_table_is_named(table, message):
    data = {"north": arrays(0), "south": table}
    with pytest.raises(us.InputError) as raised:
        us.value(None, data, test=arrays(8), params=RECIPE)
    assert message in str(raised.value)


def test_progress_is_shown_where_it_is_asked_for(capfd):
    data = {name: arrays(seed) for seed, name in enumerate(NAMES)}
    call = {"test": arrays(8), "reference": arrays(9), "utility": "auroc", "params": RECIPE}
    bars = ("training:", "measuring:", "retraining:")
    us.value(None, data, **call)
    silent = capfd.readouterr().err  # commands that ran in this process before show our messages
    assert not [name for name in bars if name in silent]
    us.value(None, data, **call, progress=True)
    shown = capfd.readouterr().err
    assert [name for name in bars if name in shown] == list(bars)
