"""Device, precision and allocator: what of the machine a run uses."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gantool.data.memory import machine_memory
from gantool.errors import GantoolError
from gantool.randomness import use

_CPU = Path("/proc/cpuinfo")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str, local_rank: int = 0, processes: int = 1) -> torch.device:
    """The device called `name`, whose random numbers are seeded from now on; 'auto' is this rank's GPU where there is
    one, Apple's on a Mac, else the CPU. `processes`: those of this machine, each of which needs a GPU of its own.

    Raises GantoolError for a device that this machine has not, and where there are more processes than GPUs.
    """
    device = _found(name)
    if device.type != "cpu" and processes > 1:
        _check_enough(name, device, processes)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    use(device)
    return device


def _found(name: str) -> torch.device:
    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise GantoolError(f"trainer.device={name} is not a device: use auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise GantoolError(f"trainer.device={name} is not supported: use auto, cpu, cuda, cuda:N or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise GantoolError("trainer.device=mps: torch finds no Apple GPU here; use trainer.device=auto")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        found = f"{count} CUDA devices" if count else "no CUDA device"
        raise GantoolError(f"trainer.device={name}: this machine has {found}; use trainer.device=auto")
    return device


def _check_enough(name: str, device: torch.device, processes: int) -> None:
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if processes > count:
        have = f"{processes} processes and {count} GPU{'s' if count > 1 else ''} on this machine"
        fix = f"start torchrun with --nproc-per-node={count}, or use trainer.device=cpu"
        raise GantoolError(f"trainer.device={name}: {have}: {fix}")
    if device.index is not None:
        raise GantoolError(f"trainer.device={name}: one GPU for {processes} processes: use trainer.device=auto")


def name_of(device: torch.device) -> str:
    """'cuda (NVIDIA H100)', 'cpu (AMD EPYC 9354)', or its kind alone where the machine does not tell."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    if device.type == "cpu" and _CPU.exists():
        found = re.search(r"^model name\s*: (.+)$", _CPU.read_text(), re.MULTILINE)
        name = found[1].strip() if found else ""
    return f"{device.type} ({name})" if name else device.type


def has_native_bf16(device: torch.device) -> bool:
    """True where the hardware computes bfloat16 faster than float32.

    On a CPU that is AMX, or AVX-512 BF16 as AMD has it: Intel's without AMX ran convolutions at 0.6 times float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return False
    amd = _CPU.exists() and "AuthenticAMD" in _CPU.read_text()
    return bool(torch.cpu._is_amx_tile_supported() or (amd and torch.cpu._is_avx512_bf16_supported()))


@dataclass
class MixedPrecision:
    """What the forward passes are computed in; parameters, penalties and optimizers stay float32.

    `name`: fp32, bf16, fp16, or 'auto', which becomes bf16 where the hardware has it; fp16 only on CUDA, else
    GantoolError.
    """

    device: torch.device
    name: str

    def __post_init__(self) -> None:
        if self.name == "auto":
            self.name = "bf16" if has_native_bf16(self.device) else "fp32"
        if self.name == "fp16" and self.device.type != "cuda":
            raise GantoolError("trainer.precision=fp16 needs a CUDA device; on a CPU use bf16, fp32 or auto")
        self.dtype = DTYPES[self.name]
        self.renew_scaler()

    def renew_scaler(self) -> None:
        """A scaler as at the start: fp16 underflows without a scaled loss; bf16 has float32's range and needs none."""
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager:
        """The context that forward passes run in."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


def to_memory_format(network: nn.Module, *, channels_last: bool) -> None:
    """Lays 4D weights out channels last, or as torch does by default; the last digits of results depend on it."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(tensor.device, memory_format=layout)


def keep_freed_pages() -> None:
    """Tells glibc to keep freed memory: a training step frees and asks for the same large blocks again and again,
    and each return to the system costs page faults (14 % of a DCGAN step on two cores). A no-op elsewhere."""
    _set_allocator(mmap_threshold=1 << 30, trim_threshold=-1)


def total_memory(device: torch.device) -> float:
    """Bytes that `device` has in all; infinite where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return machine_memory()


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has needed at most: of a GPU's memory, else of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS counts bytes, others kibibytes


def limit_memory() -> None:
    """Asking for more memory than this machine has is an error at once, and no kill by the system later; where the
    system has such a limit. For runs on a CPU: a GPU's driver reserves more addresses than there is memory."""
    try:
        import resource

        total = int(total_memory(torch.device("cpu")))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (total if most == resource.RLIM_INFINITY else min(total, most), most))
    except (ImportError, OverflowError, ValueError, OSError):
        return


def default_allocator() -> None:
    """Thresholds that glibc itself reaches after large blocks have come and gone (their upper limits)."""
    _set_allocator(mmap_threshold=32 << 20, trim_threshold=64 << 20)


def _set_allocator(mmap_threshold: int, trim_threshold: int) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(-3, mmap_threshold)  # M_MMAP_THRESHOLD
    mallopt(-1, trim_threshold)  # M_TRIM_THRESHOLD


def exact_float32() -> None:
    """float32 means float32 on Ampere GPUs and later too, whose convolutions would be rounded to TF32: in penalties, in
    features, and all through with trainer.precision=fp32."""
    _round_products(False, False)


def allow_tf32(device: torch.device) -> None:
    """Lets `device` round the factors of float32 products to TF32, 10 bits, until exact_float32. Raises GantoolError
    where it has no TF32."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] < 8:
        raise GantoolError(f"trainer.tf32=true needs a CUDA device of the Ampere kind or later, not {device}")
    _round_products(True, True)


@contextmanager
def exactly() -> Iterator[None]:
    """Inside, float32 is exact whatever trainer.tf32 says: what a run is scored by should be what evaluate finds."""
    before = bool(torch.backends.cudnn.allow_tf32), bool(torch.backends.cuda.matmul.allow_tf32)
    _round_products(False, False)
    try:
        yield
    finally:
        _round_products(*before)


def _round_products(convolutions: bool, matrices: bool) -> None:
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, matrices


def set_deterministic(on: bool) -> None:
    """Refuses nondeterministic kernels, or lets cuDNN choose the fastest."""
    if on != torch.are_deterministic_algorithms_enabled():  # setting it imports torch's compiler, 1.6 s
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = not on
