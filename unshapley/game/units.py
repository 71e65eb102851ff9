"""In what each built-in utility is measured, for those who print values and need no torch."""

from __future__ import annotations

from collections.abc import Mapping

UNITS: Mapping[str, str] = {
    "accuracy": "share of test rows, 0 to 1",
    "balanced_accuracy": "mean recall, 0 to 1",
    "macro_f1": "mean F1 score, 0 to 1",
    "neg_log_loss": "nats a test row, negated",
    "neg_brier": "squared distance, 0 to 2, negated",
    "auroc": "area, 0 to 1, chance is 0.5",
    "recall_per_class": "share of the class's test rows, 0 to 1",
    "neg_log_loss_per_class": "nats a test row of the class, negated",
    "neg_mse": "squared units of the label, negated",
    "neg_mae": "units of the label, negated",
    "r2": "share of the label's variance, 1 is best",
    "log_likelihood": "nats a token",
    "token_accuracy": "share of test tokens, 0 to 1",
    "neg_bits_per_byte": "bits a byte of the test set, negated",
    "choice_accuracy": "share of questions, 0 to 1",
    "choice_log_likelihood": "nats a question",
}


def unit_of(utility: str) -> str:
    """In what a utility is measured, also one of the user's own or a column for one class."""
    return UNITS.get(utility.partition("[")[0], f"as {utility} gives it")
