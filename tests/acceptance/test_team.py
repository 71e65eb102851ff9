"""The form for a team, on PostgreSQL and Redis: nobody without credentials, and no secret in what it leaves."""

from __future__ import annotations

import asyncio
import getpass
import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import psutil
import pytest

from tests.acceptance.serving import BIN, Server, basic, left_of, wait_for
from tests.clusters import free_port
from tests.flows.checkouts import build_checkout
from unshapley.config import load_params

pytestmark = pytest.mark.drill
OPEN = {"/api/health", "/api/ready"}
"""What Prefect answers to everybody; docs/team.md says so, and names what else lies outside of the API."""
JSON = {"content-type": "application/json"}


def secret(name: str) -> str:
    return f"planted-{name}-{secrets.token_hex(8)}"


PLANTED = {
    name: secret(name)
    for name in (
        "auth", "postgres", "redis", "fetch", "git", "dvc-key-id", "dvc-secret", "dvc-token", "dvc-password",
        "dvc-url", "aws-id", "aws-secret", "aws-session", "hugging-face", "github", "smtp", "webhook", "azure",
        "google", "block",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def redis():
    """Address of a Redis of our own that asks for a password."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "-", "--save", ""], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    process.stdin.write(f"port {port}\nbind 127.0.0.1\nrequirepass {PLANTED['redis']}\n".encode())
    process.stdin.close()
    wait_for(lambda: answers(port), 20)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def database():
    """Name of a database of our own."""
    name = f"unshapley_{secrets.token_hex(4)}"
    try:
        subprocess.run(["createdb", "-h", "127.0.0.1", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432 and trusts this user")
    yield name
    subprocess.run(["dropdb", "-h", "127.0.0.1", "--force", name], check=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project in git whose remotes hold secrets."""
    place = build_checkout(
        tmp_path_factory.mktemp("team"),
        ["form-00", "form-01"],
        "fetch.url=postgresql://me:$FETCH_PASSWORD@127.0.0.1:9/d",
        "fetch.query=select 1",
    )
    place.dvc("remote", "add", "--local", "far", "s3://bucket/x")
    for option, name in (
        ("access_key_id", "dvc-key-id"),
        ("secret_access_key", "dvc-secret"),
        ("session_token", "dvc-token"),
    ):
        place.dvc("remote", "modify", "--local", "far", option, PLANTED[name])
    place.dvc("remote", "add", "--local", "web", f"http://me:{PLANTED['dvc-url']}@127.0.0.1:9/dvc")
    place.dvc("remote", "modify", "--local", "web", "password", PLANTED["dvc-password"])
    return place


@pytest.fixture(scope="module")
def server(tmp_path_factory, database, redis, place):
    """A team's server with two replicas, which serves the project."""
    server = Server(
        tmp_path_factory.mktemp("served"),
        PREFECT_API_AUTH_STRING=f"team:{PLANTED['auth']}", DB_PASSWORD=PLANTED["postgres"], REDIS_PASSWORD=PLANTED["redis"],
        FETCH_PASSWORD=PLANTED["fetch"], AWS_ACCESS_KEY_ID=PLANTED["aws-id"], AWS_SECRET_ACCESS_KEY=PLANTED["aws-secret"],
        AWS_SESSION_TOKEN=PLANTED["aws-session"], HF_TOKEN=PLANTED["hugging-face"], GITHUB_TOKEN=PLANTED["github"],
        SMTP_PASSWORD=PLANTED["smtp"], WEBHOOK_URL=f"https://hooks.example.org/{PLANTED['webhook']}",
        AZURE_STORAGE_KEY=PLANTED["azure"], GOOGLE_API_KEY=PLANTED["google"], PREFECT_SERVER_METRICS_ENABLED="true",
    )  # fmt: skip
    shutil.rmtree(server.folder / ".prefect", ignore_errors=True)
    address = f"postgresql://{getpass.getuser()}:$DB_PASSWORD@127.0.0.1:5432/{database}"
    arguments = (
        "--team",
        "--database",
        address,
        "--redis",
        f"redis://:$REDIS_PASSWORD@127.0.0.1:{redis}/0",
    )
    with server.serving(place.root, *arguments):
        yield server
    assert left_of(server) == []


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def status(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(
        url, b"{}" if method != "GET" else None, {**JSON, **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def routes(server: Server) -> list[tuple[str, str]]:
    """Method and path of everything that the API takes."""
    with urllib.request.urlopen(server.api.removesuffix("/api") + "/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    made = {
        path: "/api" + path.removeprefix("/api").translate(str.maketrans("{}", "00"))
        for path in paths
    }
    return [(method.upper(), made[path]) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("who", [None, "team:wrong-wrong-wrong-wrong", "team:", ":"])
def test_the_api_refuses_everybody_without_credentials_on_every_path(server, who):
    headers = basic(who) if who else {}
    csrf = server_csrf(server)
    answered = {
        (m, p): status(server.api.removesuffix("/api") + p, m, {**headers, **csrf})
        for m, p in routes(server)
    }
    assert len(answered) > 150
    assert {path for (_, path), code in answered.items() if code != 401} == OPEN
    assert status(f"{server.api}/metrics", headers=headers) == 401


def server_csrf(server: Server) -> dict[str, str]:
    """A token that somebody with credentials got: it does not stand for them."""
    token = server.ask("csrf-token?client=else")["token"]
    return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "else"}


def test_credentials_alone_do_not_let_another_page_act(server):
    """Cross-site requests carry the browser's credentials, and no token."""
    right = basic(server.environment["PREFECT_API_AUTH_STRING"])
    assert status(f"{server.api}/flow_runs/filter", "POST", right) == 403
    assert status(f"{server.api}/flow_runs/filter", "POST", {**right, **server_csrf(server)}) == 200
    assert status(f"{server.api}/metrics", headers=right) == 200


@pytest.mark.parametrize(
    "path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"]
)
def test_websockets_refuse_everybody_without_credentials(server, path):
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    async def first(token, *, protocol=True):
        url = f"{server.api.replace('http', 'ws', 1)}/{path}"
        try:
            async with connect(url, subprotocols=["prefect"] if protocol else None) as socket:
                if token is not None:
                    await socket.send(json.dumps({"type": "auth", "token": token}))
                return json.loads(await asyncio.wait_for(socket.recv(), 3))["type"]
        except (WebSocketException, TimeoutError):
            return "refused"

    assert asyncio.run(first(None, protocol=False)) == "refused"
    assert asyncio.run(first(None)) == "refused"
    assert asyncio.run(first("team:wrong-wrong-wrong-wrong")) == "refused"
    assert asyncio.run(first(server.environment["PREFECT_API_AUTH_STRING"])) == "auth_success"


def test_a_worker_and_our_commands_are_refused_too(server, project):
    for wrong in ("", "team:wrong-wrong-wrong-wrong"):
        environment = {
            **server.environment,
            "PREFECT_API_URL": server.api,
            "PREFECT_API_AUTH_STRING": wrong,
            "PREFECT_HOME": str(server.folder / "else"),
        }
        if not wrong:
            del environment["PREFECT_API_AUTH_STRING"]
        for command in (
            ("prefect", "worker", "start", "--pool", "valuations", "--run-once"),
            ("unshapley", "serve", project.root),
            ("unshapley", "run", "-p", project.root),
        ):
            done = subprocess.run(
                [BIN / command[0], *map(str, command[1:])],
                env=environment,
                cwd=server.folder,
                capture_output=True,
                text=True,
            )
            text = done.stdout + done.stderr
            assert done.returncode, command
            assert "Unauthorized" in text or "credentials" in text, (command, text)


def test_a_parameter_leads_to_no_other_folder_nor_code(server, place, tmp_path):
    shutil.copytree(place.root, tmp_path / "other")
    params = {
        "pretrain": {"architecture": "os:system", "kwargs": {"command": f"touch {tmp_path}/done"}}
    }
    params = {**load_params(place.params).model_dump(mode="json"), **params}
    known = {
        flow: server.ask(f"deployments/name/{flow}/project")
        for flow in ("valuation", "refresh", "audit")
    }
    for flow, parameters in (
        ("valuation", {"project": str(tmp_path / "other")}),
        ("refresh", {"drop": "/etc"}),
        ("valuation", {"params": {"budget": 1}}),
    ):
        with pytest.raises(OSError, match="409"):
            server.begin(f"{flow}/project", **parameters)
    for (
        deployment
    ) in known.values():  # somebody who may change deployments turns the schema's check off
        server.ask(f"deployments/{deployment['id']}", {"enforce_parameter_schema": False}, "PATCH")
    for flow, parameters, message in (
        ("valuation", {"project": str(tmp_path / "other")}, "is not a registered project"),
        (
            "valuation",
            {"params": params},
            "params, pretrain: may not be given by a form",
        ),
        (
            "valuation",
            {"params": {"fidelity": {"retrain": 1}}},
            "which is now called 'correction.coalitions'",
        ),
        ("refresh", {"drop": "/etc"}, "is not the drop folder that was registered"),
        ("audit", {"revision": "/etc/passwd"}, "is a file outside of the project"),
    ):
        ended = server.run(f"{flow}/project", **parameters)
        assert ended["state_type"] == "FAILED"
        assert message in ended["state"]["message"]
    assert not (tmp_path / "done").exists()


def test_no_secret_is_in_what_a_run_leaves(server, place, database, redis, tmp_path):
    block = next(t for t in server.ask("block_types/filter", {}) if t["slug"] == "secret")
    (schema, *_) = server.ask(
        "block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [block["id"]]}}}
    )
    server.ask(
        "block_documents/",
        {
            "name": "mine",
            "data": {"value": PLANTED["block"]},
            "block_schema_id": schema["id"],
            "block_type_id": block["id"],
        },
    )
    assert server.run("refresh/project")["state_type"] == "COMPLETED"
    audited = server.run("audit/project", settings={"sample": 6, "retrain": 1})
    assert audited["state_type"] == "COMPLETED", audited["state"]["message"]
    place.git(
        "remote", "set-url", "--push", "origin", f"http://me:{PLANTED['git']}@127.0.0.1:9/x.git"
    )
    place.dvc("remote", "default", "--local", "web")
    (place.root / "params.yaml").write_text(
        (place.root / "params.yaml").read_text().replace("budget: 1000", "budget: 999")
    )
    place.commit("another budget")
    failed = server.run("refresh/project")
    assert failed["state_type"] == "FAILED"  # its remotes do not answer
    place.dvc("remote", "default", "--local", "far")
    assert server.run("refresh/project")["state_type"] == "FAILED"
    time.sleep(5)  # events and logs arrive a moment later

    left = tmp_path / "left"
    left.mkdir()
    (left / "database.sql").write_bytes(
        subprocess.run(
            ["pg_dump", "-h", "127.0.0.1", "--inserts", database], check=True, capture_output=True
        ).stdout
    )
    (left / "redis").write_text(redis_content(redis))
    (left / "git").write_text(place.git("log", "-p", "--all"))
    commands = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    (left / "processes").write_text("\n".join(commands))
    (left / "settings").write_text(json.dumps(server.ask("admin/settings")))
    assert "report.html" in {p.name for p in place.valuation.iterdir()}
    assert (left / "database.sql").stat().st_size > 100_000
    # but where they were put: DVC's own settings and git's, as both keep them
    own = {place.root / ".dvc" / "config.local", place.root / ".git" / "config"}
    files = [
        p
        for folder in (left, server.folder, place.root)
        for p in folder.rglob("*")
        if p.is_file() and p not in own
    ]
    forms = {
        name: (value.encode(), basic(f"team:{value}")["Authorization"].split()[1].encode())
        for name, value in PLANTED.items()
    }
    found = [
        (name, str(path))
        for path in files
        for name, values in forms.items()
        if any(v in path.read_bytes() for v in values)
    ]
    assert found == []


def redis_content(port: int) -> str:
    """All that Redis holds."""
    import redis

    with redis.Redis(port=port, password=PLANTED["redis"]) as client:
        content = []
        for key in client.scan_iter():
            read = {
                b"string": client.get,
                b"hash": client.hgetall,
                b"list": lambda k: client.lrange(k, 0, -1),
                b"set": client.smembers,
                b"zset": lambda k: client.zrange(k, 0, -1),
                b"stream": client.xrange,
            }
            content.append(f"{key!r} {read[client.type(key)](key)!r}")
    assert content
    return "\n".join(content)
