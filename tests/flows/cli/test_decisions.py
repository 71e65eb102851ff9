"""`unshapley payout` and `unshapley curves` on a small published valuation, and their mistakes."""

import csv
import json
import re
from decimal import Decimal

from flows.valuation import valuation
from tests.cli import unshapley
from tests.conftest import set_params
from unshapley.files import read_json, sha256, write_json


def refused(message, *arguments):
    done = unshapley(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def resign(place, edit):
    """Change values.csv and have the manifest name it."""
    path = place.valuation / "values.csv"
    path.write_text(edit(path.read_text()))
    manifest = read_json(place.valuation / "manifest.json", do="")
    manifest["outputs"]["values.csv"] = sha256(path)
    write_json(place.valuation / "manifest.json", manifest)


def test_a_payout_is_shown_and_written(valued, tmp_path):
    out = tmp_path / "sub" / "payout.csv"
    done = unshapley("payout", "-p", valued.root, "--budget", 1000, "--floor", 10, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "sum 1000.00" in done.stdout
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["provider"] for row in rows] == valued.providers()
    assert sum(Decimal(row["payout"]) for row in rows) == 1000


def test_mistakes_of_a_payout(valued, published, tmp_path):
    out = tmp_path / "payout.csv"
    at = ["-p", valued.root, "--out", out]
    refused("--budget: 'much' is no amount", "payout", *at, "--budget", "much")
    refused("more than the budget", "payout", *at, "--budget", 10, "--floor", 5)
    resign(published, lambda text: re.sub(r"(form-01,\d+),[^,]+", r"\1,nan", text))
    at = ["-p", published.root, "--out", out, "--budget", 10]
    refused("provider 'form-01' has no finite value", "payout", *at)
    with (published.valuation / "values.csv").open("a") as file:
        file.write("\n")
    refused("not the file that was published", "payout", *at)
    refused("no valuation stands here", "payout", "-p", tmp_path, "--budget", 10)
    assert not out.exists()


def test_curves_are_measured_drawn_and_judged(valued, tmp_path):
    done = unshapley("curves", "-p", valued.root, "--random", 3, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["random"] == 3
    assert figures["finding"] in ("meaningful", "partly", "random")
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 * 6  # directions, orders, steps
    picture = (tmp_path / "curves.svg").read_text()
    assert re.search(r"<svg.*most valuable first.*</svg>", picture, re.DOTALL)


def test_mistakes_of_curves(published, tmp_path):
    at = ["-p", published.root, "--out", tmp_path / "out"]
    refused("--by: there is no unlearner 'magic'", "curves", *at, "--by", "magic")
    refused("--by: auto is calibrated by a run", "curves", *at, "--by", "auto")
    assert unshapley("curves", *at, "--random", 1).returncode == 2
    model = published.model / "model.json"
    model.write_text(model.read_text() + "\n")
    refused("the published values are of another model", "curves", *at)
    assert not (tmp_path / "out").exists()


def test_partial_curves_need_rows_of_those_who_stay_to_retrain(published, tmp_path):
    targets = published.providers()[:3]
    set_params(published, valuation__targets=targets, valuation__unlearner="newton",
               valuation__options={}, fidelity__publish_unchecked=True)  # fmt: skip
    published.partition("form-04").unlink()
    valuation(project=published.root)
    at = ["curves", "-p", published.root, "--out", tmp_path / "out"]
    refused("--by: rows of providers that always stay are not reachable", *at)
    done = unshapley(*at, "--by", "newton")
    assert done.returncode == 0, done.stderr
    assert "against 20 random orders" in done.stdout


def test_planted_faults_are_reported_where_there_are_any(published):
    assert "planted faults" not in unshapley("report", "-p", published.root).stdout
    path = published.valuation / "manifest.json"
    manifest = read_json(path, do="")
    manifest["config"]["faults"]["noise"] = {"form-01": 2.0}
    write_json(path, manifest)
    done = unshapley("report", "-p", published.root)
    assert re.search(r"planted faults: [01] of 1 among the 1 lowest values", done.stdout)
