"""What a form may not lead a run to, where a team shares a server."""

import pytest

from flows.runtime.guard import GUARD, check_allowed
from flows.runtime.projects import Registered, Registry
from unshapley.config import parse_params
from unshapley.errors import InputError

STATED = {"valuation": {"utilities": ["mine:gain", "accuracy"]}}


@pytest.fixture(params=["file", "content"])
def place(tmp_path, monkeypatch, request):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "params.yaml").write_text("valuation: {utilities: ['mine:gain', accuracy]}")
    registry = Registry(tmp_path / "projects.json")
    registry.add(Registered("a", tmp_path / "a", drop=tmp_path / "drop"))
    named = {"file": str(registry.path), "content": registry.path.read_text()}
    monkeypatch.setenv(GUARD, named[request.param])
    return tmp_path


def test_what_is_registered_may_be_named(place):
    check_allowed(place / "a")
    check_allowed(place / "b" / ".." / "a", drop=place / "drop", revision="HEAD")
    check_allowed(place / "a", revision=str(place / "a" / "params.yaml"))
    for valuation in ({"budget": 7}, {"unlearner": "newton"}, {"estimator": "shapiq:KernelSHAP"}):
        content = {"valuation": {**STATED["valuation"], **valuation}}
        check_allowed(place / "a", params=parse_params(content, "a"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pretrain": {"architecture": "os:system"}}, "params, pretrain"),
        ({"pretrain": {"kwargs": {"graph": 1}}}, "params, pretrain"),
        ({"prepare": {"transform": "os:system"}}, "params, prepare"),
        ({"prepare": {"documents": {"tokenizer": "/etc/passwd"}}}, "params, prepare"),
        ({"fetch": {"url": "sqlite:////etc/passwd"}}, "params, fetch"),
        ({"signing": {"key": "/root/.ssh/id_rsa"}}, "params, signing"),
        ({"run": {"runner": "dask", "address": "elsewhere"}}, "params, run.address"),
        (
            {"run": {"runner": "dask", "cluster": {"cluster_class": "subprocess.Popen"}}},
            "params, run.cluster",
        ),
        ({"valuation": {"unlearner": "os:system"}}, "params, os:system"),
        ({"valuation": {"utilities": ["os:system"]}}, "params, os:system"),
        ({"valuation": {"options": {"a": [{"b": "os:system"}]}}}, "params, os:system"),
    ],
)
def test_no_code_file_or_address_comes_from_a_form(place, content, message):
    content = {**STATED, **content}
    with pytest.raises(InputError, match=f"{message}: may not be given by a form"):
        check_allowed(place / "a", params=parse_params(content, "a"))


def test_no_other_folder_is_reached(place):
    (place / "a" / "out").symlink_to(place)
    for arguments, message in (
        ({"project": place}, "is not a registered project"),
        ({"project": place / "a" / ".."}, "is not a registered project"),
        ({"project": place / "a", "drop": place}, "is not the drop folder"),
        ({"project": place / "a", "revision": str(place / "projects.json")}, "outside of the project"),
        ({"project": place / "a", "revision": str(place / "a" / "out" / "projects.json")}, "outside of the project"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            check_allowed(**arguments)


def test_alone_nobody_is_guarded_from_himself(place, monkeypatch):
    monkeypatch.delenv(GUARD)
    check_allowed(place / "b", drop=place)
