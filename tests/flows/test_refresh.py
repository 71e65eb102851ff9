"""The scheduled job: one tagged and pushed valuation a change, whatever happens in between."""

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3
import pandas as pd
import psutil
import pytest
import yaml

from flows.audit import audit
from flows.refresh import value
from flows.refresh_steps import dropfolder, rawtables, repository, steps
from flows.refresh_steps.checks import check
from flows.refresh_steps.commits import commit
from flows.refresh_steps.dropfolder import Drop
from flows.refresh_steps.job import RefreshJob, RefreshOutcome
from flows.refresh_steps.repository import DEFAULT_SECONDS, CommandError, Repository
from flows.refresh_steps.steps import refresh_project
from flows.runtime.locks import only_refresh
from tests.cli import unshapley
from tests.conftest import made_once, set_params
from tests.flows.checkouts import ENV, NAMED, Checkout, build_checkout, copied, deliver, forms
from tests.flows.test_valuation import outputs
from tests.s3 import s3  # noqa: F401 (a fixture)
from tests.unshapley.keys import make_key, needs_ssh_keygen, signer
from unshapley.config import PrepareSettings, load_params
from unshapley.data.columns import Columns
from unshapley.errors import BusyError, InputError, UnshapleyError, UntrustedError

STEPS = ["follow", "inputs", "drop", "prepare", "pretrain", "value", "record", "commit", "tag",
         "push data", "push", "clear"]  # fmt: skip


def bad_deliveries():
    """Tables that a drop folder may hold and nobody can use, by file name."""
    form = forms()["form-04"]
    return {
        "form-04.csv": form.rename(columns={"pixel_00": "pixel"}),
        "form-05.csv": form.drop(columns="label"),
        "form-06.csv": form[:0],
        "form-07.csv": form.assign(pixel_00="dark"),
        "form-08.csv": form.assign(pixel_00=99),
        "test.csv": form,
        "form-09.txt": form,
        "form-10.parquet": form,  # it is CSV
        "form-02.csv": forms()["form-02"],  # as it was, but beside another table of this provider
        "form-02.parquet": form,
    }


@pytest.fixture(autouse=True)
def named(monkeypatch):
    for name, said in NAMED.items():
        monkeypatch.setenv(name, said)


@contextmanager
def committer():
    """Somebody to commit as, in fixtures of more than one test."""
    with pytest.MonkeyPatch.context() as patch:
        for name, said in NAMED.items():
            patch.setenv(name, said)
        yield


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Three providers, valued, committed, tagged and pushed by the first refresh."""

    def make(folder):
        place = build_checkout(folder, ["form-00", "form-01", "form-02"])
        with committer():
            done = refresh_project(place, value)
        assert done.pushed
        assert place.log() == [f"Valuation of {done.tag.split('/')[1][:10]}", "tables"]
        assert place.tags() == {done.tag}
        assert place.published()

    return Checkout(made_once(tmp_path_factory, "refresh", make) / "project")


@pytest.fixture(scope="session")
def refreshed(published, tmp_path_factory):
    """A copy of it after a refresh from a drop folder, what that told, and the folder."""

    def make(folder):
        place = copied(published, folder)
        delivery(folder / "drop")
        for name, frame in bad_deliveries().items():
            deliver(folder / "drop", name, frame)
        (folder / "drop" / ".arriving.csv").write_text("half a fi")
        with committer():
            outcome = refresh_project(place, value, drop=folder / "drop")
        (folder / "outcome.json").write_text(json.dumps(vars(outcome)))

    folder = made_once(tmp_path_factory, "refreshed", make)
    outcome = RefreshOutcome(**json.loads((folder / "outcome.json").read_text()))
    return Checkout(folder / "project"), outcome, folder / "drop"


@pytest.fixture
def checkout(published, tmp_path):
    return copied(published, tmp_path)


@pytest.fixture
def drop(tmp_path):
    return delivery(tmp_path / "drop")


def delivery(folder):
    """A new provider's table, and a corrected one of an old provider."""
    deliver(folder, "form-01.csv", forms()["form-01"][:-1])
    return deliver(folder, "form-03.csv", forms()["form-03"]).parent


