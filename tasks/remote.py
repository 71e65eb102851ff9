"""DVC's remote as a store of files by content, for a worker that has no clone of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unshapley.errors import InputError

TRAVEL = (
    "url", "endpointurl", "region", "profile", "use_ssl", "ssl_verify", "allow_anonymous_login",
    "projectname", "account_name", "port", "user", "oss_endpoint", "use_https", "kerberos",
)  # fmt: skip
"""Settings of a remote that are told to workers: none that is a secret, or a file of this machine;
those a worker takes from its own environment."""
OWN_LAYOUT = ("worktree", "version_aware")
"""Settings of remotes that do not name files by their content."""


@dataclass(frozen=True)
class Remote:
    """Where DVC keeps what was pushed, by the MD5 of its content."""

    settings: Mapping[str, Any]

    @property
    def url(self) -> str:
        """Its address, without a password that stands in it."""
        return re.sub(r"(://[^/@]*:)[^/@]*@", r"\1***@", str(self.settings["url"]))

    def fetch(self, md5: str, target: Path) -> None:
        """Write an object to `target`; `FileNotFoundError` where it is not there, `InputError`
        where the remote is out of reach.
        """
        from dvc.fs import get_cloud_fs

        try:
            kind, config, root = get_cloud_fs(None, **self.settings)
            store = kind(**config)
            store.get_file(store.join(root, "files", "md5", md5[:2], md5[2:]), str(target))
        except FileNotFoundError:
            raise
        except Exception as error:  # each kind of remote has errors of its own
            if isinstance(error, MemoryError):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"DVC's remote {self.url} cannot be read: {reason}",
                do="give the worker's user access to it, and DVC's part for it "
                "(`pip install dvc-s3`)",
            ) from None


def remote_of(folder: Path) -> Remote | None:
    """The default remote of the DVC repository that a folder is in; None without one.

    An audit works in a folder within the project's, whose settings of this machine count.
    """
    from dvc.repo import Repo

    for place in (folder, *folder.parents):
        if not (place / ".dvc").is_dir():
            continue
        with Repo(str(place)) as repo:
            config = repo.config
        remotes = config["remote"]
        name = config["core"].get("remote") or (next(iter(remotes)) if len(remotes) == 1 else None)
        settings = remotes.get(name, {})
        if settings and not any(settings.get(option) for option in OWN_LAYOUT):
            return Remote({key: settings[key] for key in TRAVEL if key in settings})
    return None
