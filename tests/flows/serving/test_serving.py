"""What a person is told before anything is started."""

import pytest

from tests.cli import unshapley


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "is no project: it holds no params.yaml"),
        ([], "no project is named or registered"),
        (["--schedule", "0 0 30 2 *"], "never fires"),
        (["--host", "0.0.0.0"], "could run what they like"),
        (["--pool", "docker"], "need an image"),
        (["--database", "postgresql://me:secret@h/d"], "a password stands on the command line"),
    ],
)
def test_what_is_amiss_is_said_at_once(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    done = unshapley("serve", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_projects_are_listed_and_changed(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    assert "no project is registered" in unshapley("projects").stdout
    done = unshapley("projects", "add", tmp_path, "--name", "clinics", "--schedule", "5 * * * *")
    assert done.stdout == f"clinics: {tmp_path}, refresh: 5 * * * *\n"
    for arguments in (("add",), ("add", tmp_path, "--drop", tmp_path / "nowhere")):
        assert unshapley("projects", *arguments).returncode == 2
    assert "no project is registered" in unshapley("projects", "remove", "clinics").stdout
