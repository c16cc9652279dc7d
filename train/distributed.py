"""Several processes that train one network together, as torchrun starts them: one a GPU, or a few on a CPU.

Each rank computes the features of its part of every batch; all ranks then hold the whole batch and take the same loss
of it, so that a method, its memory and its losses need not know of ranks. The gradient of that loss reaches the network
through a rank's own part only, and the sum over ranks is the gradient that one process would have had.

What is not as in one process: the batch norms of a rank see its part of the batch only (their running figures are
averaged after each epoch), and ranks draw other random changes to crops. A run is a function of its settings, its
crops and the number of ranks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from reid.errors import OspreyError

# The first rank may decode a data set or score a network while the others wait.
_LONGEST_WAIT = timedelta(hours=2)

T = TypeVar("T")


class Ranks:
    """The processes of a run, as one of them sees them. Every method is called by all of them, in the same order.

    Args:
        rank: Of this process, from 0.
        size: How many there are; with one, nothing is sent.
        device: Where this process computes.
    """

    def __init__(self, rank: int = 0, size: int = 1, *, device: str = "cpu") -> None:
        self.rank = rank
        self.size = size
        self.device = torch.device(device)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, scores and reports."""
        return self.rank == 0

    def part(self, num_rows: int, rank: int | None = None) -> slice:
        """Rows that belong to a rank, by default to this one; parts differ by at most one row."""
        rank = self.rank if rank is None else rank
        return slice(num_rows * rank // self.size, num_rows * (rank + 1) // self.size)

    def join(self, part: Tensor, num_rows: int) -> Tensor:
        """Put the parts of all ranks together.

        Args:
            part: This rank's rows, as `part` deals them.
            num_rows: Of all ranks.

        Returns:
            (num_rows, …); a gradient reaches this rank's rows only.
        """
        if self.size == 1:
            return part
        parts = []
        for rank in range(self.size):
            rows = self.part(num_rows, rank)
            if rank == self.rank:
                content = part.detach().contiguous()
            else:
                content = part.new_empty(rows.stop - rows.start, *part.shape[1:])
            distributed.broadcast(content, src=rank)
            parts.append(part if rank == self.rank else content)
        return torch.cat(parts)

    def sum_gradients(self, network: nn.Module) -> None:
        """Add up the gradients of all ranks, in place."""
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        self._add_up(gradients)

    def average_norms(self, network: nn.Module) -> None:
        """Average what the norms of each rank have seen, in place."""
        figures = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._add_up(figures)
        if self.size > 1:
            for figure in figures:
                figure.div_(self.size)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank: a signal does not reach all of them between the same two steps."""
        if self.size == 1:
            return flag
        total = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(total)
        return bool(total)

    def from_first(self, compute: Callable[[], T]) -> T:
        """What the first rank computes; the others only receive it.

        Raises:
            OspreyError: The first rank raised it; so do all others.
        """
        if self.size == 1:
            return compute()
        outcome: list[object] = [None]
        if self.is_first:
            try:
                outcome = [compute()]
            except OspreyError as error:
                outcome = [error]
        distributed.broadcast_object_list(outcome, src=0, device=self.device)
        if isinstance(outcome[0], OspreyError):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]

    def first_before_others(self, compute: Callable[[], T]) -> T:
        """Compute on every rank, but on the first before the others, which find the files that it left."""
        done: list[T] = []
        self.from_first(lambda: done.append(compute()))
        return done[0] if done else compute()

    def _add_up(self, tensors: list[Tensor]) -> None:
        if self.size == 1 or not tensors:
            return
        # In one message: a small network has hundreds of small tensors.
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))


ALONE = Ranks()


@contextmanager
def join_ranks(
    device: str, *, environ: Mapping[str, str] = os.environ, meeting_point: str = "env://"
) -> Iterator[Ranks]:
    """Meet the other processes that torchrun started; alone where it did not.

    Args:
        device: `cpu` or `cuda`; each rank of a machine gets a GPU of its own.
        environ: Of the process; torchrun sets WORLD_SIZE, RANK and LOCAL_RANK.
        meeting_point: Where ranks find one another, as torch writes it.
    """
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(device=device)
        return
    rank = int(environ["RANK"])
    is_cuda = torch.device(device).type == "cuda"
    if is_cuda:
        device = f"cuda:{environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if is_cuda else "gloo",
        init_method=meeting_point,
        rank=rank,
        world_size=size,
        timeout=_LONGEST_WAIT,
    )
    try:
        yield Ranks(rank, size, device=device)
    finally:
        distributed.destroy_process_group()
