"""A test set of questions with options, from the file to the rows of a model."""

import json
import re

import pytest

from tests.unshapley.data.test_corpora import corpus, prepared, text_of
from unshapley.data.tables import Schema, read_table
from unshapley.data.windows import to_windows
from unshapley.errors import InputError

QUESTIONS = [
    {"question": "the people of", "options": ["that law", "this nation"], "answer": "this nation"},
    {
        "question": "liberty and",
        "options": ["law shall be", "serve", "who"],
        "answer": "law shall be",
    },
]


def lines(questions) -> str:
    return "".join(json.dumps(question) + "\n" for question in questions)


def test_questions_become_rows_with_the_right_option_first(tmp_path):
    files = {**corpus(), "asked.jsonl": lines(QUESTIONS)}
    project = prepared(tmp_path, files, documents={"context": 24}, test="asked.jsonl")
    schema, test = Schema.load(project.schema), read_table(project.test)
    assert test["document"].tolist() == ["asked.jsonl:0/0", "asked.jsonl:0/1", "asked.jsonl:1/0", "asked.jsonl:1/1", "asked.jsonl:1/2"]  # fmt: skip
    assert test["text"].tolist() == ["the people of this nation", "the people of that law", "liberty and law shall be", "liberty and serve", "liberty and who"]  # fmt: skip
    assert (test["choice"] > 0).tolist() == [True, False, True, False, False]
    assert schema.test_bytes == len(" this nation law shall be")
    assert schema.test_sources == {}
    x, y = to_windows(test, schema, project.test)
    assert x.shape == (5, 24)
    assert [(row >= 0).any() for row in y] == [True, False, True, False, False]
    for tokens, choice, row, target in zip(test["tokens"], test["choice"], x, y, strict=True):
        asked = target[abs(choice) : len(tokens)]
        assert (asked if choice > 0 else -2 - asked).tolist() == tokens[abs(choice) :].tolist()
        assert (target[: abs(choice)] == -1).all()
        assert (target[len(tokens) :] == -1).all()
        assert row[1 : len(tokens)].tolist() == tokens[:-1].tolist()


def test_questions_and_documents_may_judge_together(tmp_path):
    numbered = [{**QUESTIONS[0], "answer": 1}, {**QUESTIONS[1], "answer": 0}]
    files = {**corpus(), "own/asked.jsonl": lines(numbered), "own/text.txt": text_of(999)}
    project = prepared(tmp_path, files, documents={"context": 24}, test="own")
    schema, test = Schema.load(project.schema), read_table(project.test)
    assert test["choice"].eq(0).tolist() == [False] * 5 + [True]
    assert schema.test_bytes == len(" this nation law shall be") + len(text_of(999))
    assert len(to_windows(test, schema, project.test)[0]) > 6


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"question": "", "options": ["a", "b"], "answer": 0}, "row 0.*has no text"),
        ({"question": "q", "options": ["a"], "answer": 0}, "fewer than two options"),
        ({"question": "q", "options": ["a", "a "], "answer": 0}, "two options that are the same"),
        ({"question": "q", "options": ["a", " "], "answer": 0}, "an option without text"),
        ({"question": "q", "options": ["a", "b"], "answer": 2}, "the answer 2, which is none"),
        ({"question": "q", "options": ["a", "b"], "answer": "A"}, "the answer 'A', which is none"),
        ({"question": "q " * 40, "options": ["a", "b"], "answer": 0}, "tokens, with its question"),
        ({"question": "q", "options": "a, b", "answer": 0}, "which are no list"),
        ({"question": "q", "options": ["a", "b"]}, "no column 'answer'"),
    ],
)
def test_a_question_that_is_none_is_named(tmp_path, question, message):
    files = {**corpus(documents=4), "asked.jsonl": lines([question])}
    with pytest.raises(InputError) as caught:
        prepared(tmp_path, files, test="asked.jsonl", reference_share=0.3)
    assert re.search(message, str(caught.value).replace("\n", " "))
