from types import SimpleNamespace

import pytest

from unshapley.results.report.page import _by_proxy


@pytest.mark.parametrize(
    ("unlearner", "proxy"),
    [
        (("ngram", {}), True),
        (("auto", {"method": "ngram", "retrain_below": 0.2}), True),
        (("auto", {"method": "ngram", "retrain_below": 1.0}), False),
        (("auto", {"method": "ekfac_ngram"}), False),
        (("auto", {"method": None}), False),
        (("newton", {"damping": 3.0}), False),
        (("my_package:Own", {}), False),
        ((), False),
    ],
)
def test_a_report_says_when_no_network_has_forgotten(unlearner, proxy):
    assert _by_proxy(SimpleNamespace(unlearner=unlearner)) is proxy
