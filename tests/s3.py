"""An S3 service of our own, for tests."""

import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """Address of a server with the empty bucket `models`."""
    for name, said in KEYS.items():
        monkeypatch.setenv(name, said)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "moto.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", port], stdout=log, stderr=log)  # fmt: skip
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=1)
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="models")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)
