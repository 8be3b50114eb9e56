"""What can go wrong: a class for each code of include/ste.h, whose text is the library's sentence."""

from __future__ import annotations


class SteError(Exception):
    """Base of all. ``code`` is the library's (STE_E... of ste.h)."""

    code = -1


class Failed(SteError):
    """Anything without a code of its own."""


class UsageError(SteError, ValueError):
    """A wrong option, recipe key or argument."""

    code = -2


class InputError(SteError, ValueError):
    """A file or row whose content is wrong."""

    code = -3


class SystemRefused(SteError, OSError):
    """The system refused: a missing file, a full disk, no permission."""

    code = -4


class OutOfMemory(SteError, MemoryError):
    """Out of memory; the judge can only be closed. What was saved is safe."""

    code = -5


class BelowThreshold(SteError):
    """A threshold was not met."""

    code = -6


class Interrupted(SteError):
    """The call was cancelled; what came is saved. Ctrl-C raises KeyboardInterrupt instead."""

    code = -7


class Busy(SteError):
    """Another process holds the run."""

    code = -8


class NotFound(SteError, LookupError):
    """No such model, run, iteration or row."""

    code = -9


class TooLong(SteError, ValueError):
    """A prompt that does not fit the context."""

    code = -10


_CLASSES: dict[int, type[SteError]] = {
    c.code: c
    for c in (
        Failed, UsageError, InputError, SystemRefused, OutOfMemory, BelowThreshold, Interrupted, Busy, NotFound, TooLong,
    )
}  # fmt: skip


def error_of(code: int, text: str) -> SteError:
    return _CLASSES.get(code, Failed)(text)
