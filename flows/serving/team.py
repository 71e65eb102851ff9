"""The form for a team: PostgreSQL, Redis, several replicas, and nobody without credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import quote, urlsplit

from flows.runtime.addresses import AUTH
from flows.runtime.guard import GUARD
from flows.runtime.projects import FILE
from flows.serving.settings import Settings, server_environment
from unshapley.data.fetching import VARIABLE
from unshapley.errors import InputError

SERVER_AUTH = "PREFECT_SERVER_API_AUTH_STRING"
SHORTEST = 16
"""Characters of a password that is taken."""
REDIS = "PREFECT_REDIS_MESSAGING_URL"
BY_REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
"""What the replicas share, in place of memory of their own."""


def credentials() -> str:
    """user:password of the server, from the environment; `InputError` where it is none, or weak."""
    given = os.environ.get(SERVER_AUTH) or os.environ.get(AUTH)
    if not given:
        raise InputError(
            "a team's server asks for credentials, and none are set",
            where=AUTH,
            expected="user:password in the environment",
            do=f'export {AUTH}="team:$(openssl rand -hex 24)", and keep it where secrets are kept',
        )
    user, _, password = given.partition(":")
    if not user or len(password) < SHORTEST:
        raise InputError(
            "is no user:password, or too short a password to be let into a network",
            where=SERVER_AUTH if os.environ.get(SERVER_AUTH) else AUTH,
            expected=f"at least {SHORTEST} characters after the colon",
        )
    return given


def redis_url(given: str | None) -> str:
    """The URL of --redis, or of the environment, with environment variables put in."""
    if given is None:
        return os.environ.get(REDIS) or "redis://127.0.0.1:6379/0"
    parts = urlsplit(given)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise InputError(
            "is no address of Redis", where="--redis", expected="redis://host:6379/0, or rediss://"
        )
    if parts.password is None:
        return given
    named = VARIABLE.fullmatch(parts.password)
    if not named:
        raise InputError(
            "a password stands on the command line, for everybody on this machine to see",
            where="--redis",
            do="put it into an environment variable and name that: 'redis://:$NAME@host:6379/0'",
        )
    name = named[1] or named[2]
    if name not in os.environ:
        raise InputError(f"the environment holds no {name}", where="--redis")
    return given.replace(parts.password, quote(os.environ[name], safe=""), 1)


def check_redis(url: str) -> None:
    """Raise `InputError` where Redis does not answer, refuses us, or its library is missing."""
    if find_spec("prefect_redis") is None:
        raise InputError(
            "the library that speaks to Redis is not installed",
            where="--team",
            do="pip install 'unshapley[team]'",
        )
    import redis

    shown = _without_password(url)
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise InputError(
            f"Redis cannot be used: {str(error).splitlines()[0]}",
            where=shown,
            do="start it, or correct the address",
        ) from None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":***@") if parts.password else url


def team_environment(settings: Settings) -> dict[str, str]:
    """Environment of the processes of a team's server."""
    if settings.redis is None or settings.auth is None:
        raise AssertionError("of a team's settings only")
    return {
        **server_environment(settings),
        **BY_REDIS,
        REDIS: settings.redis,
        # not Redis: Prefect's API shows this address with its password
        "PREFECT_SERVER_DOCKET_URL": "memory://",
        SERVER_AUTH: settings.auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # done before the replicas start, which would all do it
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        # another database may have been brought up to date from the same home
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    }


def client_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """What commands and runs need on top: credentials, and the list of what they may touch."""
    if settings.auth is None:
        return dict(environment)
    return {**environment, AUTH: settings.auth, GUARD: str(settings.home / FILE)}
