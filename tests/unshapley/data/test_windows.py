import numpy as np
import pandas as pd
import pytest

from unshapley.data.tables import TEXT, Schema
from unshapley.data.windows import BOUNDARY, NONE, to_windows, windows, windows_of
from unshapley.errors import InputError


def test_every_token_is_predicted_once_from_those_before_it_in_its_window():
    x, y = windows([[5, 6, 7, 8], [9]], context=3)
    assert x.tolist() == [[BOUNDARY, 5, 6], [7, 8, BOUNDARY], [BOUNDARY, 9, BOUNDARY]]
    assert y.tolist() == [[5, 6, 7], [8, BOUNDARY, NONE], [9, BOUNDARY, NONE]]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 6])
def test_a_document_has_as_many_windows_as_are_counted(length):
    tokens = list(range(1, length + 1))
    x, y = windows([tokens], context=3)
    assert len(x) == len(y) == windows_of(tokens, 3)
    assert (y != NONE).sum() == length + 1


def test_tokens_beyond_the_vocabulary_are_named_with_their_document():
    schema = Schema(("text",), "", (), task=TEXT, context=4, vocabulary=10)
    frame = pd.DataFrame(
        {"document": ["a", "b"], "text": ["", ""], "tokens": [[1], np.array([3, 12])]}
    )
    with pytest.raises(InputError, match="document 'b' holds the token 12"):
        to_windows(frame, schema, "somewhere.parquet")
    with pytest.raises(InputError, match="'tokens' is missing"):
        to_windows(frame.drop(columns="tokens"), schema, "somewhere.parquet")
