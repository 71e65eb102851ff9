"""The list of projects that one server serves."""

from dataclasses import replace

import pytest

from flows.runtime.projects import Registered, Registry, check_drop_folder
from unshapley.errors import InputError


@pytest.fixture
def registry(tmp_path):
    for name in ("one", "two", "other/one"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "params.yaml").touch()
    return Registry(tmp_path / "home" / "projects.json")


def test_projects_are_added_changed_and_removed(registry, tmp_path):
    one = registry.named(tmp_path / "one")
    registry.add(registry.named(tmp_path / "two"))
    registry.add(one)
    registry.add(replace(one, drop=tmp_path, schedule="0 3 * * *"))
    two = Registered("two", tmp_path / "two")
    assert registry.projects() == [Registered("one", tmp_path / "one", tmp_path, "0 3 * * *"), two]
    assert registry.named(tmp_path / "other" / ".." / "one").drop == tmp_path
    registry.remove("one")
    registry.remove(str(tmp_path / "two"))
    assert registry.projects() == []


def test_what_cannot_be_registered_is_said(registry, tmp_path):
    registry.add(registry.named(tmp_path / "one"))
    for folder, name, message in (
        ("nowhere", "a", "holds no params.yaml"),
        ("other/one", "one", "the name one is that of"),
        ("two", "a/b", "cannot name a deployment"),
    ):
        with pytest.raises(InputError, match=message):
            registry.add(Registered(name, tmp_path / folder))
    with pytest.raises(InputError, match="no project 'x' is registered"):
        registry.remove("x")


@pytest.mark.parametrize("content", ["[", "[]", '{"projects": [{"name": "a"}]}'])
def test_a_damaged_list_is_said(registry, content):
    registry.path.parent.mkdir()
    registry.path.write_text(content)
    with pytest.raises(InputError, match="projects.json"):
        registry.projects()


def test_a_drop_folder_without_rights_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # root may do anything
    with pytest.raises(InputError, match="may not take files from it"):
        check_drop_folder(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        check_drop_folder(tmp_path / "nowhere")
