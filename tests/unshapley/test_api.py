"""The public API: names, signatures, types, and what importing it loads."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unshapley

SIGNATURES = {
    "build_unlearner": "(name, options=None)",
    "build_utilities": "(names, task=None, bytes_per_token=None)",
    "check_fidelity": "(coalitions, retrained, unlearned, full, reason='', implied=None)",
    "estimate_values": "(plan, measured, endpoints, column=None, correction=None)",
    "import_model": "(estimator, project, *, none=None, seed=0, recipe_known=False, "
    "accept_score=False)",
    "init_project": "(folder, settings=())",
    "load_game": "(project, players, needs=None, device='cpu', utilities=())",
    "load_params": "(path)",
    "make_plan": "(estimator, n, budget, seed)",
    "measure": "(game, unlearner, coalitions, utilities)",
    "measure_batch": "(game, unlearner, coalitions, utilities)",
    "measure_endpoints": "(game, unlearner, utilities)",
    "prepare": "(project, params)",
    "pretrain": "(project, params, providers, quarantined, phases=<function silent_phases>)",
    "value": "(model, data, *, test=None, reference=None, label='label', utility=None, "
    "task='classification', initial=None, params=None, progress=False)",
}
CLASSES = [
    "AlteredError", "BusyError", "Estimate", "Estimator", "Fidelity", "Game", "InputError", "Measured",
    "Params", "Plan", "Project", "Result", "UncheckableError", "Unlearner", "UnshapleyError", "UntrustedError",
    "Utility", "ValidationError", "ValuationWarning",
]  # fmt: skip
HOME = Path(__file__).resolve().parents[2]


def test_names_and_signatures_are_pinned():
    assert unshapley.__all__ == sorted([*SIGNATURES, *CLASSES])
    for name in CLASSES:
        assert inspect.isclass(getattr(unshapley, name))
    for name, expected in SIGNATURES.items():
        signature = inspect.signature(getattr(unshapley, name))
        bare = [
            p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()
        ]
        text = re.sub(r" at 0x\w+", "", str(inspect.Signature(bare)))
        assert text == expected, name


@pytest.mark.drill
def test_a_type_checker_sees_what_is_exported():
    """As `make check` does every time; each error that the program expects is stated in it."""
    command = [sys.executable, "-m", "mypy", "tests/typing/public_api.py"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "unshapley.results.valuation, unshapley.results.publishing",
            "prefect dvc great_expectations",
        ),
        ("flows.cli", "torch pandas numpy pydantic prefect great_expectations"),
        ("unshapley.results.verification, unshapley.analysis.summary", "torch pandas prefect"),
    ],
)
def test_what_is_imported_loads_no_more_than_it_needs(module, absent):
    script = f"import sys, {module}; print([m for m in {absent!r}.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_training_step_loads_no_compiler():
    script = """
import sys, torch
from unshapley.models.optimizers import adam
weight = torch.ones(3, requires_grad=True)
optimizer = adam([weight], 0.1)
weight.square().sum().backward()
optimizer.step()
print(weight.tolist()[0] < 1, [m for m in ("torch._dynamo", "sympy") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "True []", done.stderr
