import os
import signal
import subprocess
import sys

import pytest

from unshapley.errors import InputError
from unshapley.files import digest, sha256, write_json, written_whole


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), written_whole(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_by_the_next_and_no_living_one_is_touched(tmp_path):
    path = tmp_path / "[a].json"
    pid = os.fork()
    if not pid:
        with written_whole(path) as part:
            part.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 1
    with written_whole(path) as part:
        write_json(path, {"b": 2})
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user, which only root may")
def test_a_folder_without_permission_is_named(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"closed.a\.json: cannot be written: Permission"):
            write_json(closed / "a.json", {})
    finally:
        os.seteuid(0)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    script = f"""
import resource, signal
from pathlib import Path
from unshapley.errors import InputError
from unshapley.files import written_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with written_whole(Path({str(tmp_path / "big")!r})) as part:
        part.write_bytes(b"x" * 10_000)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "big: cannot be written: File too large" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_digest_ignores_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_the_hash_of_a_folder_covers_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256(tmp_path) != before