@pytest.fixture
def run_before(refreshed, checkout):
    """What DVC has run with this delivery already it takes from its cache."""
    shutil.copytree(refreshed[0].root / ".dvc" / "cache", checkout.root / ".dvc" / "cache",
                    dirs_exist_ok=True)  # fmt: skip


def command(place, *arguments):
    code = "from flows.cli import main; main()"
    return [sys.executable, "-c", code, "refresh", "-p", str(place.root), *map(str, arguments)]


def cli(place, *arguments):
    return subprocess.run(command(place, *arguments), env=ENV, capture_output=True, text=True)


def never(*_):
    pytest.fail("valued although nothing changed")


def test_nothing_changed_is_said(checkout):
    done = cli(checkout)
    assert (done.returncode, done.stdout) == (0, "nothing changed\n"), done.stderr
    assert len(checkout.log()) == 2


def test_what_lands_in_the_folder_is_valued_tagged_and_pushed(published, refreshed):
    place, done, folder = refreshed
    assert done.taken == ["form-01.csv", "form-03.csv"]
    assert {p.name for p in folder.iterdir()} == {*bad_deliveries(), ".arriving.csv"}
    assert not (place.results.parent / "incoming").exists()
    assert place.log()[0] == f"Valuation of {done.tag.split('/')[1][:10]}: form-01, form-03"
    assert place.published()
    assert place.tags() == {done.tag, *published.tags()}
    before, after = ({f.name: f.read_bytes() for f in p.partitions.iterdir()} for p in (published, place))  # fmt: skip
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"form-01.parquet", "form-03.parquet"}
    assert pd.read_csv(place.valuation / "values.csv")["provider"].tolist() == place.providers()


def test_what_cannot_be_taken_stays_with_a_reason(refreshed, tmp_path):
    place, done, folder = refreshed
    assert done.refused.keys() == bad_deliveries().keys()
    for name, why in {
        "form-04.csv": "but a column 'pixel'", "form-05.csv": "no label", "form-06.csv": "no rows",
        "form-07.csv": "is 'dark'", "form-08.csv": "outside the range 0 to 16",
        "test.csv": "it is reserved", "form-09.txt": "must end in one of .csv, .tsv",
        "form-10.parquet": "not readable", "form-02.csv": "two files of provider 'form-02'",
        "form-02.parquet": "two files of provider 'form-02'",
    }.items():  # fmt: skip
        assert why in done.refused[name], done.refused[name]
    drop = shutil.copytree(folder, tmp_path / "drop")
    (drop / "form-08.csv").unlink()  # only the stages see what is wrong with it
    again = cli(place, "--drop", drop, "--json")
    assert again.returncode == 2
    assert json.loads(again.stdout)["changed"] is False
    assert f"form-05.csv: {done.refused['form-05.csv']}" in again.stderr
    assert "Traceback" not in again.stderr


def test_rights_that_are_missing_in_the_drop_folder_are_told(checkout, tmp_path, monkeypatch):
    """The folder may be read and written, and a file of it still be neither read nor removed."""
    drop = tmp_path / "deliveries"
    drop.mkdir()
    shutil.copy(checkout.raw / "form-00.csv", drop)  # valued before, by a refresh that was killed
    (drop / "form-05.csv").touch()

    def refused(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    copy, remove = shutil.copyfile, Path.unlink
    monkeypatch.setattr(
        shutil, "copyfile", lambda a, b: refused(a) if a == drop / "form-05.csv" else copy(a, b)
    )
    monkeypatch.setattr(
        Path, "unlink", lambda p, **how: refused(p) if p.parent == drop else remove(p, **how)
    )
    done = unshapley("refresh", "-p", checkout.root, "--drop", drop)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: 2 files stay in the drop folder",
        "  form-05.csv: cannot be read: Permission denied",
        "  form-00.csv: is valued, and this user may not remove it: Permission denied",
        "  do: correct or remove them; nothing else changed",
    ]


@pytest.mark.drill
def test_a_clone_that_has_none_of_it_pulls_and_has_nothing_left_to_do(published, refreshed):
    place = refreshed[0]
    colleague = place.clone("colleague")
    colleague.git("reset", "-q", "--hard", published.git("rev-parse", "HEAD"))
    colleague.dvc("pull", "-q", "--force")
    assert outputs(colleague) == outputs(published)
    assert not refresh_project(colleague, never).changed
    assert outputs(colleague) == outputs(place)
    assert colleague.published()


