"""trainer.compile=graphs trains what eager mode trains: on a CPU, by a capture with the traps of a CUDA graph: what it
repeats are the same operations, with the same numbers, in the same places of memory."""

import re
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from composing import typed
from extent import some
from gantool.augment import transforms
from gantool.batch import Batch
from gantool.cli.main import main
from gantool.config import Written
from gantool.errors import GantoolError
from gantool.game import Outcome
from gantool.runs import build, parallel
from gantool.runs.compiling import check_graphs
from gantool.runs.fitting import settle_batch
from gantool.runs.start import train_run
from gantool.training.graphs import Graphs
from gantool.training.state import State
from runs import TRANSLATORS, Composed, choices, same, same_training, small

T = TypeVar("T")
# Operations that a device would have to be waited for, or that bring a number from Python's memory.
NOT_IN_A_GRAPH = ("aten::_local_scalar_dense", "aten::lift_fresh", "aten::nonzero")


class Tape(TorchDispatchMode):
    """The operations of one graph, as torch dispatches them below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple, dict, list[Tensor]]] = []
        self.given: set[int] = set()  # memory that was there before
        self.made: dict[int, Tensor] = {}  # the rest, by its place

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not func.name().startswith(NOT_IN_A_GRAPH), f"no graph holds {func.name()}"
        self.given |= {place(tensor) for tensor in tensors((args, kwargs))} - self.made.keys()
        result = func(*args, **(kwargs or {}))
        out = tensors(result)
        self.made |= {place(tensor): tensor for tensor in out if place(tensor) not in self.given}
        if not func.is_view:
            self.calls.append((func, args, kwargs or {}, out))
        return result

    def replay(self) -> None:
        """Does all of it again, in place."""
        for func, args, kwargs, out in self.calls:
            with torch.no_grad():
                for before, now in zip(out, tensors(func(*args, **kwargs)), strict=True):
                    if place(before) != place(now):
                        before.detach().copy_(now)

    def spoil(self) -> None:
        """What lies in memory that is a graph's own may be written over by any other one."""
        for tensor in self.made.values():
            if tensor.is_floating_point():
                tensor.detach().fill_(nan)


def tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class CpuCapture:
    """Graphs of a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.tapes: list[Tape] = []
        self.replays = 0
        self.lasting: set[int] = set()  # memory that is there as long as the graphs

    def warm_up(self, play: Callable[[], T]) -> T:
        return play()

    def capture(self, play: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        with Tape() as tape:
            made = play()
        self.tapes.append(tape)
        fresh = [True]  # a CUDA graph does nothing while it is captured, so that its first replay is the first time

        def replay() -> None:
            if not fresh:
                self.replays += 1
                tape.replay()
            fresh.clear()

        return made, replay


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[CpuCapture]:
    """Those of the runs so far; all runs may have graphs on the CPU, and lose in each round what the last one made."""
    made: list[CpuCapture] = []
    begin, play = Graphs.begin_round, Graphs.__call__

    def capture(device: torch.device) -> CpuCapture:
        made.append(CpuCapture(device))
        return made[-1]

    def begin_round(self: Graphs, kind: Any) -> Graphs:
        for tape in made[-1].tapes:
            tape.spoil()
        return begin(self, kind)

    def call(self: Graphs, state: State, name: str, part: Batch, share: float) -> Outcome:
        outcome = play(self, state, name, part, share)
        batches = [captured.part for captured in self.round or ()]
        lasting = [*state.game.parameters(), *state.game.buffers(), *(t for batch in batches for t in batch.tensors)]
        made[-1].lasting |= {place(tensor) for tensor in lasting if tensor is not None}
        return outcome

    def one_hot(classes: Tensor, count: int) -> Tensor:  # torch's looks at its numbers, but for those on a GPU
        return (classes[:, None] == torch.arange(count)).long()

    constants = transforms._on_device

    def on_device(numbers: tuple[float, ...], device: torch.device) -> Tensor:
        constant = constants(numbers, device)
        if made:
            made[-1].lasting.add(place(constant))
        return constant

    monkeypatch.setattr(transforms, "_on_device", on_device)
    monkeypatch.setattr(torch.nn.functional, "one_hot", one_hot)
    monkeypatch.setattr(parallel, "CudaCapture", capture)
    monkeypatch.setattr(Graphs, "begin_round", begin_round)
    monkeypatch.setattr(Graphs, "__call__", call)
    monkeypatch.setattr(build, "check_graphs", lambda config, device: check_graphs(config, torch.device("cuda")))
    return made


LAYERS = "model.generator.norm=layer model.discriminator.norm=layer"
CASES = [
    ("dcgan", "model.reuse_fakes=true trainer.microbatch=3"),
    ("dcgan", "loss=wgan-gp regularizer=[r1] regularizer.r1.every=2"),
    *(("dcgan", f"loss={loss}") for loss in choices("loss") if loss not in ("r3gan", "wgan-gp")),
    ("dcgan", "loss=r3gan loss.regularizers.r1.gamma=1 regularizer=[l2] regularizer.l2.every=3"),
    *(
        ("dcgan", f"regularizer={part} {LAYERS}")
        for part in choices("regularizer")
        if part not in ("lecam", "gradient-penalty", "r1", "l2")
    ),
    *(("dcgan", f"augment={part}") for part in choices("augment") if part not in ("none", "instance-noise", "r3gan")),
    ("dcgan", "loss.top=0.5 trainer.generator_batch=2 trainer.precision=bf16"),
    ("mlp", "auxiliary=acgan model.conditional=true model.fake_labels=uniform"),
    ("mlp", "auxiliary=feature-matching monitor=[scores,samples] monitor.samples.every=3it"),
    ("r3gan", "loss.regularizers.r1.gamma=1 augment=r3gan"),
    *((model, "") for model in choices("model") if model not in (*TRANSLATORS, "dcgan", "progan", "r3gan")),
]


@pytest.mark.parametrize(("model", "words"), some(CASES, 8))
def test_graphs_train_what_eager_mode_trains(in_tmp: Path, captures: list[CpuCapture], model: str, words: str) -> None:
    run = Composed(in_tmp, *words.split(), "trainer.log_every=1it", model=model)
    eager = run.train("eager", rounds=7)
    run.cfg.trainer.compile = "graphs"
    graphs = run.train("graphs", rounds=7)
    assert same_training(eager, graphs) and same(eager["measured"], graphs["measured"])
    [capture] = captures
    assert capture.tapes and capture.replays
    read = set().union(*(tape.given for tape in capture.tapes))
    assert read <= capture.lasting.union(*(tape.made for tape in capture.tapes)), "a graph reads what may be gone"


def test_a_run_with_graphs_resumes(in_tmp: Path, captures: list[CpuCapture]) -> None:
    run = Composed(in_tmp, "trainer.compile=graphs", "loss=hinge")
    whole = run.train("whole", rounds=7)
    run.train("parts", rounds=4)
    assert same_training(whole, run.train("parts", rounds=7))
    assert all(capture.replays for capture in captures[:2])


@pytest.mark.parametrize("tried", ["dry run", "auto-micro"])
def test_what_is_tried_has_graphs_as_the_run(in_tmp: Path, captures: list[CpuCapture], tried: str) -> None:
    run = Composed(in_tmp, "trainer.compile=graphs", model="mlp")
    if tried == "dry run":
        run.cfg.trainer.dry_run = True
        train_run(run.cfg, in_tmp / "run", run.hydra)
    else:
        run.cfg.trainer.batch_size = tried
        settle_batch(run.cfg, Written.of(run.hydra), in_tmp / "run")
    assert any(capture.replays for capture in captures)


REFUSED = {
    "trainer.parallel=sharded": "does not go with trainer.parallel=sharded: take trainer.compile=true",
    "trainer.precision=fp16": "does not go with trainer.precision=fp16, whose scale moves: take bf16",
    "trainer.sync_batch_norm=true": "does not go with trainer.sync_batch_norm=true",
    "model=progan": "does not go with a model that grows",
    "model=cyclegan": "does not go with gantool.games.cyclegan.CycleGAN",
    "model=r3gan": "repeats the same numbers: set loss.regularizers.r1.gamma to a number",
    "augment=instance-noise": "repeats the same numbers, and gantool.augment.InstanceNoise may have others",
    "regularizer=lecam": "repeats the same numbers, and gantool.consistency.LeCam may have others",
    "loss=hinge loss._target_=gantool.game.Loss": "repeats the same numbers, and gantool.game.Loss may have others",
    "loss.top={_target_: gantool.schedules.Ramp, start: 1, end: 0.5, until: 1kimg}": "repeats .* set loss.top to",
}


@pytest.mark.parametrize("words", REFUSED)
def test_graphs_are_refused_where_rounds_are_not_alike(words: str) -> None:
    typed_words = [*re.split(" (?=loss[.])", words), "dataset.channels=1", "dataset.num_classes=10"]
    for how in ("true", "graphs"):
        config = typed(*typed_words, f"trainer.compile={how}")
        if how == "true":
            check_graphs(config, torch.device("cuda"))
            continue
        with pytest.raises(GantoolError, match=f"^trainer.compile=graphs {REFUSED[words]}"):
            check_graphs(config, torch.device("cuda"))


def test_graphs_on_a_cpu_are_refused_before_anything_is_made(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small(in_tmp / "run", "trainer.compile=graphs", "trainer.device=cpu")) == 1
    assert "trainer.compile=graphs needs a CUDA device, not cpu: take" in capsys.readouterr().err
    assert not (in_tmp / "run").exists()
