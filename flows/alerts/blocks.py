"""Receivers of alerts, as blocks of Prefect: a webhook, and a mailbox by SMTP, which it has not.

Prefect's server finds it by the entry point `prefect.collections` of pyproject.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from prefect.blocks.notifications import AppriseNotificationBlock, CustomWebhookNotificationBlock
from prefect.types import SecretDict
from pydantic import SecretStr

from unshapley.files import digest


class MailServer(AppriseNotificationBlock):
    """An e-mail by SMTP. Its address holds the password, so the server stores it encrypted."""

    _block_type_name = "Mail Server"
    _block_type_slug = "unshapley-mail-server"


@dataclass(frozen=True)
class Mailbox:
    """A receiver, and the server that mail goes through; without a user it wants no login."""

    receiver: str
    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    tls: bool = True

    @property
    def name(self) -> str:
        return self.receiver

    def block(self) -> MailServer:
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        query = {"from": self.sender, "to": self.receiver, "smtp": self.host, "format": "text"}
        scheme = "mailtos" if self.tls else "mailto"
        url = f"{scheme}://{login}{self.host}:{self.port}/?{urlencode(query)}"
        return MailServer(url=SecretStr(url))


@dataclass(frozen=True)
class Webhook:
    """An address that takes `{"subject": …, "body": …}` by POST, with a bearer token if given."""

    url: str
    token: str = ""

    @property
    def name(self) -> str:
        """Its host, and a hash of the rest, which may be a secret."""
        return f"{urlsplit(self.url).hostname} ({digest(self.url)[:6]})"

    def block(self) -> CustomWebhookNotificationBlock:
        secrets = {"address": self.url, "token": self.token}
        return CustomWebhookNotificationBlock(
            name="unshapley",
            url="{{address}}",
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
            headers={"Authorization": "Bearer {{token}}"} if self.token else None,
            secrets=SecretDict(secrets),
        )


Receiver = Mailbox | Webhook


def save(receiver: Receiver) -> UUID:
    """Store a receiver on the server, in the place of the same one; return its block's id."""
    block = receiver.block()
    type(block).register_type_and_schema()
    return UUID(str(block.save(f"unshapley-{digest(receiver.name)[:12]}", overwrite=True)))