class Killed(BaseException):
    """Nothing after it runs, and nobody catches it."""


def die_after(monkeypatch, name):
    real = RefreshJob.step

    @contextmanager
    def step(job, this):
        with real(job, this):
            yield
        if this == name:
            raise Killed

    monkeypatch.setattr(RefreshJob, "step", step)


@pytest.mark.drill
@pytest.mark.usefixtures("run_before")
def test_what_one_that_died_has_committed_is_tagged_and_pushed_by_the_next(
    checkout, drop, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_after(patch, "commit")
        refresh_project(checkout, value, drop=drop)
    assert len(checkout.tags()) == 1
    assert list(drop.iterdir())
    done = refresh_project(checkout, never, drop=drop)
    assert done.changed
    assert checkout.published()
    assert len(checkout.tags()) == 2
    assert list(drop.iterdir()) == []


@pytest.mark.drill
@needs_ssh_keygen
def test_a_refresh_signs_what_it_values_and_commits_both(checkout, tmp_path, monkeypatch):
    key = make_key(tmp_path, "robot")
    (checkout.root / "signers").write_text(signer(key))
    set_params(checkout, signing__allowed_signers="signers", signing__required=True)
    checkout.commit("signers")
    with pytest.raises(InputError, match="signing.key names no key"):
        refresh_project(checkout, never)
    set_params(checkout, signing__key=str(make_key(tmp_path, "locked", "secret")))
    checkout.commit("a key that asks for a passphrase")
    with pytest.raises(InputError, match="the key does not sign"):
        refresh_project(checkout, never)
    set_params(checkout, signing__key=str(key))
    checkout.commit("key")
    checkout.git("push", "-q")
    assert not refresh_project(checkout, never).changed, "who signs changes no value"
    set_params(checkout, valuation__seed=1)
    checkout.commit("another seed")
    checkout.git("push", "-q")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(steps, "commit", dying)
        refresh_project(checkout, value)
    assert (checkout.valuation / "manifest.json.sig").exists(), "signed, not committed"
    assert refresh_project(checkout, never).pushed
    assert checkout.published()
    assert "data/valuation/manifest.json.sig" in checkout.git("ls-files")
    done = unshapley("verify", "-p", checkout.root)
    assert done.returncode == 0, done.stderr
    assert "signed by robot@example.org" in done.stdout


def test_a_cleaned_checkout_keeps_all_that_an_audit_of_a_tag_needs(checkout):
    (tag,) = checkout.tags()
    assert unshapley("clean", "--days", "0", "-p", checkout.root).returncode == 0
    assert not list(checkout.results.glob("*"))
    assert checkout.published()
    assert not refresh_project(checkout, never).changed
    shutil.rmtree(checkout.root.parent / "remote")  # the cache alone must do
    assert audit(project=checkout.root, revision=tag)["verdict"].startswith("reproduced")


def dying(*_):
    raise Killed


@pytest.mark.drill
@pytest.mark.usefixtures("run_before")
def test_dying_after_any_step_leaves_what_the_next_one_finishes(checkout, drop, monkeypatch):
    colleague = checkout.clone("colleague")
    for name in STEPS:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_after(patch, name)
            refresh_project(checkout, value, drop=drop)
        assert len(checkout.tags()) == (2 if name in ("push", "clear") else 1)
        assert bool(list(drop.iterdir())) == (name != "clear")
        if name == "tag":  # meanwhile somebody else was first
            made = checkout.git("rev-parse", "HEAD")
            (colleague.root / "notes.md").write_text("read me\n")
            colleague.commit("notes")
            colleague.git("push", "-q")
    done = refresh_project(checkout, never, drop=drop)
    assert not done.changed
    assert checkout.published()
    assert [title.partition(" of ")[0] for title in checkout.log()] == [
        "Valuation", "notes", "Valuation", "tables"
    ]  # fmt: skip
    assert checkout.git("branch", "--contains", made) == ""
    assert len(checkout.git("tag", "--list", "valuation/*").split()) == 2


@pytest.mark.drill
def test_the_commit_is_made_anew_where_somebody_pushes_in_between(checkout):
    colleague = checkout.clone("colleague")
    set_params(checkout, valuation__seed=1)
    checkout.commit("another seed")
    checkout.git("push", "-q")
    valued, before = [], checkout.tags()

    def overtaken(root, params):
        valued.append(params.valuation.seed)
        if len(valued) == 1:
            colleague.git("pull", "-q")
            set_params(colleague, valuation__seed=2)
            colleague.commit("yet another")
            colleague.git("push", "-q")
        value(root, params)

    done = refresh_project(checkout, overtaken)
    assert valued == [1, 2]
    assert done.pushed
    assert checkout.published()
    assert checkout.log()[1:3] == ["yet another", "another seed"]
    assert len(checkout.tags()) == 2
    assert json.loads((checkout.valuation / "manifest.json").read_text())["seeds"]["valuation"] == 2

    first = next(iter(before))
    set_params(checkout, valuation__seed=0)  # as it was, but after another valuation
    checkout.commit("back")
    again = refresh_project(checkout, value).tag
    assert again not in {first, done.tag}
    assert checkout.tags() == {*before, done.tag, again}


@pytest.mark.drill
@pytest.mark.usefixtures("run_before")
def test_what_is_not_published_is_discarded_and_stays_in_the_folder(checkout, drop):
    before, head = outputs(checkout), checkout.git("rev-parse", "HEAD")

    def untrusted(root, params):
        assert len(checkout.providers()) == 4
        raise UntrustedError("not published")

    with pytest.raises(UntrustedError):
        refresh_project(checkout, untrusted, drop=drop)
    assert checkout.published()
    assert (checkout.git("rev-parse", "HEAD"), outputs(checkout)) == (head, before)
    assert not (checkout.raw / "form-03.csv").exists()
    assert len(pd.read_csv(checkout.raw / "form-01.csv")) == len(forms()["form-01"])
    assert {p.name for p in drop.iterdir()} == {"form-01.csv", "form-03.csv"}
    assert not refresh_project(checkout, never).changed


@pytest.mark.drill
def test_a_pull_removes_and_replaces_tables_and_brings_no_old_one_back(checkout):
    colleague = checkout.clone("colleague")
    (colleague.raw / "form-00.csv").unlink()
    colleague.dvc("remove", "-q", "data/raw/form-00.csv.dvc")
    forms()["form-01"][:-1].to_csv(colleague.raw / "form-01.csv", index=False)
    colleague.dvc("add", "-q", "data/raw/form-01.csv")
    colleague.commit("one gone, one corrected")
    colleague.dvc("push", "-q")
    colleague.git("push", "-q")
    # here somebody put a table into data/raw without a word to DVC
    forms()["form-05"].to_csv(checkout.raw / "form-05.csv", index=False)
    checkout.git("pull", "-q")
    with only_refresh(checkout) as lock:
        job = RefreshJob(checkout, Repository(checkout.root, lock), None, True, never)
        steps.follow_remote(job)
        steps.update_inputs(job)
    assert {p.name for p in checkout.raw.glob("*.csv")} == {"form-01.csv", "form-02.csv", "form-05.csv"}  # fmt: skip
    assert len(pd.read_csv(checkout.raw / "form-01.csv")) == len(forms()["form-01"]) - 1
    assert checkout.git("status", "--porcelain", "data/raw").splitlines() == [
        "M data/raw/.gitignore", "?? data/raw/form-05.csv.dvc"
    ]  # fmt: skip


def test_a_table_that_is_put_back_by_hand_is_what_counts(checkout):
    table = checkout.raw / "form-01.csv"
    good = table.read_bytes()
    with only_refresh(checkout) as lock:
        repo = Repository(checkout.root, lock)
        table.write_bytes(good[:-100])
        assert rawtables.sync_with_dvc(checkout, repo) == ["form-01.csv"]
        table.write_bytes(good)
        assert rawtables.sync_with_dvc(checkout, repo) == ["form-01.csv"]
    assert table.read_bytes() == good
    assert checkout.git("status", "--porcelain") == ""


@pytest.mark.drill
def test_an_imported_table_is_taken_from_its_source(checkout, tmp_path):
    source = tmp_path / "theirs.csv"
    forms()["form-05"][:-1].to_csv(source, index=False)
    checkout.dvc("import-url", "-q", source, "data/raw/form-05.csv")
    forms()["form-05"].to_csv(source, index=False)
    with only_refresh(checkout) as lock:
        job = RefreshJob(checkout, Repository(checkout.root, lock), None, True, never)
        steps.follow_remote(job)
        steps.update_inputs(job)
    assert len(pd.read_csv(checkout.raw / "form-05.csv")) == len(forms()["form-05"])


@contextmanager
def job_of(place, drop=None, limit=DEFAULT_SECONDS):
    with only_refresh(place) as lock:
        yield RefreshJob(place, Repository(place.root, lock, limit), drop, True, never)


def test_a_commit_holds_what_the_refresh_made_and_nothing_else(checkout, tmp_path, caplog):
    for name in ("patients.xlsx", "a.csv.bak"):
        (checkout.raw / name).write_text("not for others")
    drop = Drop(deliver(tmp_path / "drop", "form-03.csv", forms()["form-03"]).parent)
    deliver_parquet(drop.folder, "form-01.parquet", forms()["form-01"])
    with job_of(checkout, drop) as job:
        check(job)
        assert "data/raw/a.csv.bak, data/raw/patients.xlsx: no table" in caplog.text
        steps.take_deliveries(job)
        assert checkout.git("diff", "--cached", "--name-only") == ""
        checkout.git("add", "-N", "data/raw/form-03.csv.dvc")  # where one was killed before
        check(job)
        commit(job)
    committed = checkout.git("show", "--format=", "--name-status", "--no-renames").splitlines()
    assert committed == [
        "M\tdata/raw/.gitignore", "D\tdata/raw/form-01.csv.dvc", "A\tdata/raw/form-01.parquet.dvc",
        "A\tdata/raw/form-03.csv.dvc",
    ]  # fmt: skip
    left = checkout.git("status", "--porcelain").splitlines()
    assert left == ["?? data/raw/a.csv.bak", "?? data/raw/patients.xlsx"]
    assert not (checkout.raw / "form-01.csv").exists()


def deliver_parquet(folder, name, frame):
    frame.to_parquet(folder / name)


def test_what_is_undone_comes_back_in_its_old_format(checkout, tmp_path):
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path / "drop")
    deliver_parquet(drop.folder, "form-01.parquet", forms()["form-01"])
    deliver(drop.folder, "form-03.csv", forms()["form-03"])
    with job_of(checkout, drop) as job:
        steps.take_deliveries(job)
        assert job.outcome.taken == ["form-01.parquet", "form-03.csv"]
        steps.undo(job)
    assert checkout.git("status", "--porcelain") == ""
    assert {p.name for p in checkout.raw.glob("form-0*") if p.suffix != ".dvc"} == {
        "form-00.csv", "form-01.csv", "form-02.csv"
    }  # fmt: skip
    assert len(list(drop.folder.iterdir())) == 2


