"""Rows of iterable datasets and loaders: each read once, whatever draws them."""

from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from unshapley.api.forms import as_form
from unshapley.errors import InputError

X, Y = torch.arange(60.0).reshape(20, 3), torch.arange(20) % 2
ROWS = TensorDataset(X, Y)


class Stream(IterableDataset):
    """Rows that have no number and no length; read counts how often it was begun."""

    def __init__(self, rows=ROWS):
        self.rows, self.read = rows, 0

    def __iter__(self):
        self.read += 1
        return iter(self.rows)


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.zeros(1000), 0


class OneByOne(Dataset):
    def __len__(self):
        return len(Y)

    def __getitem__(self, i):
        return X[i], int(Y[i])


def uneven(_rows):
    return X[:5], Y[:4]


SOURCES = {
    "a stream": Stream,
    "a dataset": OneByOne,
    "a loader": lambda: DataLoader(ROWS, batch_size=7),
    "a loader that shuffles": lambda: DataLoader(ROWS, batch_size=7, shuffle=True),
    "a loader that drops its last batch": lambda: DataLoader(ROWS, batch_size=7, drop_last=True),
    "a loader of rows": lambda: DataLoader(ROWS, batch_size=None, shuffle=True),
    "a loader of a stream": lambda: DataLoader(Stream(), batch_size=7, drop_last=True),
    "a loader of a stream, with workers": lambda: DataLoader(Stream(), 7, num_workers=2),
    "a loader in an order of its own": lambda: DataLoader(ROWS, 7, sampler=range(20)),
    "a stream of batches": lambda: DataLoader(
        Stream([(X[:12], Y[:12]), (X[12:], Y[12:, None])]), None
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_each_row_is_read_once_in_its_order(source):
    form = as_form(SOURCES[source](), "label", "north")
    assert form.shape == (3,)
    np.testing.assert_array_equal(form.frame[["x0", "x1", "x2"]], X.numpy())
    np.testing.assert_array_equal(form.frame["label"], Y.numpy())


def test_a_stream_is_begun_once():
    stream = Stream()
    as_form(stream, "label", "north")
    assert stream.read == 1


def test_rows_that_were_chosen_stay_chosen():
    form = as_form(DataLoader(ROWS, 7, sampler=[3, 1, 4]), "label", "north")
    np.testing.assert_array_equal(form.frame["x0"], [9, 3, 12])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Stream([]), "north: holds no rows"),
        (Stream([X[0]]), "item 0 is no pair (x, y) but a Tensor"),
        (Stream([(X[0], 1), (X[0, :2], 1)]), "rows of different shapes: (2,), (3,)"),
        (Stream([(X[0], 1)] * 1024 + [(X[0, :2], 1)]), "rows of different shapes: (2,), (3,)"),
        (Stream([(X[:5], Y[:5]), (X[5:9], X[5:9])]), "labels of the shapes (5,) and (4, 3)"),
        (DataLoader(TensorDataset(X), 7), "batch 0 is no pair (x, y) but a list"),
        (
            DataLoader(ROWS, 7, collate_fn=uneven),
            "batch 0 has x of shape (5, 3) and y of shape (4,)",
        ),
        (
            DataLoader(ROWS, 7, sampler=WeightedRandomSampler([1.0] * 20, 20)),
            "its WeightedRandomSampler takes some rows twice and others never",
        ),
        (
            DataLoader(ROWS, 7, sampler=RandomSampler(ROWS, replacement=True)),
            "its RandomSampler takes some rows twice",
        ),
        (
            DataLoader(ROWS, 7, sampler=RandomSampler(ROWS, num_samples=5)),
            "its RandomSampler takes some rows twice",
        ),
    ],
)
def test_what_gives_no_rows_is_named(source, message):
    with pytest.raises(InputError) as raised:
        as_form(source, "label", "north")
    assert message in str(raised.value)


def test_a_stream_without_an_end_ends_before_memory_does(monkeypatch):
    free = SimpleNamespace(available=40 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(InputError) as raised:
        as_form(Endless(), "label", "north")
    told = str(raised.value)
    assert "its first 3,072 rows take 12 MiB" in told
    assert "40 MiB, all that was free, are used up" in told
    assert "unshapley run" in told
