"""What of a GPU a run touches, as far as a CPU can tell: seeds, TF32, and numbers that stay with the host."""

import copy
import resource
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from gantool import randomness
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.games.image_pool import ImagePool
from gantool.logging.status import read_status
from gantool.networks import progan
from gantool.training import hardware
from gantool.training.ema import EMA
from gantool.training.loop import Every
from runs import small, train


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Generator, ...]:
    """Those of three GPUs."""
    made = tuple(torch.Generator() for _ in range(3))
    monkeypatch.setattr(torch.cuda, "default_generators", made)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(randomness, "_in_use", set())
    return made


def test_only_devices_in_use_are_seeded(generators: tuple[torch.Generator, ...]) -> None:
    before = [generator.initial_seed() for generator in generators]
    randomness.seed_torch("here", 1)
    assert [generator.initial_seed() for generator in generators] == before
    for name, seeded in (("cuda:1", {1}), ("cuda:2", {1, 2})):
        assert hardware.choose_device(name) == torch.device(name)
        randomness.seed_everything(name)
        own = torch.default_generator.initial_seed()
        assert {place for place, generator in enumerate(generators) if generator.initial_seed() == own} == seeded


def test_a_refused_device_is_not_in_use(generators: tuple[torch.Generator, ...]) -> None:
    with pytest.raises(GantoolError, match="has 3 CUDA devices"):
        hardware.choose_device("cuda:3")
    assert randomness._in_use == set()


FEW = {  # GPUs, device, processes: what is said, or the devices of the ranks
    (1, "auto", 2): "2 processes and 1 GPU on this machine: start torchrun with --nproc-per-node=1, or use",
    (3, "cuda", 4): "4 processes and 3 GPUs on this machine: start torchrun with --nproc-per-node=3, or use",
    (1, "cuda:0", 2): "2 processes and 1 GPU on this machine: start torchrun with --nproc-per-node=1, or use",
    (2, "cuda:1", 2): "one GPU for 2 processes: use trainer.device=auto",
    (2, "auto", 2): ["cuda:0", "cuda:1"],
    (2, "cuda", 2): ["cuda:0", "cuda:1"],
    (2, "cuda:1", 1): ["cuda:1"],
    (1, "cpu", 2): ["cpu", "cpu"],
    (0, "auto", 2): ["cpu", "cpu"],
    (0, "mps", 2): "2 processes and 1 GPU on this machine",
}


@pytest.mark.parametrize(("asked", "expected"), FEW.items())
def test_each_process_has_a_gpu_or_all_are_refused(asked: tuple[int, str, int], expected: Any, monkeypatch) -> None:
    count, name, processes = asked
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: name == "mps")
    monkeypatch.setattr(hardware, "use", lambda device: None)
    for local_rank in range(processes):
        if isinstance(expected, list):
            assert hardware.choose_device(name, local_rank, processes) == torch.device(expected[local_rank])
            continue
        with pytest.raises(GantoolError) as refused:
            hardware.choose_device(name, local_rank, processes)
        assert f"trainer.device={name}: {expected}" in str(refused.value) and "\n" not in str(refused.value)


def test_training_asks_for_a_gpu_for_each_process(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert main(small(in_tmp / "run", "trainer.device=cuda", model="mlp")) == 1
    [line] = capfd.readouterr().err.strip().splitlines()
    assert "trainer.device=cuda: 2 processes and 1 GPU" in line and not (in_tmp / "run").exists()


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_the_most_memory_is_in_bytes(platform: str, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=7))
    assert hardware.peak_memory(torch.device("cpu")) == 7 * unit


@pytest.mark.parametrize("name", ["cpu", "cuda:2", "mps"])
def test_random_numbers_go_on_as_if_nothing_had_been_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device(name)
    generator = torch.default_generator if name == "cpu" else torch.Generator()
    module = torch.get_device_module(device)
    monkeypatch.setattr(module, "get_rng_state", lambda of: {device: generator.get_state()}[of], raising=False)
    monkeypatch.setattr(module, "set_rng_state", lambda state, of: generator.set_state(state), raising=False)
    before = [one.get_state() for one in (generator, torch.default_generator)]
    for enabled in (True, False):
        with randomness.forked(device, enabled=enabled):
            drawn = torch.rand(3, generator=generator), torch.rand(3)
        after = [one.get_state() for one in (generator, torch.default_generator)]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) == enabled, drawn


@pytest.mark.parametrize(("device", "capability"), [("cpu", (9, 0)), ("cuda:0", (7, 5))])
def test_tf32_is_refused_where_there_is_none(device: str, capability: tuple[int, int], monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    hardware.exact_float32()
    with pytest.raises(GantoolError, match=r"trainer\.tf32=true needs .* not " + device):
        hardware.allow_tf32(torch.device(device))
    assert not torch.backends.cudnn.allow_tf32


def test_what_looks_at_a_run_is_exact_under_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    hardware.exact_float32()
    flags = []

    def monitor(game: Any = None, generators: Any = None, progress: Any = None) -> Any:
        flags.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))

    state: Any = SimpleNamespace(game=None, ema=EMA(nn.ModuleDict(), 1), progress=Progress())
    try:
        hardware.allow_tf32(torch.device("cuda", 0))
        monitor()
        Every(1, monitor).look(state)
        monitor()
    finally:
        hardware.exact_float32()
    monitor()
    assert flags == [(True, True), (False, False), (True, True), (False, False)]


HOSTED = {
    "stage of a generator": lambda: progan.Generator(latent_dim=4, resolution=8, channels=1, width=4),
    "stage of a discriminator": lambda: progan.Discriminator(resolution=8, channels=1, width=4),
    "count of a pool": lambda: ImagePool(4, (1, 8, 8)),
}


@pytest.mark.parametrize("what", HOSTED)
def test_numbers_that_the_host_asks_for_stay_with_it(what: str) -> None:
    """The meta device stands for a GPU: nothing can be asked of a tensor there."""
    module, name = HOSTED[what](), what.partition(" ")[0]
    keys = list(module.state_dict())
    getattr(module, name).fill_(1)
    moved = copy.deepcopy(nn.Sequential(module)).to("meta", torch.bfloat16)
    kept = moved.get_buffer(f"0.{name}")
    assert (kept.device.type, kept.dtype, float(kept)) == ("cpu", getattr(module, name).dtype, 1.0)
    others = [value for key, value in moved.state_dict().items() if not key.endswith(name)]
    assert others and all(value.device.type == "meta" for value in others)
    assert list(module.state_dict()) == keys


def test_averages_copy_buffers_of_both_kinds_of_places() -> None:
    live = nn.ModuleDict({"generator": nn.Sequential(HOSTED["stage of a generator"](), nn.BatchNorm1d(2))})
    ema = EMA(live, 1)
    live["generator"][0].stage.fill_(0.5)  # pyright: ignore
    live["generator"][1].running_mean.fill_(3.0)  # pyright: ignore
    ema.update(live, Progress(nimg=8, previous=0, total=8))
    for mean, now in zip(ema.generators.buffers(), live.buffers(), strict=True):
        assert torch.equal(mean, now)


def test_what_other_starters_set_makes_no_ranks(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes and Slurm scripts set torchrun's variables where each process is alone: it writes its run."""
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    train(in_tmp / "run", model="mlp", rounds=1)
    assert read_status(in_tmp / "run")["state"] == "finished"
