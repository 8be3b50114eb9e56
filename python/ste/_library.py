"""libste by cffi: the declarations are those of include/ste.h, read when this is imported."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import cffi

from .errors import error_of

log = logging.getLogger("ste")

_HERE = Path(__file__).resolve().parent
_PROGRESS_EVERY = 10.0  # seconds between two lines of work that goes on


def _first_file(*paths: Path) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise ImportError(f"none of these is there: {', '.join(map(str, paths))}; STE_LIBRARY names a libste.so")


def _declarations() -> str:
    text = _first_file(_HERE / "ste.h", _HERE.parents[1] / "include" / "ste.h").read_text(encoding="utf-8")
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    return re.sub(r"^#.*$|\bSTE_API\b", "", text, flags=re.M)


def _load() -> tuple[cffi.FFI, Any]:
    ffi = cffi.FFI()
    ffi.cdef(_declarations())
    named = os.environ.get("STE_LIBRARY")
    path = Path(named) if named else _first_file(_HERE / "libste.so", _HERE.parents[1] / "build" / "libste.so")
    return ffi, ffi.dlopen(str(path))


ffi, lib = _load()


def encode(text: str | os.PathLike[str]) -> bytes:
    return os.fsencode(text) if isinstance(text, os.PathLike) else text.encode()


def string(text: Any) -> str:
    """A text of the library's."""
    return cast(bytes, ffi.string(text)).decode(errors="replace")


def taken(text: Any) -> str:
    """A text that the library gave, which is freed."""
    try:
        return string(text)
    finally:
        lib.ste_free(text)


def texts(items: list[str]) -> tuple[Any, list[Any]]:
    """``const char *const *`` of ITEMS, and what must outlive it."""
    kept = [ffi.new("char[]", encode(item)) for item in items]
    return ffi.new("char *[]", kept), kept


def value(v: object) -> str:
    """V as an option of the program takes it: true, a list as a,b, shares as name=share,..."""
    if isinstance(v, bool):
        return str(v).lower()
    if isinstance(v, Mapping):
        return ",".join(f"{key}={value(item)}" for key, item in v.items())
    if isinstance(v, (list, tuple)):
        return ",".join(map(value, v))
    return os.fspath(v) if isinstance(v, os.PathLike) else str(v)


def assignments(options: Mapping[str, object]) -> list[str]:
    return [f"{key}={value(v)}" for key, v in options.items() if v is not None]


class Context:
    """What the library asks of its caller: settings are those of the environment, or of SETTINGS; what it says and how
    far it is goes to the logger "ste"; Ctrl-C, CLOSING or ``stop_of`` ends the call between two units of its work. One
    call at a time."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.closing = False
        self._stop = False  # the call that goes on
        self._caller: int | None = None  # its thread
        self._lock = threading.Lock()  # of these two
        self._settings = settings
        self._values: dict[tuple[str, str], Any] = {}  # live as long as the context
        self._raised: BaseException | None = None
        self._said = 0.0
        self._callbacks = (
            self._callback("const char *(*)(void *, const char *)", self._setting, ffi.NULL),
            self._callback("bool (*)(void *)", self._cancelled, True),
            self._callback("void (*)(void *, bool, const char *)", self._say, None),
            self._callback(
                "void (*)(void *, struct ste_progress *, enum ste_progress_event)", self._progress, None
            ),
        )
        self.c = ffi.new("struct ste_context *", (*self._callbacks, ffi.NULL))

    def _callback(self, kind: str, function: Callable[..., Any], failed: Any) -> Any:
        def caught(kind: Any, raised: BaseException, trace: Any) -> Any:
            self._raised = raised  # KeyboardInterrupt, as a rule: any callback may be where Python sees it
            return failed

        return ffi.callback(kind, function, error=failed, onerror=caught)

    def _setting(self, arg: Any, name: Any) -> Any:
        key = string(name)
        found = (os.environ if self._settings is None else self._settings).get(key)
        if found is None:
            return ffi.NULL
        return self._values.setdefault((key, found), ffi.new("char[]", os.fsencode(found)))

    def _cancelled(self, arg: Any) -> bool:
        return self._stop or self.closing or self._raised is not None

    def _say(self, arg: Any, warning: bool, text: Any) -> None:
        log.log(logging.WARNING if warning else logging.INFO, "%s", string(text))

    def _progress(self, arg: Any, p: Any, event: int) -> None:
        now = time.monotonic()
        if event == lib.STE_PROGRESS_BEGINS:
            self._said = now
        elif now - self._said >= _PROGRESS_EVERY and log.isEnabledFor(logging.INFO):
            self._said = now
            what, unit = string(p.what), string(p.unit)
            log.info("%s: %d%s %s", what, p.done, f" of {p.total}" if p.total else "", unit)

    def call(self, function: Any, *arguments: Any) -> None:
        """FUNCTION of the library, which takes a struct ste_err last; what it returns as an exception."""
        err: Any = ffi.new("struct ste_err *")
        with self._lock:
            self._raised, self._stop, self._caller = None, False, threading.get_ident()
        try:
            code = function(*arguments, err)
        finally:
            with self._lock:
                self._caller = None
        if self._raised is not None:
            raise self._raised
        if code != 0:
            raise error_of(code, string(err.msg))

    def stop_of(self, thread: int | None) -> None:
        """Ends the call that goes on if THREAD made it."""
        with self._lock:
            if thread is not None and self._caller == thread:
                self._stop = True

    def text(self, function: Any, *arguments: Any) -> str:
        """The same of one that gives a text by its last argument but the error."""
        out = ffi.new("char **")
        try:
            self.call(function, *arguments, out)
        except BaseException:
            lib.ste_free(out[0])
            raise
        return taken(out[0])
