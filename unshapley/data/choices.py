"""A test set of questions with options: which continuation a language model holds likeliest.

A question is a document for each option, the right one first: the tokens of the question, then
those of the option. In the table of the test set the column `choice` holds how many of the tokens
are the question's, negative for a wrong option; 0 for an ordinary document.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from unshapley.data.reading import RawTable
from unshapley.data.tokenizing import Tokenizer
from unshapley.data.windows import BODY, DOCUMENT, Tokens
from unshapley.errors import InputError

QUESTION, OPTIONS, ANSWER = "question", "options", "answer"
OPTION, RIGHT = "option", "right"
EXPECTED = (
    'lines such as {"question": "The sun rises in the", "options": ["east", "west"], "answer": 0}: '
    "answer is the right option, or its number, counted from 0"
)


def holds_questions(table: RawTable) -> bool:
    """Whether a table of the test set is of questions, by its columns."""
    return OPTIONS in table.rows.column_names


def read_questions(table: RawTable, place: str) -> pd.DataFrame:
    """A row an option: `document`, its name; `text`, question and option; both apart; whether it
    is the right one, which is the first of each question.

    Raises `InputError` for a question without text, with fewer than two options, with two that are
    the same, and for an answer that is none of them.
    """
    for name in (QUESTION, ANSWER):
        if name not in table.rows.column_names:
            raise InputError(
                f"has a column {OPTIONS!r}, and no column {name!r}",
                where=table.where,
                expected=EXPECTED,
            )
    rows: list[dict[str, Any]] = []
    columns = (table.column(name) for name in (QUESTION, OPTIONS, ANSWER))
    questions, options, answers = (column.to_pylist() for column in columns)
    width = len(str(len(questions) - 1))
    if not pa.types.is_list(table.column(OPTIONS).type):
        raise _wrong(table, 0, f"has the options {options[0]!r}, which are no list")
    for row, (question, texts, answer) in enumerate(zip(questions, options, answers, strict=True)):
        right = _right(table, row, question, texts, answer)
        in_order = [right, *(i for i in range(len(texts)) if i != right)]
        digits = len(str(len(texts) - 1))
        rows += [
            {
                DOCUMENT: f"{place}:{row:0{width}}/{position:0{digits}}",
                BODY: f"{question} {texts[option].strip()}",
                QUESTION: question,
                OPTION: f" {texts[option].strip()}",
                RIGHT: option == right,
            }
            for position, option in enumerate(in_order)
        ]
    return pd.DataFrame(rows)


def _right(table: RawTable, row: int, question: Any, texts: Any, answer: Any) -> int:
    """Position of the right option."""
    if not isinstance(question, str) or not question.strip() or "\0" in question:
        raise _wrong(table, row, "has no text")
    if not isinstance(texts, list) or len(texts) < 2:
        raise _wrong(table, row, "has fewer than two options")
    stripped = [text.strip() if isinstance(text, str) else "" for text in texts]
    if not all(stripped) or any("\0" in text for text in stripped):
        raise _wrong(table, row, "has an option without text")
    if len(set(stripped)) < len(stripped):
        raise _wrong(table, row, "has two options that are the same")
    if isinstance(answer, str) and answer.strip() in stripped:
        return stripped.index(answer.strip())
    if isinstance(answer, int) and 0 <= answer < len(texts):
        return answer
    raise _wrong(table, row, f"has the answer {answer!r}, which is none of its options")


def _wrong(table: RawTable, row: int, problem: str) -> InputError:
    where = f"{table.where}, row {row}"
    return InputError(f"the question {problem}", where=where, expected=EXPECTED)


def choice_tokens(
    frame: pd.DataFrame, tokenizer: Tokenizer, context: int
) -> tuple[list[Tokens], list[int]]:
    """Tokens of each option behind its question, and the column `choice`; of ordinary documents
    beside them the tokens of the text, and 0.

    Raises `InputError` where question and option do not fit into one row of a model.
    """
    asks = frame[QUESTION].notna()
    prompts = tokenizer.encode(frame[QUESTION].where(asks, "").tolist())
    ends = tokenizer.encode(frame[OPTION].where(asks, frame[BODY]).tolist())
    tokens = [np.concatenate(pair) for pair in zip(prompts, ends, strict=True)]
    for name, is_option, prompt, end in zip(frame[DOCUMENT], asks, prompts, ends, strict=True):
        if not len(end) or (is_option and not len(prompt)):
            raise InputError(
                f"the tokenizer makes nothing of {name!r}",
                where="prepare.documents.tokenizer",
                expected="a tokenizer of such text",
            )
        if is_option and len(prompt) + len(end) > context:
            raise InputError(
                f"{name!r} has {len(prompt) + len(end)} tokens, with its question",
                where="prepare.test",
                expected=f"at most prepare.documents.context = {context}, as it is one row",
                do="raise prepare.documents.context, or shorten the question",
            )
    signs = np.where(frame[RIGHT].eq(True), 1, -1)
    return tokens, [sign * len(prompt) for sign, prompt in zip(signs, prompts, strict=True)]


def bytes_counted(frame: pd.DataFrame) -> int:
    """Bytes in UTF-8 of what a model is to predict of a test set: documents, and right options."""
    if QUESTION not in frame:
        return sum(len(text.encode()) for text in frame[BODY])
    counted = frame[OPTION].where(frame[QUESTION].notna(), frame[BODY])[~frame[RIGHT].eq(False)]
    return sum(len(text.encode()) for text in counted)
