"""Tables that lie elsewhere, by the address and with the credentials that DVC takes."""

from __future__ import annotations

from pathlib import Path

from unshapley.errors import InputError


def is_address(text: str) -> bool:
    """Whether data stands elsewhere: s3://bucket/folder, https://…"""
    return "://" in text


def download(address: str, folder: Path) -> Path:
    """Copy a file or folder into `folder`, and return its path there.

    Credentials are those that DVC finds in the environment and in the configuration of the service,
    as for a remote. Raises `InputError` where it cannot be had.
    """
    from dvc.exceptions import DvcException
    from dvc.repo.get_url import get_url

    target = folder / (address.rstrip("/").rpartition("/")[2] or "data")
    try:
        get_url(address, str(target))
    except DvcException as error:
        raise _cannot(address, error) from None
    except Exception as error:
        if isinstance(error, MemoryError | AssertionError | AttributeError):
            raise
        raise _cannot(address, error) from None  # each service has errors of its own
    return target


def _cannot(address: str, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"cannot be fetched: {reason}",
        where=address,
        expected="an address that DVC can read, such as s3://bucket/folder",
        do="correct it, install DVC's part for it (`pip install dvc-s3`), or set its credentials",
    )