def test_each_delivery_is_looked_at_once(tmp_path, monkeypatch):
    place = Checkout(tmp_path / "project")
    place.raw.mkdir(parents=True)
    forms()["form-00"].to_csv(place.raw / "form-00.csv", index=False)
    for number in range(6):
        deliver(tmp_path / "drop", f"site-{number}.csv", forms()["form-01"][:3])
    deliver(tmp_path / "drop", "site-6.csv", forms()["form-01"].drop(columns="label"))
    looked_at = []
    real = Columns.joined
    monkeypatch.setattr(
        Columns, "joined", lambda self, table: looked_at.append(table.where) or real(self, table)
    )
    place.git("init", "-q")
    place.dvc("init", "-q")
    with job_of(place) as job:
        drop = Drop(tmp_path / "drop")
        taken = dropfolder.take(place, job.repo, drop, PrepareSettings(source="files"))
    assert taken == [f"site-{number}.csv" for number in range(6)]
    assert looked_at == ["form-00", *(f"site-{number}" for number in range(7))]
    assert drop.refused.keys() == {"site-6.csv"}
    assert not (place.results.parent / "incoming").exists()


HANGS = "#!/bin/sh\necho $$ >> {pids}\nsleep 300 &\necho $! >> {pids}\nwait\n"


def script(path, pids):
    path.write_text(HANGS.format(pids=pids))
    path.chmod(0o755)


