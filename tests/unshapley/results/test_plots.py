import pandas as pd
import pytest

from unshapley.results.report import plots


def table(count: int) -> pd.DataFrame:
    value = [float(i) for i in range(count)]
    low, high = ([v + d for v in value] for d in (-0.5, 0.5))
    names = [f"p{i:03d}" for i in range(count)]
    rank = range(count, 0, -1)
    return pd.DataFrame(
        {"provider": names, "value": value, "ci_low": low, "ci_high": high, "rank": rank}
    )


@pytest.mark.parametrize(("count", "named"), [(plots.SHOWN, plots.SHOWN), (300, plots.SHOWN)])
def test_a_plot_names_no_more_providers_than_can_be_read(count, named):
    values = table(count)
    svg = plots.bars(values, "accuracy")
    shown = [name for name in values["provider"] if f">{name}<" in svg]
    assert len(shown) == named
    assert shown == [*values["provider"][: named // 2], *values["provider"][-named // 2 :]]
    assert (f"of {count} values" in svg) == (count > named)
