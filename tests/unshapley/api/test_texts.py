"""`unshapley.value` of documents: lists of texts by provider, and a small language model."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

import unshapley as us
from unshapley.api.texts import read_texts
from unshapley.config import Params, parse_params
from unshapley.data.preparation import prepare
from unshapley.data.tables import Schema
from unshapley.game.pretraining import train_model
from unshapley.models.building import build
from unshapley.models.rows import read_rows
from unshapley.project import Project

pytest.importorskip("tokenizers", reason="needs unshapley[text]")
WORDS = {"north": "snow falls on ice", "south": "sand lies in sun", "west": "rain comes by sea"}
PARAMS = {
    "prepare": {"documents": {"vocabulary": 257, "context": 8}},
    "pretrain": {"steps": 30, "kwargs": {"width": 8, "layers": 1, "heads": 2}},
    "run": {"workers": 1},
}


def texts(words: str, count: int = 12, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation(words.split())) + f" {i}" for i in range(count)]


CORPUS = {name: texts(words) for name, words in WORDS.items()}
TEST = texts(WORDS["north"], 8, seed=1)


def value(data=CORPUS, model=None, **options):
    settings = {"test": TEST, "params": PARAMS, "task": "language-model", **options}
    return us.value(model, data, **settings)


@pytest.fixture(scope="module")
def result():
    return value()


def test_who_wrote_what_judges_is_worth_most(result):
    frame = result.frame.set_index("provider")
    assert frame["value"].idxmax() == "north"
    assert frame["value"].sum() == pytest.approx(result.valuation.u_all - result.valuation.u_none)
    assert frame.attrs["utility"] == "log_likelihood"
    assert result.status == "trusted"  # of three providers every coalition is retrained


def test_a_frame_of_documents_is_the_same_corpus(result):
    rows = [{"provider": name, "text": text} for name, own in CORPUS.items() for text in own]
    again = value(pd.DataFrame(rows))
    pd.testing.assert_frame_equal(again.frame, result.frame)


def test_rows_are_those_of_a_project_of_the_same_texts(tmp_path):
    stated = {"source": "files", "task": "language-model", **PARAMS["prepare"]}
    params = Params.model_validate({"prepare": stated})
    project = Project(tmp_path)
    project.raw.mkdir(parents=True)
    for name, own in CORPUS.items():
        lines = [json.dumps({"text": text}) for text in own]
        (project.raw / f"{name}.jsonl").write_text("\n".join(lines))
    prepare(project, params)
    schema, tables = Schema.load(project.schema), read_texts(CORPUS, None, None, params.prepare)
    assert tables.schema.tokenizer == schema.tokenizer
    for name in CORPUS:
        for mine, stored in zip(
            tables.partitions[name], read_rows(project, schema, name), strict=True
        ):
            assert torch.equal(mine, stored)
    assert any("drawn from the providers" in finding for finding in tables.findings)


def test_copies_are_found():
    copied = {**CORPUS, "west": CORPUS["south"]}
    settings = Params.model_validate({"prepare": {**PARAMS["prepare"], "task": "language-model"}})
    findings = read_texts(copied, TEST, None, settings.prepare).findings
    assert any("documents of west are documents of another provider" in f for f in findings)


def test_a_trained_module_is_taken_as_it_is(tmp_path):
    settings = Params.model_validate({"prepare": {**PARAMS["prepare"], "task": "language-model"}})
    schema = read_texts(CORPUS, TEST, None, settings.prepare).schema
    model = build(
        "unshapley.models:gpt", in_features=8, classes=schema.vocabulary,
        kwargs=PARAMS["pretrain"]["kwargs"], seed=0, text=True,
    )  # fmt: skip
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.mul_(0.9)
    with pytest.warns(us.ValuationWarning):
        found = value(model=model, initial=initial, params={**PARAMS, "pretrain": {"steps": 2}})
    assert found.valuation.origin.kind == "module"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**CORPUS, "west": []}, r"data\['west'\]: holds no documents"),
        ({**CORPUS, "west": "one text"}, r"data\['west'\]: is a str.*\n.*a list of texts"),
        ({**CORPUS, "west": ["a", 3]}, r"data\['west'\]\[1\]: holds a int"),
        ({**CORPUS, "west": ["a", "  "]}, r"data\['west'\]\[1\]: is empty"),
        ({**CORPUS, "west": ["a\0b"]}, r"data\['west'\]\[0\]: is binary"),
        ({"north": CORPUS["north"]}, "of two providers or more"),
        (pd.DataFrame({"text": ["a"]}), "data: has no column 'provider'"),
    ],
)
def test_what_is_no_corpus_is_one_error(data, message):
    with pytest.raises(us.InputError, match=message):
        value(data)


def test_documents_without_the_task_are_told_of_it():
    with pytest.raises(us.InputError, match=r"'a'.*list of texts(.|\n)*task='language-model'"):
        us.value(None, {"a": ["one text", "another"], "b": ["a third"]}, test=["x"])


@pytest.mark.parametrize(
    ("steps", "judge", "warned"),
    [
        (1, "yx " * 6, "hardly learnt(.|\n)*raise pretrain.steps"),
        (150, "yx " * 6, None),
        (150, "yy xx " * 4, "by heart(.|\n)*lower pretrain.steps"),
    ],
)
def test_a_model_that_knows_no_more_than_shares_of_tokens_is_warned_of(
    steps, judge, warned, caplog
):
    data = {name: [f"{word} " * 6 for _ in range(8)] for name, word in (("a", "xy"), ("b", "yx"))}
    settings = {"prepare": PARAMS["prepare"] | {"task": "language-model", "source": "files"}}
    recipe = {"architecture": "unshapley.models:gpt", "learning_rate": 0.02, "optimizer": "adamw"}
    params = parse_params(
        settings | {"pretrain": PARAMS["pretrain"] | recipe | {"steps": steps}}, "test"
    )
    tables = read_texts(data, [judge], ["xy " * 6], params.prepare)
    train_model(params.pretrain, tables.schema, tables.partitions, tables.reference, tables.test)
    assert bool(re.search(warned or "shares of the tokens", caplog.text)) is bool(warned)
