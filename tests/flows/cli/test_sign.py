"""A signed valuation as a user meets it: sign, verify, and what an altered one says."""

import json
import subprocess

import pytest

from flows.valuation import valuation
from tests.cli import unshapley
from tests.conftest import set_params
from tests.flows.cli.test_verify import git
from tests.unshapley.keys import make_key, needs_ssh_keygen, signer

pytestmark = needs_ssh_keygen


@pytest.fixture
def signed(published, tmp_path, monkeypatch):
    """The valued project in git, signed by a key that it allows, and committed."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    key = make_key(tmp_path, "ada")
    (published.root / "signers").write_text(signer(key))
    set_params(published, signing__allowed_signers="signers", signing__required=True)
    git(published, "init", "-q")
    done = unshapley("sign", "--key", key, "-p", published.root)
    assert done.returncode == 0, done.stderr
    names = ("params.yaml", "signers", "data/expectations")
    git(published, "add", *names, *(f"data/valuation/manifest.json{end}" for end in ("", ".sig")))
    git(published, "commit", "-qm", "valuation")
    return published


def verified(project, *arguments):
    return unshapley("verify", "-p", project.root, *arguments)


def test_a_signed_valuation_says_who_signed_it(signed):
    done = verified(signed)
    assert done.returncode == 0, done.stderr
    assert "signed by ada@example.org, ED25519 key SHA256:" in done.stdout
    assert json.loads(verified(signed, "--json").stdout)["signature"]["status"] == "good"


def test_who_alters_and_commits_cannot_sign(signed, tmp_path):
    """git vouches for the forged manifest; the signature does not."""
    path = signed.valuation / "manifest.json"
    path.write_text(path.read_text().replace('"measured": 30', '"measured": 29'))
    git(signed, "commit", "-qam", "forged")
    done = verified(signed)
    assert done.returncode == 4
    assert (
        "manifest.json.sig: is not of this manifest: it or the manifest was altered" in done.stderr
    )
    stranger = make_key(tmp_path, "mallory")
    assert unshapley("sign", "--key", stranger, "-p", signed.root).returncode == 0
    done = verified(signed)
    assert done.returncode == 4
    assert "which is none of the allowed signers'" in done.stderr
    (signed.valuation / "manifest.json.sig").unlink()
    done = verified(signed)
    assert done.returncode == 4
    assert "is missing: the manifest is not signed" in done.stderr


def test_an_auditor_names_whom_they_trust(signed, tmp_path):
    own = tmp_path / "own"
    own.write_text(signer(make_key(tmp_path, "eve")))
    assert "none of the allowed" in verified(signed, "--allowed-signers", own).stderr
    (signed.root / "signers").unlink()
    done = verified(signed)
    assert done.returncode == 5
    assert "allowed signers is missing" in done.stderr
    set_params(signed, signing__allowed_signers=None)
    git(signed, "commit", "-qam", "none named")
    done = verified(signed)
    assert done.returncode == 5
    assert "no file names who may sign" in done.stderr
    set_params(signed, signing__required=False)
    git(signed, "commit", "-qam", "none required")
    assert "note: the signature is by ED25519" in verified(signed).stdout
    assert verified(signed, "--require-signature").returncode == 5
    git(signed, "config", "gpg.ssh.allowedSignersFile", str(own))
    assert "none of the allowed" in verified(signed).stderr


def test_revoked_and_expired_keys_are_told_apart(signed, tmp_path, monkeypatch):
    set_params(signed, signing__revoked="revoked")
    (signed.root / "revoked").write_text((tmp_path / "ada.pub").read_text())
    git(signed, "commit", "-qam", "revoked")
    assert "of ada@example.org, which was revoked" in verified(signed).stderr
    (signed.root / "revoked").write_text("")
    (signed.root / "signers").write_text(signer(tmp_path / "ada", 'valid-before="20250101" '))
    done = verified(signed)
    assert done.returncode == 4
    assert "which had expired on 20" in done.stderr
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2024-12-24T12:00:00Z")
    git(signed, "rm", "-q", "--cached", "data/valuation/manifest.json.sig")
    git(signed, "commit", "-qam", "not signed")
    git(signed, "add", "data/valuation/manifest.json.sig")
    git(signed, "commit", "-qm", "signed while the key was valid")
    assert "signed by ada" in verified(signed).stdout


def test_history_tells_who_signed(signed, tmp_path):
    def told():
        return json.loads(unshapley("history", "--json", "-p", signed.root).stdout)

    git(signed, "add", "-f", "data/valuation/values.csv", "data/valuation/metrics.json")
    git(signed, "commit", "-q", "--amend", "--no-edit")
    (only,) = told()
    assert (only["signed"], only["signature"]["status"]) == ("ada@example.org", "good")
    path = signed.valuation / "manifest.json"
    path.write_text(path.read_text().replace('"measured": 30', '"measured": 29'))
    git(signed, "commit", "-qam", "forged, with the signature of the other")
    assert [entry["signed"] for entry in told()][1] == "altered"
    stranger = make_key(tmp_path, "mallory")
    assert unshapley("sign", "--key", stranger, "-p", signed.root).returncode == 0
    git(signed, "commit", "-qam", "signed in a later commit")
    assert [entry["signed"] for entry in told()][1] == "unknown key"
    page = tmp_path / "history.html"
    table = unshapley("history", "--html", page, "-p", signed.root).stdout
    assert "signed by" in table
    assert "unknown key" in page.read_text()
    (signed.root / "signers").unlink()
    assert {entry["signature"]["status"] for entry in told()} == {"unchecked"}


def test_another_valuation_is_not_signed_and_the_same_stays_so(signed):
    before = (signed.valuation / "manifest.json").read_bytes()
    valuation(project=signed.root)
    assert (signed.valuation / "manifest.json").read_bytes() == before, "signing is in no manifest"
    assert "signed by ada" in verified(signed).stdout
    set_params(signed, valuation__seed=1)
    valuation(project=signed.root)
    assert not (signed.valuation / "manifest.json.sig").exists()
    assert "is missing: the manifest is not signed" in verified(signed).stderr


def test_what_cannot_be_signed_says_why(signed, tmp_path):
    done = unshapley("sign", "-p", signed.root)
    assert done.returncode == 2
    assert "no key is configured" in done.stderr
    done = unshapley("sign", "--key", tmp_path / "nothing", "-p", signed.root)
    assert done.returncode == 2
    assert "there is no such key" in done.stderr
    values = signed.valuation / "values.csv"
    values.write_text(values.read_text() + "\n")
    done = unshapley("sign", "--key", tmp_path / "ada", "-p", signed.root)
    assert done.returncode == 2
    assert "data/valuation/values.csv has SHA-256" in done.stderr


def test_the_key_that_git_signs_with_signs(signed, tmp_path):
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(tmp_path / "ada.pub"))):
        git(signed, "config", name, value)
    (tmp_path / "ada.pub").unlink()
    assert "there is no such key" in unshapley("sign", "-p", signed.root).stderr
    public = ["ssh-keygen", "-y", "-f", tmp_path / "ada"]
    (tmp_path / "ada.pub").write_bytes(
        subprocess.run(public, check=True, capture_output=True).stdout
    )
    assert unshapley("sign", "-p", signed.root).returncode == 0
    assert "signed by ada" in verified(signed).stdout
