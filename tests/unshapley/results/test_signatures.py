"""Signatures of a manifest: each way in which one is not to be trusted is told apart."""

import subprocess
from datetime import UTC, datetime

import pytest

from tests.unshapley.keys import make_key, needs_ssh_keygen, signer
from unshapley.errors import InputError, UncheckableError
from unshapley.results.signatures import (
    ALTERED,
    EARLY,
    EXPIRED,
    FOREIGN,
    GOOD,
    MISSING,
    NOT_PERMITTED,
    REVOKED,
    UNCHECKED,
    UNKNOWN,
    UNREADABLE,
    Trust,
    check_signature,
)
from unshapley.results.signing import make_signature

pytestmark = needs_ssh_keygen
MANIFEST = b'{"schema_version": 1}\n'
OPTIONS = {
    "ada": "", "ended": 'valid-before="20250101" ', "later": 'valid-after="20300101" ',
    "lost": "", "other": 'namespaces="git" ',
}  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Keys of five allowed signers, and of a stranger; one of them is revoked."""
    folder = tmp_path_factory.mktemp("keys")
    keys = {name: make_key(folder, name) for name in (*OPTIONS, "stranger")}
    lines = [signer(keys[name], options) for name, options in OPTIONS.items()]
    (folder / "allowed").write_text("".join(lines))
    revoke = ["ssh-keygen", "-q", "-k", "-f", folder / "revoked", folder / "lost.pub"]
    subprocess.run(revoke, check=True)
    return keys


@pytest.fixture(scope="module")
def trust(keys):
    folder = keys["ada"].parent
    return Trust(folder / "allowed", folder / "revoked")


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("ada", GOOD, ""),
        ("stranger", UNKNOWN, "none of the allowed signers"),
        ("ended", EXPIRED, "had expired on"),
        ("later", EARLY, "was not valid yet on"),
        ("lost", REVOKED, "of lost@example.org, which was revoked"),
        ("other", NOT_PERMITTED, "may not sign manifests"),
    ],
)
def test_whose_key_it_is(keys, trust, name, status, says):
    signature = make_signature(MANIFEST, keys[name], ask=False)
    found = check_signature(MANIFEST, signature, trust)
    assert found.status == status, found
    assert says in found.problem
    assert "SHA256:" in found.key
    assert found.fails(trust) == (status != GOOD)
    assert found.signer == ("" if status in (UNKNOWN, EXPIRED, EARLY) else f"{name}@example.org")


def test_a_key_counts_if_it_was_valid_when_it_signed(keys, trust):
    signature = make_signature(MANIFEST, keys["ended"], ask=False)
    before, after = (datetime(2024, 12, 31, 23, m, tzinfo=UTC) for m in (0, 59))
    assert check_signature(MANIFEST, signature, trust, before).status == GOOD
    assert check_signature(MANIFEST, signature, trust, after).status == GOOD
    end = datetime(2025, 1, 1, 0, 1, tzinfo=UTC)
    assert check_signature(MANIFEST, signature, trust, end).status == EXPIRED


def test_what_the_signature_is_of(keys, trust):
    signature = make_signature(MANIFEST, keys["ada"], ask=False)
    assert check_signature(MANIFEST + b" ", signature, trust).status == ALTERED
    assert check_signature(MANIFEST, b"not one", trust).status == UNREADABLE
    sign = ["ssh-keygen", "-Y", "sign", "-q", "-f", keys["ada"], "-n", "git"]
    foreign = subprocess.run(sign, input=MANIFEST, check=True, capture_output=True).stdout
    assert check_signature(MANIFEST, foreign, trust).status == FOREIGN


def test_a_missing_signature_matters_where_one_is_required(trust):
    found = check_signature(MANIFEST, None, trust)
    assert found.status == MISSING
    assert not found.fails(trust)
    assert found.fails(Trust(trust.allowed, required=True))


def test_without_a_file_of_signers_nobody_is_trusted_or_accused(keys, trust, tmp_path, monkeypatch):
    signature = make_signature(MANIFEST, keys["ada"], ask=False)
    found = check_signature(MANIFEST, signature, Trust())
    assert found.status == UNCHECKED
    assert not found.fails(Trust())
    assert check_signature(MANIFEST + b" ", signature, Trust()).status == ALTERED
    for missing, message in (
        (Trust(required=True), "no file names who may sign"),
        (Trust(tmp_path / "nobody"), "allowed signers is missing"),
        (Trust(trust.allowed, tmp_path / "nothing"), "revoked keys is missing"),
    ):
        with pytest.raises(UncheckableError, match=message):
            check_signature(MANIFEST, signature, missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ssh-keygen is not installed" in check_signature(MANIFEST, signature, Trust()).problem
    with pytest.raises(UncheckableError, match="ssh-keygen is not installed"):
        check_signature(MANIFEST, signature, trust)


def test_a_file_of_signers_that_nobody_can_read_is_not_a_verdict(keys, tmp_path):
    signature = make_signature(MANIFEST, keys["ada"], ask=False)
    damaged = tmp_path / "allowed"
    damaged.write_text('ada@example.org valid-before="soon" ssh-ed25519 AAAA\n')
    with pytest.raises(UncheckableError, match="cannot say who signed: .*allowed:1"):
        check_signature(MANIFEST, signature, Trust(damaged))


def test_keys_that_do_not_sign_say_why(keys, tmp_path, monkeypatch):
    locked = make_key(tmp_path, "locked", "secret")
    with pytest.raises(InputError, match="passphrase"):
        make_signature(MANIFEST, locked, ask=False)
    with pytest.raises(InputError, match="no such key"):
        make_signature(MANIFEST, tmp_path / "none", ask=False)
    alone = tmp_path / "alone.pub"
    alone.write_text(keys["ada"].with_suffix(".pub").read_text())
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(InputError, match="does not sign"):
        make_signature(MANIFEST, alone, ask=False)
