"""Models of the user's own: trained modules, functions that make modules, functions as utility."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import unshapley as us
from tests.unshapley.api.test_forms import arrays
from tests.unshapley.api.test_value import NAMES, RECIPE, rows
from unshapley.unlearning.newton import NewtonUnlearner

pytestmark = pytest.mark.filterwarnings("ignore::unshapley.errors.ValuationWarning")
CALL = {"test": arrays(8), "reference": arrays(9), "utility": "neg_log_loss"}

WORDS = {name: rows(seed).rename(columns={"ill": "label"}) for seed, name in enumerate(NAMES)}


def network(in_features: int, classes: int, width: int = 5) -> nn.Module:
    return nn.Sequential(nn.Linear(in_features, width), nn.Tanh(), nn.Linear(width, classes))


def share_right(y_true, y_score):
    return float((y_score.argmax(axis=1) == y_true).mean())


class Picture(nn.Module):
    """Takes rows of one channel and two by two pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 3, 2), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.first(x)).flatten(-3))


def trained(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """By a loop of the user's own."""
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return module


@pytest.fixture(scope="module")
def data():
    return {name: arrays(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def everything(data):
    x, y = zip(*data.values(), strict=True)
    return torch.cat([torch.from_numpy(part) for part in x]), torch.cat(
        [torch.from_numpy(part) for part in y]
    )


def test_a_trained_module_without_its_recipe_stays_unchecked_and_unchanged(data, everything):
    torch.manual_seed(0)
    module = trained(network(4, 2), *everything)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.train()
    with pytest.warns(us.ValuationWarning) as caught:
        result = us.value(module, data, **CALL)
    said = "\n".join(str(w.message) for w in caught)
    assert "unchecked: how the model was trained is not stated" in said
    assert "the weights of the model before training were not given" in said
    assert (result.status, result.grade, result.publishable) == ("unchecked", None, False)
    assert result.valuation.unlearner[1]["method"] == "newton"
    origin = result.valuation.origin.sentence()
    assert "Sequential (module" in origin
    assert "U(none) is that of new weights, drawn by seed 0; how it was trained is not" in origin
    with torch.no_grad():
        outputs = module(torch.from_numpy(arrays(8)[0]))
    loss = nn.functional.cross_entropy(outputs, torch.from_numpy(arrays(8)[1]))
    assert result.valuation.u_all == pytest.approx(-loss.item(), abs=1e-6)
    assert module.training
    assert all(torch.equal(before[n], tensor) for n, tensor in module.state_dict().items())


def test_with_recipe_and_first_weights_it_is_the_model_that_is_trained_here(data):
    here = us.value(None, data, **CALL, params=RECIPE)
    pretrained = here.game.pretrained
    found = us.value(pretrained.model, data, **CALL, params=RECIPE, initial=pretrained.initial)
    pd.testing.assert_frame_equal(found.utilities(), here.utilities(), check_exact=True)
    assert found.fidelity.retrained == here.fidelity.retrained
    assert found.findings == ()


def test_another_recipe_than_its_own_is_noticed(data, everything):
    module = trained(network(4, 2), *everything)
    params = RECIPE | {"pretrain": {"steps": 2}}
    with pytest.warns(us.ValuationWarning, match="that is not how it was trained"):
        us.value(module, data, **CALL, params=params)


def test_what_makes_a_module_is_trained_by_the_recipe(data):
    params = RECIPE | {"pretrain": {"steps": 40, "kwargs": {"width": 3}}}
    by_function = us.value(network, data, **CALL, params=params)
    by_name = us.value(f"{__name__}:network", data, **CALL, params=params)
    pd.testing.assert_frame_equal(by_function.utilities(), by_name.utilities(), check_exact=True)
    assert len(by_function.fidelity.retrained) == 4


def test_a_function_as_utility(data):
    own = us.value(None, data, **CALL | {"utility": [share_right, "accuracy"]}, params=RECIPE)
    shown = own.utilities()
    assert own.utility == f"{__name__}:share_right"
    pd.testing.assert_series_equal(shown[own.utility], shown["accuracy"], check_names=False)


def test_rows_keep_the_shape_that_the_module_takes(data, everything):
    def picture(table):
        return table[0].reshape(-1, 1, 2, 2), table[1]

    module = trained(Picture(), everything[0].reshape(-1, 1, 2, 2), everything[1])
    pictures = {name: picture(table) for name, table in data.items()}
    found = us.value(module, pictures, test=picture(arrays(8)), reference=picture(arrays(9)))
    assert found.valuation.u_all > found.valuation.u_none


def test_numbers_as_labels_stay_in_their_unit(everything):
    x, _ = everything
    torch.manual_seed(0)
    module = nn.Linear(4, 1)
    y = 50 + 10 * x[:, 0]
    tables = {name: (x[i::3], y[i::3]) for i, name in enumerate(NAMES)}
    sets = {"test": (x[:20], y[:20]), "reference": (x[20:40], y[20:40])}
    result = us.value(module, tables, **sets, task="regression")
    with torch.no_grad():
        error = (module(x[:20])[:, 0] - y[:20]).square().mean().item()
    assert (result.utility, result.status) == ("neg_mse", "unchecked")
    assert result.valuation.u_all == pytest.approx(-error, rel=1e-5)


def test_one_output_for_two_classes_is_the_logit_of_the_second(everything):
    x, y = everything
    torch.manual_seed(0)
    one = nn.Linear(4, 1)
    nn.init.zeros_(one.weight)
    trained_on = nn.functional.binary_cross_entropy_with_logits
    optimizer = torch.optim.LBFGS(one.parameters(), max_iter=60)

    def loss():
        optimizer.zero_grad()
        found = trained_on(one(x)[:, 0], y.float())
        found.backward()
        return found

    optimizer.step(loss)
    tables = {name: (x[i::3], y[i::3]) for i, name in enumerate(NAMES)}
    params = {"valuation": {"unlearner": "newton", "options": {"damping": 0, "proximal": 0}}}
    result = us.value(one, tables, **CALL, params=params)
    with torch.no_grad():
        test_x, test_y = (torch.from_numpy(part) for part in arrays(8))
        expected = -trained_on(one(test_x)[:, 0], test_y.float()).item()
    assert result.valuation.u_all == pytest.approx(expected, abs=1e-6)
    assert result.status == "unchecked"


def test_a_logistic_regression_is_forgotten_as_if_fitted_anew():
    """Newton's step without damping is nearly the new fit where little is forgotten: it is so much
    nearer than the model as it was that forgetting, penalty and classes are those of scikit-learn.
    """
    everything = pd.concat(WORDS.values())
    columns = list(everything.columns.drop("label"))
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.3))
    fitted.fit(everything[columns], everything["label"])
    test = rows(8).rename(columns={"ill": "label"})
    options = {"damping": 0, "proximal": 0}
    result = us.value(
        fitted,
        WORDS,
        test=test[test.columns[::-1]],
        reference=test,
        utility="neg_log_loss",
        params={"valuation": {"unlearner": "newton", "options": options}},
    )

    def score(model):
        return -log_loss(test["label"], model.predict_proba(test[columns]))

    game = result.game
    assert game.record.recipe.weight_decay == pytest.approx(1 / 0.3 / len(everything))
    assert result.valuation.u_all == pytest.approx(score(fitted), abs=1e-6)
    shares = everything["label"].value_counts(normalize=True)
    constant = log_loss(test["label"], [[shares["no"], shares["yes"]]] * len(test))
    assert result.valuation.u_none == pytest.approx(-constant, abs=0.01)
    missed, moved = [], []
    for i, name in enumerate(NAMES):
        kept = pd.concat(table for other, table in WORDS.items() if other != name)
        c = 0.3 * len(everything) / len(kept)  # the same penalty a row
        again = LogisticRegression(C=c).fit(fitted[0].transform(kept[columns]), kept["label"])
        coalition = np.arange(len(NAMES)) != i
        found = us.measure(game, NewtonUnlearner(**options), coalition[None], game.utilities[:1])
        truth = -log_loss(test["label"], again.predict_proba(fitted[0].transform(test[columns])))
        missed.append(found["neg_log_loss"][0] - truth)
        moved.append(result.valuation.u_all - truth)
    assert np.abs(missed).max() < 0.15 * np.abs(moved).max()


def test_a_linear_regression_is_unlearned_as_if_fitted_anew(everything):
    """Least squares are quadratic: the step of Newton's method is the new fit, in float64."""
    x = everything[0].numpy().astype(float)
    y = (50 + 10 * x[:, 0] + x[:, 1] ** 2).astype(np.float32)
    tables = {name: (x[i::3], y[i::3]) for i, name in enumerate(NAMES)}
    test = x[:20], y[:20]
    options = {"damping": 0, "proximal": 0}
    result = us.value(
        make_pipeline(StandardScaler(), LinearRegression()).fit(x, y),
        tables,
        test=test,
        reference=test,
        task="regression",
        params={"valuation": {"unlearner": "newton", "options": options}},
    )
    found = result.utilities().set_index("coalition")["neg_mse"]
    for bits in ("111", "110", "101", "011", "100", "010", "001"):
        kept = [table for stays, table in zip(bits, tables.values(), strict=True) if stays == "1"]
        again = LinearRegression().fit(*map(np.concatenate, zip(*kept, strict=True)))
        error = np.square(again.predict(test[0]) - test[1]).mean()
        assert found[bits] == pytest.approx(-error, rel=1e-6)
    assert found["000"] == pytest.approx(-np.square(y.mean() - test[1]).mean(), rel=1e-6)


class NoReset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 2))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (network(4, 2), {"data": WORDS, "test": WORDS["north"], "reference": None}, "the label 'no' is no output"),
        (network(4, 2), {"params": {"valuation": {"unlearner": "hybrid"}}}, "hybrid retrains, and how the model"),
        (network(4, 2), {"initial": {"weight": torch.ones(2)}}, "initial: are not weights of the model"),
        (network(3, 2), {}, "model: cannot run on rows of shape (4,)"),
        (nn.Sequential(network(4, 1), nn.Flatten(0)), {}, "model: gives outputs of shape (2,)"),
        (NoReset(), {}, "has no reset_parameters"),
        (Ridge(), {}, "this Ridge is not fitted"),
        (network, {"initial": {}}, "initial: belongs to a module that was trained elsewhere"),
        (partial(network, width=3), {}, "is not found by its name"),
        (3, {}, "architecture 3 is not found by its name"),
        ("nowhere:net", {}, "architecture 'nowhere:net' cannot be imported"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_used(data, model, change, message):
    arguments = {"data": data, **CALL} | change
    with pytest.raises(us.InputError) as raised:
        us.value(model, arguments.pop("data"), **arguments)
    assert message in str(raised.value)
