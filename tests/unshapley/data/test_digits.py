import numpy as np
import pytest

from unshapley.data.digits import edit_distances, form_starts, load_forms


def test_forms_are_the_fourteen_natural_providers():
    forms = load_forms()
    assert len(forms) == 14
    assert sum(map(len, forms.values())) == 1797
    assert all(122 <= len(frame) <= 130 for frame in forms.values())


def test_every_form_begins_with_its_printed_digits_but_for_lost_ones():
    for name, frame in load_forms().items():
        head = frame["label"].tolist()[:30]
        assert edit_distances([*range(10)] * 3, head).min() <= 2, name


@pytest.mark.parametrize("lost", [0, 3, 129])
def test_a_boundary_is_found_where_digits_were_lost(lost):
    form = [*range(10)] * 3 + np.random.default_rng(0).integers(0, 10, 100).tolist()
    second = form[:lost] + form[lost + 1 :]
    assert form_starts(form + second + form) == [0, 130, 259]
