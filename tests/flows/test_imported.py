"""A model that was trained elsewhere is kept up to date and audited like one that is trained here,
and is never said to speak for rows that it was not trained on.
"""

import sys

import pandas as pd
import pytest
import yaml
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import unshapley as us
from flows.audit import audit
from flows.refresh import value
from flows.refresh_steps.repository import CommandError
from flows.refresh_steps.steps import refresh_project
from flows.valuation import valuation
from tests.cli import unshapley
from tests.conftest import made_once, set_params
from tests.flows.checkouts import Checkout, build_checkout, copied, deliver, forms, stages
from tests.flows.test_audit import git
from tests.flows.test_refresh import committer, never
from unshapley.audit.settings import AuditSettings
from unshapley.audit.verdict import NotCheckableError
from unshapley.errors import InputError
from unshapley.files import sha256


def import_into(place, strength=1.0):
    rows = pd.concat(pd.read_parquet(path) for path in sorted(place.partitions.glob("*.parquet")))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
    model.fit(rows.drop(columns="label"), rows["label"])
    us.import_model(model, place.root)


def without_pretrain():
    content = stages()
    del content["stages"]["pretrain"]
    return yaml.safe_dump(content)


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    """Three providers and a model of scikit-learn's, valued and pushed by a refresh."""

    def make(folder):
        unchecked = ["fidelity.publish_unchecked=true", "valuation.unlearner=newton"]
        place = build_checkout(folder, ["form-00", "form-01", "form-02"], *unchecked)
        (place.root / "dvc.yaml").write_text(without_pretrain())
        place.dvc("repro", "-q", "prepare")
        import_into(place)
        with committer():
            with pytest.raises(InputError, match=r"no data/model.dvc(.|\n)*dvc add data/model"):
                refresh_project(place, never)
            place.dvc("add", "-q", "data/model", "data/curvature")
            place.commit("model")
            place.git("push", "-q")
            assert refresh_project(place, value).pushed
        assert place.published()

    return Checkout(made_once(tmp_path_factory, "refresh-imported", make) / "project")


@pytest.fixture
def checkout(imported, tmp_path, monkeypatch):
    with committer():
        yield copied(imported, tmp_path)


@pytest.mark.drill
def test_it_is_valued_once_and_a_clone_reproduces_it(checkout):
    assert not refresh_project(checkout, never).changed
    colleague = checkout.clone("colleague")
    settings = AuditSettings(sample=4, retrain=0, seed=1)
    found = audit(project=colleague.root, settings=settings)
    assert found["verdict"].startswith("reproduced")
    assert not refresh_project(colleague, never).changed


@pytest.mark.drill
def test_rows_that_it_was_not_trained_on_are_not_valued_with_it(checkout, tmp_path):
    before = sha256(checkout.model / "model.json"), checkout.log()
    drop = deliver(tmp_path / "drop", "form-03.csv", forms()["form-03"]).parent
    with pytest.raises(InputError) as error:
        refresh_project(checkout, never, drop=drop)
    told = str(error.value)
    assert "imported from LogisticRegression, and since then provider form-03 was added" in told
    assert "unshapley import-model" in told
    assert (sha256(checkout.model / "model.json"), checkout.log()) == before
    assert [path.name for path in drop.iterdir()] == ["form-03.csv"]
    assert checkout.published()


@pytest.mark.drill
def test_a_model_that_dvc_does_not_hold_is_neither_valued_nor_lost(checkout):
    import_into(checkout, 0.1)
    mine = sha256(checkout.model / "model.json")
    with pytest.raises(InputError, match=r"data/model: is not what(.|\n)*to keep it `dvc add"):
        refresh_project(checkout, never)
    assert sha256(checkout.model / "model.json") == mine
    checkout.dvc("add", "-q", "data/model", "data/curvature")
    checkout.commit("another model")
    checkout.git("push", "-q")
    with pytest.raises(CommandError, match="valued"):
        refresh_project(checkout, lambda *_: (_ for _ in ()).throw(CommandError("valued")))


@pytest.mark.drill
def test_a_stage_that_would_train_over_it_is_refused(checkout):
    (checkout.root / "dvc.yaml").write_text(yaml.safe_dump(stages()))
    checkout.commit("all stages")
    with pytest.raises(InputError, match="stage pretrain would train another model over the imp"):
        refresh_project(checkout, never)


def test_an_audit_without_its_code_accuses_nobody(project):
    """Who has no copy of an architecture can say nothing about the valuation."""
    code = project.root / "net_of_ours.py"
    code.write_text("from torch import nn\n\n\ndef net():\n    return nn.Linear(64, 10)\n")
    save_file(nn.Linear(64, 10).state_dict(), project.root / "net.safetensors")
    ours = ("--architecture", "net_of_ours:net", "--accept-score")
    done = unshapley("import-model", project.root / "net.safetensors", *ours, "-p", project.root)
    assert done.returncode == 0, done.stderr
    set_params(project, valuation__unlearner="newton", valuation__options={})
    set_params(project, fidelity__publish_unchecked=True)
    valuation(project=project.root)
    git(project, "init", "-q")
    git(project, "add", "params.yaml", "data")
    git(project, "commit", "-qm", "valued, without the architecture")
    code.unlink()
    del sys.modules["net_of_ours"]
    with pytest.raises(NotCheckableError) as error:
        audit(project=project.root, settings=AuditSettings(sample=4, retrain=0, seed=1))
    told = str(error.value)
    assert "architecture 'net_of_ours:net' cannot be imported" in told
    assert str(project.root) in told
    assert ".unshapley" not in told
