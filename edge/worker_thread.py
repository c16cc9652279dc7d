"""A thread that cannot die unseen: what escapes from its work is kept for whoever started it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class WorkerThread:
    """Runs a worker in a thread of its own; started by its constructor.

    Args:
        name: Of the thread.
        run: The worker's loop; ends when its event is set.
        stop: That event.
    """

    def __init__(self, name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
        self.stop = stop
        self._run = run
        self._failure: BaseException | None = None
        # A daemon: the process must be able to end while a disk or a driver hangs.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True until the loop has ended."""
        return self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What ended the loop against its will, or None."""
        return self._failure

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the loop."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            self._run(self.stop)
        except BaseException as error:  # whoever started this judges it, in its own thread
            self._failure = error
