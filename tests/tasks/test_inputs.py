"""Inputs by content: what a worker without the project's folder gets, and never takes."""

import shutil
from pathlib import Path

import pytest

from tasks.inputs import Inputs, cache_folder, list_inputs, place
from tasks.remote import Remote
from tasks.worker import GameLoader, GameSource
from unshapley.errors import InputError
from unshapley.files import sha256


@pytest.fixture
def pushed(built, tmp_path, monkeypatch):
    """Inputs of the small project, and the folder of a remote that holds them."""
    monkeypatch.setenv("UNSHAPLEY_CACHE", str(tmp_path / "cache"))
    listed = list_inputs(built, "curvature")
    remote = tmp_path / "remote"
    for file in listed.files:
        target = remote / "files" / "md5" / file.md5[:2] / file.md5[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(built.root / file.path, target)
    return Inputs(listed.files, Remote({"url": str(remote)}))


def objects(inputs: Inputs) -> list[Path]:
    remote = Path(inputs.remote.url)
    return [remote / "files" / "md5" / f.md5[:2] / f.md5[2:] for f in inputs.files]


def test_a_folder_that_holds_the_inputs_is_used_as_it_is(pushed, built):
    assert place(pushed, built.root) == built.root
    assert not cache_folder().exists()


def test_a_game_loads_from_the_remote_alone(pushed, built, tmp_path):
    players = tuple(built.providers())
    here = GameSource(built.root, players, "curvature", "cpu", ("accuracy",), "state")
    there = GameSource(tmp_path / "no", players, "curvature", "cpu", ("accuracy",), "state", inputs=pushed)  # fmt: skip
    game, same = GameLoader().load(there), GameLoader().load(here)
    assert [value for _, value in game.statistics] == [value for _, value in same.statistics]
    assert game.test_x.equal(same.test_x)
    shutil.rmtree(pushed.remote.url)  # what was fetched once is kept
    assert GameLoader().load(there).record == same.record


def test_a_folder_with_a_partition_more_is_another_game(pushed, project):
    shutil.copy(project.partition(project.providers()[0]), project.partition("newcomer"))
    assert place(pushed, project.root) != project.root


def test_what_was_not_pushed_is_named_with_what_to_do(pushed, tmp_path):
    objects(pushed)[-1].unlink()
    with pytest.raises(InputError, match=rf"{pushed.files[-1].path}: is neither .*(?s:.*)dvc push"):
        place(pushed, tmp_path / "no")


def test_a_project_without_a_remote_says_what_to_do(built, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAPLEY_CACHE", str(tmp_path / "cache"))
    listed = list_inputs(built, None)
    assert listed.remote is None
    with pytest.raises(InputError, match=r"no DVC remote(?s:.*)dvc remote add(?s:.*)dvc push"):
        place(listed, tmp_path / "no")


@pytest.mark.parametrize("where", ["remote", "cache"])
def test_what_does_not_match_its_hash_is_never_used(pushed, tmp_path, where):
    if where == "remote":
        objects(pushed)[0].write_bytes(b"altered")
        with pytest.raises(InputError, match="its hash differs"):
            place(pushed, tmp_path / "no")
        assert not list(cache_folder().glob("games/*"))
        return
    view = place(pushed, tmp_path / "no")
    (view / pushed.files[0].path).resolve().write_bytes(b"altered")
    view = place(pushed, tmp_path / "no")
    assert sha256(view / pushed.files[0].path) == pushed.files[0].sha256


def test_no_secret_of_a_remote_travels(tmp_path, monkeypatch):
    from dvc.repo import Repo

    from tasks.remote import remote_of

    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n no_scm = true\n remote = far\n['remote \"far\"']\n url = s3://b/d\n region = r\n"
        " access_key_id = PLANTED\n secret_access_key = PLANTED\n session_token = PLANTED\n"
    )
    with Repo(str(tmp_path)) as repo:
        assert repo.config["remote"]["far"]["access_key_id"] == "PLANTED"
    assert remote_of(tmp_path / "data").settings == {"url": "s3://b/d", "region": "r", "use_ssl": True, "allow_anonymous_login": False}  # fmt: skip
