"""Questions of coroutines, gathered: those that are asked in one turn of the event loop, and those that came while the
last ones were judged, make one call."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ._library import Context
from .errors import Interrupted, SteError

_Question = tuple[str, Mapping[str, Any], "Future[Any]"]


class Gatherer:
    def __init__(self, kinds: Mapping[str, Callable[[Any], Any]], context: Context) -> None:
        self._kinds, self._context = kinds, context
        self._fresh: dict[asyncio.AbstractEventLoop, list[_Question]] = {}
        self._queue: queue.SimpleQueue[list[_Question] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._awaited: set[Future[Any]] = set()  # of the call that is going on
        self._closed = False

    async def ask(self, kind: str, row: Mapping[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        future: Future[Any] = Future()
        fresh = self._fresh.setdefault(loop, [])
        fresh.append((kind, row, future))
        if len(fresh) == 1:
            loop.call_soon(self._send, loop)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._abandon(future)
            raise

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        questions = self._fresh.pop(loop)
        with self._lock:
            if not self._closed:
                self._queue.put(questions)
                if not self._thread:
                    self._thread = threading.Thread(target=self._work, name="ste", daemon=True)
                    self._thread.start()
                return
        self._refuse(questions)

    def _abandon(self, future: Future[Any]) -> None:
        """Once nobody waits for a call any more, it is cancelled."""
        with self._lock:
            if future in self._awaited:
                self._awaited.remove(future)
                if not self._awaited and self._thread:
                    self._context.stop_of(self._thread.ident)

    def _work(self) -> None:
        while (questions := self._queue.get()) is not None:
            ended = False
            while not self._queue.empty():
                more = self._queue.get()
                ended |= more is None
                questions += more or []
            for kind, function in self._kinds.items():
                self._judge(function, [q for q in questions if q[0] == kind and q[2].set_running_or_notify_cancel()])
            if ended:
                return

    def _judge(self, function: Callable[[Any], Any], questions: list[_Question]) -> None:
        if not questions:
            return
        with self._lock:
            self._awaited = {future for _, _, future in questions}
        try:
            if self._closed:
                raise Interrupted("the judge was closed")
            for (_, _, future), result in zip(questions, function([row for _, row, _ in questions])):
                future.set_result(result)
        except SteError as e:
            if len(questions) == 1 or isinstance(e, Interrupted):
                self._refuse(questions, e)
            else:  # one bad row is not the others' fault
                for question in questions:
                    self._judge(function, [question])
        except BaseException as e:
            self._refuse(questions, e)
        finally:
            with self._lock:
                self._awaited = set()

    @staticmethod
    def _refuse(questions: list[_Question], why: BaseException | None = None) -> None:
        for _, _, future in questions:
            if not future.done():
                future.set_exception(why or Interrupted("the judge was closed"))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread and thread is not threading.current_thread():
            thread.join()
