import subprocess
import sys

import unshapley


def test_what_is_exported_resolves():
    assert unshapley.__all__ == sorted(
        ["BusyError", "InputError", "Params", "Project", "UnshapleyError", "UntrustedError",
         "ValidationError", "build_unlearner", "check_fidelity", "estimate_values", "load_game",
         "load_params", "make_plan", "measure", "measure_endpoints", "prepare", "pretrain"]
    )  # fmt: skip
    assert all(getattr(unshapley, name) for name in unshapley.__all__)


def test_the_library_loads_no_orchestration_and_the_command_line_no_torch():
    for module, absent in (
        (
            "unshapley.results.valuation, unshapley.results.publishing",
            "prefect dvc great_expectations",
        ),
        ("flows.cli", "torch prefect great_expectations"),
    ):
        script = f"import sys, {module}; print([m for m in {absent!r}.split() if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout.strip() == "[]", done.stderr
