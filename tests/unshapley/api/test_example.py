"""The notebook under examples runs, and shows what it says."""

import json
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[3]


def run(notebook: Path) -> dict[str, object]:
    """All code cells in their order, as a kernel runs them; the names that they leave."""
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)
    return names


def test_the_notebook_shows_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="unchecked: how the model was trained is not stated"):
        names = run(HOME / "examples" / "from_python.ipynb")
    for result in ("result", "checked"):
        frame = names[result].frame.set_index("provider")
        assert frame["rank"].idxmax() == "east"
        assert frame.loc["east", "ci_high"] < 0
        assert names[result].status == "trusted"
        assert names[result].warnings == ()
    assert names["unchecked"].status == "unchecked"
    assert {"east"} <= set(names["certain"]["provider"]) | set(names["certain"]["other"])
    assert (tmp_path / "valuation" / "report.html").is_file()
    assert "fidelity: trusted" in capsys.readouterr().out
