"""The report as a reader meets it: one page, in a real browser, with no request to anywhere."""

import csv
import io
import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tests.acceptance.browser import MISSING, started
from tests.unshapley.results.made import report_of, valuation_of
from unshapley.analysis.payout import divide
from unshapley.files import from_text
from unshapley.results.published import read_values
from unshapley.results.report.colours import DARK, LIGHT

in_browser = pytest.mark.skipif(bool(MISSING), reason=MISSING)
VALUES = "#values-table"
SORT = VALUES + " th:nth-child({}) button"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with started(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def report(valued):
    return valued.valuation / "report.html"


@pytest.fixture
def page(browser, report):
    browser.emulate()
    browser.open(report)
    return browser


def test_the_page_is_one_file_that_names_no_other(report):
    text = report.read_text()
    ours = re.sub(r"<script>/\*! Vega.*?</script>", "", text, flags=re.DOTALL)
    assert len(ours) < len(text)
    assert "://" not in ours
    assert re.findall(r"default-src ([^;]*);", ours) == ["'none'"]
    assert "connect-src" not in ours
    assert "unsafe-eval" not in ours


@in_browser
def test_it_opens_and_asks_nobody(page):
    assert page.requests() == set()
    assert page.complaints() == []
    drawn = page.run(
        "return [...document.querySelectorAll('.picture svg')].map(s => s.closest('figure').dataset.picture)"
    )
    assert drawn == ["values", "order", "interactions", "test_sources", "removal", "fidelity"]
    assert page.run("return document.body.innerText").count("form-03") > 1


@in_browser
def test_the_table_sorts_by_keyboard_and_filters(page):
    assert page.column(VALUES, 0) == ["1", "2", "3", "4", "5"]
    by_name = page.find(SORT.format(2))
    by_name.send_keys("\n")
    names = page.column(VALUES, 1)
    assert names == sorted(names)
    assert page.find(VALUES + " [aria-sort]").get_attribute("aria-sort") == "ascending"
    by_name.send_keys("\n")
    assert page.column(VALUES, 1) == names[::-1]
    page.find(SORT.format(3)).send_keys(" ")
    assert page.column(VALUES, 0) == ["1", "2", "3", "4", "5"]
    page.find("[data-for=values-table] [data-filter]").send_keys("FORM-03")
    assert page.column(VALUES, 1) == ["form-03"]
    assert page.find("[data-for=values-table] output").text == "1 of 5 shown"


@in_browser
@pytest.mark.parametrize("amount", ["1000.01", "0.02", "1,000,000"])
def test_an_amount_is_divided_as_unshapley_payout_does(page, report, amount):
    page.find("[data-amount]").send_keys(amount)
    values = {entry.provider: entry.value for entry in read_values(report.parent / "values.csv")}
    budget = Decimal(amount.replace(",", ""))
    expected = divide(values, budget, floor=Decimal(0), unit=Decimal("0.01"))
    shown = [Decimal(cell.replace(",", "")) for cell in page.column(VALUES, 6)]
    assert dict(zip(page.column(VALUES, 1), shown, strict=True)) == expected


@in_browser
@pytest.mark.parametrize("amount", ["1000,50", "-5", "1e3"])
def test_what_is_no_amount_is_refused(page, amount):
    before = page.column(VALUES, 6)
    page.find("[data-amount]").send_keys(amount)
    assert page.column(VALUES, 6) == before
    assert page.find("[data-wrong]").text == "an amount such as 10000 or 0.01"


@in_browser
def test_tables_and_pictures_are_saved(page, report):
    for name in ("values.csv", "plots/convergence.csv"):
        saved = page.saved(f"[data-table='{name}']", name.split("/")[-1])
        assert saved == (report.parent / name).read_bytes()
    svg = page.saved("[data-picture=order] [data-kind=svg]", "order.svg").decode()
    assert svg.startswith("<svg")
    assert "var(" not in svg
    assert ">form-03<" in svg
    png = page.saved("[data-picture=values] [data-kind=png]", "values.png")
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5000


@in_browser
@pytest.mark.parametrize(("scheme", "paper"), [("light", LIGHT), ("dark", DARK)])
def test_it_follows_light_and_dark_and_axe_finds_nothing_serious(page, scheme, paper):
    page.emulate(scheme)
    colour = page.run("return getComputedStyle(document.body).getPropertyValue('--paper')")
    assert colour == paper["paper"]
    assert page.defects() == []


@in_browser
def test_it_fits_a_window_a_phone_and_paper(page):
    table = "const t = document.querySelector('#values-table').parentNode; "
    assert page.run(table + "return t.scrollWidth - t.clientWidth") == 0
    page.emulate("dark", width=400)
    width = "return document.documentElement.scrollWidth"
    assert page.run(width) <= 400
    assert page.printed().startswith(b"%PDF")
    page.emulate("dark", media="print")
    assert page.run("return getComputedStyle(document.querySelector('.tools')).display") == "none"
    assert (
        page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )


HOSTILE = {
    "</script><script>document.title = 'taken'</script>": 0.3,
    '"><img src=x onerror="document.title=\'taken\'">': 0.2,
    "=HYPERLINK(\"http://example.org\")": -0.1,
    "{{ 7 * 7 }} datum['x'] ${document.title}": 0.05,
    "long " * 60: 0.1,
    "@SUM(1)\u2028, \"quoted\"": 0.01,
}  # fmt: skip


SVG = {"svg", "g", "path", "line", "text"}


@in_browser
def test_names_are_text_whatever_they_hold(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_of(valuation_of(HOSTILE)))
    browser.emulate(width=400)
    browser.open(path)
    assert browser.run("return document.title") == "Valuation of 6 providers"
    assert sorted(browser.column(VALUES, 1)) == sorted(name.strip() for name in HOSTILE)
    assert browser.complaints() == []
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    svg = browser.saved("[data-picture=values] [data-kind=svg]", "values.svg").decode()
    assert {e.tag.rsplit("}")[-1] for e in ElementTree.fromstring(svg).iter()} <= SVG
    text = browser.saved("[data-table='values.csv']", "values.csv").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {from_text(row["provider"]) for row in rows} == set(HOSTILE)
    assert not any(row["provider"].startswith(("=", "@")) for row in rows)


@in_browser
def test_a_page_of_many_providers_is_soon_usable(browser, tmp_path):
    many = {f"clinic {i:03d}": 0.01 * (i % 37 - 5) + i / 1e5 for i in range(500)}
    path = tmp_path / "report.html"
    path.write_text(report_of(valuation_of(many)))
    browser.emulate()
    assert any(seconds_until_sorted(browser, path) < 2 for _ in range(3))  # beside other tests
    assert browser.column(VALUES, 1)[:2] == ["clinic 000", "clinic 001"]


def seconds_until_sorted(page, path):
    page.open(path)
    usable = page.run("return performance.getEntriesByName('usable')[0].startTime")
    sorting = page.run(
        "const start = performance.now(); document.querySelector(arguments[0]).click();"
        "document.body.offsetHeight; return performance.now() - start",
        SORT.format(2),
    )
    return (usable + sorting) / 1000