def living(pids):
    """Processes that go on; one that was killed may need a moment, and stay as a zombie."""
    alive = [int(pid) for pid in pids.read_text().split()]
    for _ in range(100):
        alive = [pid for pid in alive if runs(pid)]
        if not alive:
            break
        time.sleep(0.1)
    return alive


def runs(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_hook_that_hangs_is_stopped_and_named(checkout, tmp_path):
    forms()["form-03"].to_csv(checkout.raw / "form-03.csv", index=False)
    checkout.dvc("add", "-q", "data/raw/form-03.csv")
    pids = tmp_path / "pids"
    script(checkout.root / ".git" / "hooks" / "pre-commit", pids)
    with job_of(checkout, limit=2) as job, pytest.raises(
        CommandError, match="git commit did not end within 2 seconds: stopped(.|\n)*a hook"
    ):  # fmt: skip
        commit(job)
    assert living(pids) == []
    assert not (checkout.root / ".git" / "index.lock").exists()
    (checkout.root / ".git" / "hooks" / "pre-commit").unlink()
    with job_of(checkout) as job:
        check(job)
        commit(job)
    assert checkout.git("status", "--porcelain") == ""


def test_a_remote_that_hangs_does_not_cancel_later_nights(checkout, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    pids = tmp_path / "pids"
    script(tmp_path / "bin" / "git-remote-hang", pids)
    origin = checkout.git("remote", "get-url", "origin")
    checkout.git("remote", "set-url", "origin", "hang::somewhere")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path / 'bin'}:{ENV['PATH']}")
        patch.setattr(repository, "GIT_SECONDS", 2.0)
        with pytest.raises(CommandError, match="git ls-remote origin did not end within 2 sec"):
            refresh_project(checkout, never)
    assert living(pids) == []
    checkout.git("remote", "set-url", "origin", origin)
    assert not refresh_project(checkout, never).changed


def test_a_stage_that_hangs_is_stopped_with_its_processes(checkout, tmp_path):
    pids = tmp_path / "pids"
    script(tmp_path / "stage", pids)
    content = yaml.safe_load((checkout.root / "dvc.yaml").read_text())
    content["stages"]["prepare"]["cmd"] = str(tmp_path / "stage")
    (checkout.root / "dvc.yaml").write_text(yaml.safe_dump(content))
    with job_of(checkout, limit=8) as job, pytest.raises(
        CommandError, match="dvc repro prepare did not end within 8 seconds(.|\n)*--limit"
    ):  # fmt: skip
        job.repo.dvc("repro", "prepare")
    assert living(pids) == []


def runs_dvc(process):
    with suppress(psutil.Error):  # it may have ended meanwhile, or be a zombie
        return "repro" in process.cmdline()
    return False


@pytest.mark.drill
def test_a_second_one_is_told_so_even_while_children_of_a_killed_one_live(checkout):
    content = yaml.safe_load((checkout.root / "dvc.yaml").read_text())
    content["stages"]["prepare"]["cmd"] = "sleep 60"
    (checkout.root / "dvc.yaml").write_text(yaml.safe_dump(content))
    checkout.commit("a stage that takes long")
    first = subprocess.Popen(command(checkout), env=ENV, stderr=subprocess.PIPE)
    children = []
    try:
        while not any(runs_dvc(child) for child in children):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.05)
            children = psutil.Process(first.pid).children(recursive=True)
        second = cli(checkout)
        assert second.returncode == 6
        assert "another refresh works here" in second.stderr
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        first.wait()
        with pytest.raises(BusyError):
            refresh_project(checkout, never)
    finally:
        for process in [first, *children]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(children, timeout=30)
    assert len(checkout.tags()) == 1
    with only_refresh(checkout):
        pass


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda p: (p.root / ".git").rename(p.root / "git"),
            "not the top folder of a git repository",
        ),
        (
            lambda p: (p.root / ".git" / "index.lock").touch(),
            "index.lock: a git command is running here",
        ),
        (lambda p: (p.root / "dvc.yaml").unlink(), "is not a DVC project"),
        (lambda p: (p.root / "dvc.yaml").write_text("stages: {}"), "has no stage 'prepare'"),
        (lambda p: p.git("switch", "-q", "--detach"), "has no branch checked out"),
        (lambda p: p.git("symbolic-ref", "HEAD", "refs/heads/new"), "has no commit yet"),
        (lambda p: set_params(p, valuation__seed=3), "params.yaml: not committed"),
        (lambda p: (p.expectations / "x.json").write_text("{}"), "expectations/x.json: not comm"),
        (lambda p: p.git("branch", "--unset-upstream"), "has no upstream branch"),
        (lambda p: p.dvc("remote", "remove", "-q", "--local", "near"), "no default remote"),
        (lambda p: (p.data / "raw.dvc").write_text("outs: []"), "tracks the whole folder"),
        (lambda p: p.git("add", "-f", "data/raw/form-00.csv"), "is tracked by git"),
        (
            lambda p: p.git("rm", "-q", "data/raw/form-00.csv.dvc"),
            "form-00.csv.dvc: staged, but not committed",
        ),
        (lambda p: (p.raw / "form-00.csv.dvc").unlink(), "form-00.csv.dvc: not committed"),
        (
            lambda p: (p.raw / ".gitignore").write_text("/form-00.csv\n*.xlsx\n"),
            "data/raw/.gitignore: not committed",
        ),
        (lambda p: (p.valuation / "notes.txt").write_text("mine"), "notes.txt: not committed"),
    ],
)
def test_a_project_that_cannot_be_refreshed_is_told_why(checkout, damage, message):
    damage(checkout)
    with pytest.raises((InputError, BusyError), match=message):
        refresh_project(checkout, never)


