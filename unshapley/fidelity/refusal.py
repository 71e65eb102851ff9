"""Why values are not published, in words."""

from __future__ import annotations

from unshapley.fidelity.gate import NO_RECIPE, ROWS_ABSENT, Fidelity
from unshapley.unlearning import UNLEARNERS

REMEDIES = {
    ROWS_ABSENT: "restore the rows",
    NO_RECIPE: "state how the model was trained under pretrain (in a project, and import it again "
    "with --recipe project)",
}
COMPARE = "run `unshapley fidelity`, which compares the unlearners on this project, and "


def refusal(
    fidelity: Fidelity, place: str, unlearner: str, compare: str = COMPARE, *, text: bool = False
) -> str:
    """Why the gate refuses values, and what to do.

    place: says where the values are; unlearner: the one that was asked for; compare: how others can
    be compared with it, if there is a way; text: whether rows are text.
    """
    if fidelity.status == "unchecked":
        why = fidelity.reason or "no coalition was retrained to check the values"
        remedy = REMEDIES.get(fidelity.reason, "set fidelity.coalitions")
        return f"{why}\n  {place}\n  do: {remedy}, or set fidelity.publish_unchecked: true"
    implied = fidelity.implied
    if implied is not None and fidelity.beats_no_unlearning:
        return (
            "by what retraining a few coalitions implies, the values tell not even the best from "
            "the worst provider\n"
            f"  the best is worth more with probability {implied.best_above_worst:.2f}, and the "
            f"values are off by about {implied.rel_l2.expected:.0%}; {place}\n"
            f"  do: {compare}set valuation.unlearner to another or to retrain, or raise "
            "correction.coalitions"
        )
    fitting = {n for n, kind in UNLEARNERS.items() if kind.of_text in (None, text)}
    others = [
        n for n, kind in UNLEARNERS.items() if n in fitting and not kind.control and n != unlearner
    ]
    return (
        "unlearning predicts retraining no better than leaving the model as it is\n"
        f"  root mean squared error {fidelity.rmse:.4f}, without unlearning "
        f"{fidelity.rmse_no_unlearning:.4f}; {place}\n"
        f"  do: {compare}set valuation.unlearner to {', '.join(others)} or retrain"
    )
