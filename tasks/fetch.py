"""Task: fetch files of a commit from DVC's cache or remote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(name="fetch", cache_policy=NO_CACHE, persist_result=False)
def fetch(repository: Path, commit: str, paths: Sequence[str], tree: Path) -> dict[str, str]:
    """Write files of a commit to the folder `tree`; for each that could not be had, why.

    paths: in the repository. DVC reads the commit, not the user's files, and takes no lock. Raises
    nothing for a file or remote that is missing.
    """
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(repository), rev=commit, subrepos=True)
    missing: dict[str, str] = {}
    for i, path in enumerate(paths):
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            files.get_file(path, str(target))
        except Exception as error:  # noqa: BLE001 (each kind of remote has errors of its own)
            target.unlink(missing_ok=True)
            missing[path] = _reason(files, path, error)
            if not _is_absent(error):  # a remote out of reach is waited for once, not for each file
                return missing | dict.fromkeys(paths[i:], missing[path])
    return missing


def _reason(files: Any, path: str, error: Exception) -> str:
    """Why a file could not be had: which object of which remote is missing, or out of reach."""
    try:
        config = _repository_of(files, path).config
        remotes = config["remote"]
    except Exception:  # noqa: BLE001 (no DVC here, or a damaged configuration)
        return f"git has no such file, and DVC says: {_message(error)}"
    try:
        content = f"object {files.info(path)['md5']}"
    except Exception:  # noqa: BLE001 (what lists the files of a folder may be missing too)
        content = "the listing of its folder"
    if not remotes:
        return f"{content} is not in DVC's cache, and no remote is configured here"
    default = config["core"].get("remote") or next(iter(remotes))
    url = str(remotes[default]["url"])
    if "://" not in url and not Path(url).is_dir():
        return f"{content} is not in DVC's cache, and the remote {url} is out of reach"
    if _is_absent(error):
        return f"{content} is neither in DVC's cache nor in the remote {url}"
    return f"the remote {url} is out of reach: {_message(error.__cause__ or error)}"


def _repository_of(files: Any, path: str) -> Any:
    """The DVC repository that a path is in: that of the whole repository, or of a folder of it."""
    for folder in (path, *map(str, Path(path).parents)):
        try:
            return files.info(folder)["repo"]
        except Exception:  # noqa: BLE001, S112 (it is missing, or what lists it is)
            continue
    return files.repo


def _is_absent(error: Exception) -> bool:
    """Whether a file, or the listing of its folder, is not there."""
    return isinstance(error, FileNotFoundError) or isinstance(error.__cause__, FileNotFoundError)


def _message(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
