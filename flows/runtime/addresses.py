"""Who answers at an address: a Prefect server of our version, or something else."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from importlib.metadata import version

from unshapley.errors import InputError

AUTH = "PREFECT_API_AUTH_STRING"
ELSEWHERE = ("PREFECT_API_KEY", "PREFECT_CLIENT_CUSTOM_HEADERS")


def check_server(api: str) -> None:
    """Raise `InputError` where no Prefect server of our version answers, or it refuses us.

    A server that is reached by other means than an address and a password (a key of Prefect Cloud,
    headers of the user's own) is left to Prefect.
    """
    if any(map(os.environ.get, ELSEWHERE)):
        return
    ours = version("prefect")
    try:
        found = json.loads(_get(f"{api.rstrip('/')}/admin/version"))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise InputError(
                "the server refuses these credentials" if _credentials()
                else "the server asks for credentials",
                where=api,
                do=f"set {AUTH} to its user:password",
            ) from None  # fmt: skip
        raise _no_prefect(api, f"answers {error.code} {error.reason}") from None
    except ValueError:
        raise _no_prefect(api, "answers something else") from None
    except OSError as error:
        raise InputError(
            f"nothing answers there: {getattr(error, 'reason', error)}",
            where=f"PREFECT_API_URL={api}",
            do="start the server, correct the address, or unset it: then one is started here",
        ) from None
    if not isinstance(found, str):
        raise _no_prefect(api, "answers something else")
    if found.split(".")[:2] != ours.split(".")[:2]:
        raise InputError(
            f"the server there is Prefect {found}, and this is {ours}",
            where=f"PREFECT_API_URL={api}",
            do=f"run Prefect {ours} there, or unset PREFECT_API_URL",
        )


def _no_prefect(api: str, what: str) -> InputError:
    return InputError(
        f"no Prefect server: it {what}",
        where=f"PREFECT_API_URL={api}",
        expected="the address of a Prefect server's API, http://host:4200/api",
    )


def _get(url: str) -> bytes:
    request = urllib.request.Request(url)  # noqa: S310 (the user's own address)
    if credentials := _credentials():
        token = base64.b64encode(credentials.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        return bytes(reply.read())


def _credentials() -> str:
    """user:password of the environment, else of the Prefect profile; empty where there are none."""
    from prefect.settings import PREFECT_API_AUTH_STRING

    stored = PREFECT_API_AUTH_STRING.value()
    return os.environ.get(AUTH) or (stored.get_secret_value() if stored else "")
