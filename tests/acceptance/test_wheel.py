"""The package as pip installs it, away from the clone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]


def test_a_built_wheel_starts_a_project_outside_of_the_clone(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"  # building writes into the tree
    tracked = ["unshapley", "tasks", "flows", "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    for name in tracked:
        (source / name).symlink_to(HOME / name)
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    pages = "unshapley/results/report"
    for name in ("unshapley/py.typed", f"{pages}/report.html.j2", f"{pages}/vega.js"):
        assert (tmp_path / "site" / name).is_file()

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    script = (
        "import sys, flows.cli, unshapley.new_project as n; print(n.__file__); "
        "sys.argv = ['unshapley', 'init', 'mine', '--set', 'prepare.source=files']; flows.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    text = (tmp_path / "mine" / "params.yaml").read_text()
    assert "source: files" in text
    assert "# largest number of coalitions measured" in text
