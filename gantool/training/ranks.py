"""Several processes as one trainer: started by torchrun, they average gradients and agree on every decision."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

_groups = count()  # a sweep joins once a job: what a group left in the store would be taken for the next one's


def rank() -> int:
    """This process's number; 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins the other ranks where torchrun started this process: NCCL on GPUs, gloo on CPUs."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    patience = timedelta(days=7)  # the others wait while the first one scores, which takes hours on a CPU
    whole, own, ranks = _meeting()
    store = PrefixStore(f"gantool/group/{next(_groups)}", whole)
    store.set_timeout(patience)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=own, world_size=ranks, timeout=patience)
    try:
        yield
    finally:
        dist.destroy_process_group()


@cache
def _meeting() -> tuple[Store, int, int]:
    """The store where torchrun's processes meet, this one's rank, and how many there are."""
    return next(rendezvous("env://"))


def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over the ranks, in one message.

    By hand rather than by DistributedDataParallel, which cannot have a lazy penalty or several losses in one step.
    """
    if world() == 1 or not tensors:
        return
    flat = torch.cat([t.detach().flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.detach().copy_(mean.view_as(tensor))


def average_buffers(network: nn.Module) -> None:
    """Averages floating-point buffers (batch norm's statistics), so that all ranks and the checkpoint hold the same."""
    if world() > 1:
        average([b for b in network.buffers() if b.is_floating_point()])


def agree(numbers: Sequence[int], device: torch.device) -> list[int]:
    """The largest of the ranks' numbers, place by place: a signal that reached one of them stops all, after the same
    round."""
    if world() == 1:
        return list(numbers)
    flags = torch.tensor(numbers, device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return flags.tolist()
