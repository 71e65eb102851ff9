"""The command that says who is told when a run needs a person."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from flows.cli.common import JsonOption, print_json, reported, start
from unshapley.errors import InputError

if TYPE_CHECKING:
    from flows.alerts.blocks import Receiver

PASSWORD, TOKEN = "UNSHAPLEY_SMTP_PASSWORD", "UNSHAPLEY_WEBHOOK_TOKEN"


@reported
def alerts(
    webhook: Annotated[
        str | None, typer.Option(help="Address that gets JSON with subject and body by POST.")
    ] = None,
    mail: Annotated[str | None, typer.Option(help="Address that gets an e-mail.")] = None,
    smtp: Annotated[
        str | None, typer.Option(help="Mail server as HOST or HOST:PORT (587, with TLS).")
    ] = None,
    sender: Annotated[
        str | None, typer.Option(help="Sender of the mail; by default its receiver.")
    ] = None,
    user: Annotated[
        str, typer.Option(help=f"Login at the mail server; its password is in {PASSWORD}.")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls/--no-tls", help="Speak to it in TLS.")] = True,
    on: Annotated[
        list[str] | None,
        typer.Option(help="failed, late, untrusted, quarantined or moved; repeat it. All if none."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Tell this receiver no more.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Also send one message now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell a webhook or a mailbox when a run fails, is late, is untrusted, quarantines a provider
    or moves a value beyond its interval. Without a receiver: list who is told what.

    The server that PREFECT_API_URL or your Prefect profile names keeps them as automations, and
    acts on them. A token for the webhook is taken from UNSHAPLEY_WEBHOOK_TOKEN.

    Examples: `unshapley alerts --webhook https://chat.example/hook --on failed --on moved` ·
    `unshapley alerts --mail data@example.org --smtp mail.example.org --test`
    """
    _check_server()
    receiver = _receiver(webhook, mail, smtp, sender, user, tls=tls)
    from flows.alerts import automations

    if receiver is None:
        _print(automations.list_alerts(), as_json=as_json)
        return
    if remove:
        removed = automations.remove_alerts(receiver.name)
        print("\n".join(f"removed: {name}" for name in removed) or "there is none to remove")
        return
    names = on or list(automations.ALERTS)
    unknown = [name for name in names if name not in automations.ALERTS]
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is no alert", where="--on", expected=", ".join(automations.ALERTS)
        )
    from flows.alerts.blocks import save

    if test:
        _send_one(receiver)
    for name in automations.add_alerts(names, receiver.name, save(receiver)):
        print(f"told: {name}")


def _check_server() -> None:
    from pathlib import Path

    from flows.runtime.server import check_named_server
    from flows.runtime.settings import names_server

    start(Path())
    if not names_server():
        raise InputError(
            "no server is named, and the one that a single run starts keeps no alerts",
            where="PREFECT_API_URL",
            expected="the address of a server that stays up, such as http://127.0.0.1:4200/api",
            do="start one (docs/deployment.md), and name it",
        )
    check_named_server()


def _receiver(
    webhook: str | None,
    mail: str | None,
    smtp: str | None,
    sender: str | None,
    user: str,
    *,
    tls: bool,
) -> Receiver | None:
    from flows.alerts.blocks import Mailbox, Webhook

    if webhook and mail:
        raise InputError("two receivers", where="--webhook, --mail", expected="one at a time")
    if webhook:
        if urlsplit(webhook).scheme not in ("http", "https") or not urlsplit(webhook).hostname:
            raise InputError(f"is {webhook!r}", where="--webhook", expected="https://HOST/…")
        return Webhook(webhook, os.environ.get(TOKEN, ""))
    if not mail:
        return None
    host, _, port = (smtp or "").partition(":")
    if not host or not (port or "587").isdigit() or "@" not in mail:
        raise InputError(
            f"mail to {mail!r} by the server {smtp!r}",
            where="--mail, --smtp",
            expected="an address, and HOST or HOST:PORT of the server that takes mail for it",
        )
    password = os.environ.get(PASSWORD, "")
    if user and not password:
        raise InputError("is not set", where=PASSWORD, expected=f"the password of {user}")
    return Mailbox(mail, host, int(port or 587), sender or mail, user, password, tls)


def _send_one(receiver: Receiver) -> None:
    from prefect.blocks.abstract import NotificationError

    block = receiver.block()
    try:
        with block.raise_on_failure():
            block.notify("This is a test of unshapley's alerts.", subject="unshapley: a test")
    except (NotificationError, OSError, RuntimeError) as error:
        reason = str(getattr(error, "log", "") or error).strip().splitlines()
        raise InputError(
            f"the test was not taken: {reason[-1] if reason else type(error).__name__}",
            where=receiver.name,
            do="correct the address, the login or --tls; no alert was stored",
        ) from None
    print(f"a test was sent to {receiver.name}")


def _print(told: dict[str, bool], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    lines = [f"{name}{'' if enabled else ' (off)'}" for name, enabled in told.items()]
    print("\n".join(lines) or "nobody is told; `unshapley alerts --help` shows how")


COMMANDS = (alerts,)
