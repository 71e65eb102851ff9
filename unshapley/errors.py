"""Every error a caller may meet.

UnshapleyError
├── InputError         the user's data, model, parameters or environment are wrong (exit 2)
│   ├── ValidationError   partitions that break their expectations
│   └── OwnCodeError      code of the user's own is not there, or is not the recorded one
├── UntrustedError     the fidelity check failed: values are not published (exit 3)
├── AlteredError       files are not those that were recorded (exit 4)
├── UncheckableError   what a check needs is not there (exit 5)
└── BusyError          another run works in the same project (exit 6)

ValuationWarning is no error: it says why the values of `unshapley.value` are not to be believed as
they stand.
"""

from __future__ import annotations

NO_MEMORY = (
    "can't allocate memory", "can't start new thread", "Cannot allocate memory",
    "failed to map segment", "Failed to launch worker thread", "Resource temporarily unavailable",
    "bad_alloc", "malloc of size",
)  # fmt: skip
"""How torch, Arrow, Python, the kernel and the loader of libraries say that memory is out."""


def lacks_memory(error: BaseException) -> bool:
    """Whether a failure is the machine's, which is out of memory or of threads."""
    return isinstance(error, MemoryError) or any(part in str(error) for part in NO_MEMORY)


def raise_if_no_memory(error: BaseException) -> None:
    """Raise `MemoryError` where a failure says nothing of the file that was being read."""
    if lacks_memory(error):
        raise MemoryError(str(error)) from error


class UnshapleyError(Exception):
    """Base of all errors raised on purpose; the message is meant for the user as it stands."""

    exit_code = 1


class InputError(UnshapleyError):
    """Something the user gave is wrong: says what, where, what was expected and what to do."""

    exit_code = 2

    def __init__(
        self, what: str, *, where: object = None, expected: str = "", do: str = ""
    ) -> None:
        self.what, self.where, self.expected, self.do = what, where, expected, do
        lines = [what if where is None else f"{where}: {what}"]
        lines += [f"  expected: {expected}"] if expected else []
        lines += [f"  do: {do}"] if do else []
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:  # survives the way back from a worker process
        return _rebuild, (
            type(self),
            self.what,
            str(self.where) if self.where else None,
            self.expected,
            self.do,
        )


class ValidationError(InputError):
    """Partitions, test or reference set that break their expectation suites."""


class OwnCodeError(InputError):
    """Code of the user's own that cannot be imported, or is another than was recorded."""


class UntrustedError(UnshapleyError):
    """Unlearning predicts retraining no better than not unlearning: nothing was published."""

    exit_code = 3


class AlteredError(UnshapleyError):
    """Files are not those that were recorded."""

    exit_code = 4


class UncheckableError(UnshapleyError):
    """What a check needs is not there."""

    exit_code = 5


class BusyError(UnshapleyError):
    """Another run works in the same project."""

    exit_code = 6


def _rebuild(
    kind: type[InputError], what: str, where: str | None, expected: str, do: str
) -> InputError:
    return kind(what, where=where, expected=expected, do=do)


class ValuationWarning(UserWarning):
    """What speaks against believing the values of `unshapley.value` as they stand."""
