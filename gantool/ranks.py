"""Several processes as one trainer: started by torchrun, they share the work and agree on every decision.

What is averaged, gathered and agreed on here is all that they ever tell each other.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]

from gantool.errors import GantoolError, RankLost
from gantool.launch import attempt, meeting

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # for another rank: the first one prepares data and scores meanwhile
_OWN_FAULT = re.compile("nccl(Invalid|Internal|UnhandledCuda)")  # NCCL's other errors are of the connection
_groups = count()  # a sweep joins once a job: what a group left in the store would be taken for the next one's
_buffers: dict[tuple[torch.device, torch.dtype], Tensor] = {}  # for what is averaged, kept from round to round


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the other ranks where torchrun started this process: NCCL between GPUs, gloo between CPUs.

    Raises RankLost where another rank ends without a word, or never comes.
    """
    store = meeting()
    if store is None or dist.is_initialized():
        yield
        return
    store = PrefixStore(f"gantool/group/{attempt()}/{next(_groups)}", store)  # a new attempt has new addresses
    store.set_timeout(PATIENCE)
    own, total = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=own, world_size=total, timeout=PATIENCE)
        yield
    except RuntimeError as error:
        met = dist.is_initialized()  # before that, gloo may also lack an address of this machine
        if _OWN_FAULT.search(str(error)) or not (isinstance(error, dist.DistError) or (met and "gloo" in str(error))):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, before this rank has said what happened
        raise RankLost(
            "another rank was killed or lost its machine, and the others ended too; resume= goes on from the newest "
            "checkpoint"
        ) from error
    finally:
        _buffers.clear()
        if dist.is_initialized():
            dist.destroy_process_group()


def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over the ranks, in one message.

    By hand rather than by DistributedDataParallel, which cannot have a lazy penalty or several losses in one step. And
    in one rather than in parts that leave during the backward pass: a ring of three or more ranks adds up each number
    in an order that depends on its place in the message, so the bits would depend on how it is cut.
    """
    if world() == 1 or not tensors:
        return
    numels, like = [t.numel() for t in tensors], tensors[0]
    buffer = _buffers.get((like.device, like.dtype))
    if buffer is None or len(buffer) < sum(numels):
        buffer = _buffers[like.device, like.dtype] = torch.empty(sum(numels), device=like.device, dtype=like.dtype)
    flat = buffer[: sum(numels)]
    torch.cat([t.detach().flatten() for t in tensors], out=flat)
    dist.all_reduce(flat)
    flat /= world()
    means = [mean.view_as(tensor) for tensor, mean in zip(tensors, flat.split(numels), strict=True)]
    torch._foreach_copy_([t.detach() for t in tensors], means)  # pyright: ignore[reportPrivateImportUsage]


def average_buffers(network: nn.Module) -> None:
    """Averages floating-point buffers (batch norm's statistics), so that all ranks and the checkpoint hold the same."""
    if world() > 1:
        buffers = [b for b in network.buffers() if b.is_floating_point()]
        for device in dict.fromkeys(b.device for b in buffers):  # some stay with the host
            average([b for b in buffers if b.device == device])


def agree(numbers: Sequence[int], device: torch.device) -> list[int]:
    """The largest of the ranks' numbers, place by place: a signal that reached one of them stops all, after the same
    round."""
    if world() == 1:
        return list(numbers)
    flags = torch.tensor(numbers, dtype=torch.int64, device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return flags.tolist()


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives the first rank, on every rank; the others do not call it. A GantoolError is raised on all."""
    if world() == 1:
        return make()
    found: list[Any] = [None, None]
    if rank() == 0:
        try:
            found[0] = make()
        except GantoolError as error:
            found[1] = error
    dist.broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def gathered(own: T) -> list[T]:
    """What each rank has, in their order: on the first rank, and [] on the others."""
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    dist.gather_object(own, found if rank() == 0 else None)
    return found if rank() == 0 else []


def mine(items: Sequence[T]) -> Sequence[T]:
    """This rank's share: the ranks have one each in turn."""
    return items[rank() :: world()]


def in_turn(own: list[T]) -> list[T]:
    """What was shared out by `mine`, in its old order, on the first rank; the others keep their own."""
    shares = gathered(own) or [own]
    return [share[place] for place in range(len(shares[0])) for share in shares if place < len(share)]


def streamed(own: Iterator[T], total: int) -> Iterator[T]:
    """The `total` items that were shared out by `mine`, in their old order, as they are made: on the first rank; the
    others, who must go through it too, are given none."""
    for _ in range(0, total, world()):
        yield from (item for item in gathered(next(own, None)) if item is not None)


def of_all_ranks(rows: Tensor) -> Tensor:
    """The rows of every rank, in the order of the ranks, whose shares need not be equal."""
    if world() == 1:
        return rows
    [most] = agree([len(rows)], rows.device)
    padded = torch.zeros(most, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
    padded[: len(rows)] = rows
    counts = [torch.zeros((), dtype=torch.int64, device=rows.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor(len(rows), device=rows.device))
    parts = [torch.empty_like(padded) for _ in range(world())]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(number)] for part, number in zip(parts, counts, strict=True)])
