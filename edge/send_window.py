"""What was sent on a stream and is not yet acknowledged. Pure: sequence numbers and times in, decisions out.

At most `window_batches` batches are under way. A batch below `full_batch` waits while another one is under way: on a
quiet site each observation leaves at once, on a busy one batches fill up by themselves.
"""

from __future__ import annotations

from collections import deque

FULL_BATCH = 8
"""A batch of this many is worth its overhead at any time."""


class SendWindow:
    """The un-acknowledged batches of one stream.

    Args:
        acked_seq: Highest sequence number durable at the server when the stream began.
        window_batches: How many batches may be under way.

    Attributes:
        last_sent_seq: Highest sequence number sent on this stream, or durable before it.
        acked_seq: Highest one acknowledged.
    """

    def __init__(self, *, acked_seq: int, window_batches: int) -> None:
        self.acked_seq = acked_seq
        self.last_sent_seq = acked_seq
        self._window_batches = max(1, window_batches)
        self._batches: deque[tuple[int, float]] = deque()

    @property
    def num_batches(self) -> int:
        """Batches under way."""
        return len(self._batches)

    @property
    def has_room(self) -> bool:
        """Another batch may be sent."""
        return len(self._batches) < self._window_batches

    def is_worth_sending(self, num_observations: int) -> bool:
        """Whether a batch of this size goes now, or waits for the next acknowledgement and grows."""
        return self.has_room and num_observations > 0 and (not self._batches or num_observations >= FULL_BATCH)

    def sent(self, last_seq: int, now_s: float) -> None:
        """Note a batch.

        Args:
            last_seq: Its highest sequence number.
            now_s: Monotonic time.

        Raises:
            ValueError: Sequence numbers do not rise.
        """
        if last_seq <= self.last_sent_seq:
            raise ValueError(f"batch ends at {last_seq}, but {self.last_sent_seq} was already sent")
        self.last_sent_seq = last_seq
        self._batches.append((last_seq, now_s))

    def acknowledged(self, seq: int, now_s: float) -> bool:
        """Note a cumulative acknowledgement.

        Returns:
            Whether it said anything new.

        Raises:
            ValueError: It covers what was never sent.
        """
        if seq > self.last_sent_seq:
            raise ValueError(f"acknowledgement of {seq}, but only {self.last_sent_seq} was sent")
        if seq <= self.acked_seq:
            return False
        self.acked_seq = seq
        while self._batches and self._batches[0][0] <= seq:
            self._batches.popleft()
        # The server works in order: the rest begins to count as late from this sign of life on.
        self._batches = deque((last_seq, max(sent_s, now_s)) for last_seq, sent_s in self._batches)
        return True

    def waited_s(self, now_s: float) -> float:
        """How long the oldest batch under way waits without progress; 0 when there is none."""
        return now_s - self._batches[0][1] if self._batches else 0.0
