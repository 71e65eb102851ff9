"""What is no cron expression, or never fires, is said before anything is started."""

import pytest

from flows.serving.schedules import check_cron
from unshapley.errors import InputError


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/5 1-3 * * 1,2", "0 0 29 2 *", "0 0 * * 0"])
def test_what_fires_is_taken(cron):
    check_cron(cron)


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 2 *", "0 0 31 4,6 *"])
def test_a_day_that_never_comes_is_refused(cron):
    with pytest.raises(InputError, match="never fires"):
        check_cron(cron)


@pytest.mark.parametrize(
    "cron", ["", "@daily", "61 * * * *", "* * * *", "* * * * * *", "a b c d e"]
)
def test_what_is_no_cron_expression_is_refused(cron):
    with pytest.raises(InputError, match="is no cron expression"):
        check_cron(cron)