def test_branches_that_went_apart_are_for_people(checkout):
    colleague = checkout.clone("colleague")
    for place in (colleague, checkout):
        (place.root / "notes.md").write_text(place.root.name)
        place.commit(f"notes of {place.root.name}")
    colleague.git("push", "-q")
    with pytest.raises(InputError, match="have diverged(.|\n)*git pull --rebase origin main"):
        refresh_project(checkout, never)
    assert checkout.log()[0] == "notes of project"


def on_s3(place, address):
    """Make the bucket the default remote; keys are in the environment."""
    lines = ["[core]", "    remote = far", "['remote \"far\"']", "    url = s3://models/values",
             f"    endpointurl = {address}"]  # fmt: skip
    (place.root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


@pytest.mark.drill
def test_a_refresh_pushes_to_s3_and_a_clone_pulls_from_there(
    s3,  # noqa: F811
    checkout,
    tmp_path,
    monkeypatch,
):
    """A real server process of moto's on loopback."""
    set_params(checkout, valuation__seed=1)
    checkout.commit("another seed")
    # the code on disk is not what this process has loaded, as after a pull: another one values
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(steps, "_LOADED_CODE", "older")
        patch.setattr(Repository, "unshapley", lambda repo, *words: (
            asked.append(words), value(repo.root, load_params(checkout.params))
        ))  # fmt: skip
        done = refresh_project(checkout, never, push=False)
    assert asked == [("run", "--quiet")]
    assert done.changed
    assert not done.pushed
    assert len(checkout.tags()) == 1
    on_s3(checkout, "http://127.0.0.1:9")  # cannot be reached
    with pytest.raises(UnshapleyError, match="dvc push failed(.|\n)*Could not connect"):
        refresh_project(checkout, never)
    assert len(checkout.tags()) == 1
    on_s3(checkout, s3)
    assert refresh_project(checkout, never).pushed
    assert checkout.published()
    assert len(checkout.tags()) == 2
    names = boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="models")["Contents"]
    assert all(one["Key"].startswith("values/files/md5/") for one in names)
    checkout.git("clone", "-q", checkout.origin, tmp_path / "other")
    other = Checkout(tmp_path / "other")
    on_s3(other, s3)
    other.dvc("pull", "-q")
    assert outputs(other) == outputs(checkout)
