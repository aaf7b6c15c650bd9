"""The loop waits for its device once in a while only, and nothing is made of a state that is broken."""

import gc
import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from composing import composed
from extent import some, thorough
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.game import Outcome, Progress
from gantool.games.gan import GAN
from gantool.logging.jsonl import read_metrics
from gantool.runs import start
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.hardware import MixedPrecision
from gantool.training.loop import Settings, play_round
from gantool.training.measurements import CHECKED, Measurements
from gantool.training.optimization import PlayerOptimizer
from gantool.training.synchronised import synchronise
from runs import small

WAITS = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__")  # for the device
COPIES = ("new_tensor",)  # of Python's numbers to the device, from pageable memory: they wait for it too
GAMES = {
    "dcgan": ["regularizer=[l1,r1]", "model.discriminator.norm=layer", "augment=diffaugment", "optimizer.clip_norm=1"],
    "mlp": ["loss=wgan-gp", "loss.top=0.5"],
    "infogan": ["model.conditional=true", "trainer.microbatch=3", "regularizer=[lecam,bcr,zcr]"],
    "resnet": ["loss=hinge", "trainer.generator_batch=2", "trainer.ema_buffers=average"],
    "progan": [],  # whose forward asks for its stage
    "r3gan": ["augment=ada"],
}


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the device is waited for from now on, by the name of the call."""
    waits: Counter[str] = Counter()
    for name, real in {name: getattr(Tensor, name) for name in (*WAITS, *COPIES)}.items():

        def counted(tensor: Tensor, *words: Any, name: str = name, real: Any = real) -> Any:
            waits[name] += 1
            return real(tensor, *words)

        monkeypatch.setattr(Tensor, name, counted)
    for name, make in {name: getattr(torch, name) for name in ("tensor", "as_tensor")}.items():

        def made(*words: Any, name: str = name, make: Any = make, **settings: Any) -> Tensor:
            waits[name] += settings.get("device") is not None
            return make(*words, **settings)

        monkeypatch.setattr(torch, name, made)
    return waits


@pytest.mark.parametrize("model", some(GAMES, 3))
def test_rounds_wait_for_nothing_and_a_check_waits_once(in_tmp: Path, model: str, monkeypatch) -> None:
    cfg, hydra = composed(*add_arguments(small(in_tmp / "run", *GAMES[model], model=model)[1:]))
    setup = set_up(cfg, Written.of(hydra))
    image_set = prepare(setup.source)
    data, state = build_stream(setup, image_set), build_state(setup, len(image_set.images))
    measurements = build_measurements(setup, state, len(image_set.images))
    settings = Settings(seed=0, batch_size=8, microbatch=setup.config.trainer.microbatch)
    play_round(state, data, measurements, settings)
    waits = counting(monkeypatch)
    for _ in range(3):
        play_round(state, data, measurements, settings)
    assert set(+waits) <= ({"__float__"} if model == "progan" else set())
    waits.clear()
    measurements.check(state.game)
    assert +waits == {"tolist": 1}


def test_terms_and_norms_of_several_ranks_copy_nothing_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no game above has."""
    norm, images = nn.BatchNorm2d(2), torch.randn(4, 2, 3, 3)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda numbers: None)
    expected = nn.BatchNorm2d(2)(images)
    synchronise(norm)
    waits = counting(monkeypatch)
    found = norm(images)
    assert not +waits
    torch.testing.assert_close(found, expected)


def spoilt(round_number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's loss of that round is no number, whatever comes after."""
    real = GAN.generator_loss

    def loss(game: GAN, batch: Any) -> Outcome:
        outcome = real(game, batch)
        bad = game.progress.rounds == round_number
        return Outcome({name: term * (torch.nan if bad else 1) for name, term in outcome.terms.items()})

    monkeypatch.setattr(GAN, "generator_loss", loss)


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.checkpoint_seconds=0.01", "monitor=none"],
        ["score=fd", "monitor.scores.every=2it", "monitor.scores.num=60", "monitor.samples.every=3it"],
        ["trainer.watchdog.every=5it", "trainer.watchdog.action=rollback", "trainer.watchdog.max_rollbacks=0"],
    ],
    ids=["checkpoints", "monitors", "watchdog"],
)
def test_nothing_is_made_of_a_broken_state(in_tmp: Path, words: list[str], monkeypatch, capfd) -> None:
    broken = 5
    spoilt(broken, monkeypatch)
    assert main(small(in_tmp / "run", *words, "trainer.log_every=1000it", model="mlp", rounds=3 * CHECKED)) == 1
    error = capfd.readouterr().err
    assert f"broke down at {8 * broken} images: loss/generator/adversarial" in error and "not finite" in error
    run = in_tmp / "run"
    for path in (run / "checkpoints").glob("*.pt"):
        state = torch.load(path, weights_only=True)
        assert state["progress"]["rounds"] <= broken
        assert all(value.isfinite().all() for part in ("game", "ema") for value in state[part].values())
    assert all(line["rounds"] <= broken for line in read_metrics(run))
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    assert all(1000 * float(path.stem.split("-")[-1]) <= 8 * broken for path in run.glob("samples/*.png"))


def test_it_is_noticed_without_anything_that_looks(in_tmp: Path, monkeypatch, capfd) -> None:
    spoilt(2, monkeypatch)
    rounds: list[int] = []
    begin = GAN.begin_round
    monkeypatch.setattr(GAN, "begin_round", lambda game, at: (rounds.append(at.rounds), begin(game, at))[1])
    words = ["trainer.log_every=1000it", "trainer.watchdog.action=off", "monitor=none"]
    assert main(small(in_tmp / "run", *words, model="mlp", rounds=10 * CHECKED)) == 1
    assert "broke down at 16 images: loss/generator/adversarial" in capfd.readouterr().err
    assert max(rounds) == CHECKED - 1


def test_sums_of_earlier_checkpoints_are_read() -> None:
    """They were tensors."""
    memory = {
        "sums": {"one": {"loss/one/a": torch.tensor(6.0), "loss/one/b": torch.tensor(3.0)}},
        "updates": {"one": 3},
    }
    game: Any = SimpleNamespace(scalars=dict)
    scalars = Measurements({}, 1, memory)(game, nn.ModuleDict(), Progress()).scalars
    assert scalars.items() >= {"loss/one/a": 2.0, "loss/one/b": 1.0, "loss/one/total": 3.0}.items()


@thorough
def test_the_first_round_needs_no_compiler_and_no_torchvision(in_tmp: Path) -> None:
    """Their imports took a third of the time until it."""
    main(small(in_tmp / "prepare", model="mlp", rounds=1))  # decoding a data set for the first time may need more
    code = "import sys; from gantool.cli.main import main; code = main(sys.argv[1:])\n"
    code += "print('found:', code, *sorted({'torch._dynamo', 'torchvision'} & set(sys.modules)))"
    words = [sys.executable, "-c", code, *small(in_tmp / "run", "augment=diffaugment", model="mlp", rounds=2)]
    assert subprocess.check_output(words, text=True).splitlines()[-1] == "found: 0"


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adagrad"])
def test_optimizers_step_as_torchs_own(name: str) -> None:
    make, steps = getattr(torch.optim, name), []
    for ours in (True, False):
        torch.manual_seed(0)
        weights = [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(4))]
        wrapped = PlayerOptimizer(weights, partial(make, lr=0.1), lambda nimg, total: 1.0)
        plain = make(weights, lr=0.1)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            wrapped.step(MixedPrecision(torch.device("cpu"), "fp32")) if ours else plain.step()
        steps.append([weight.detach() for weight in weights])
    assert all(torch.equal(a, b) for a, b in zip(*steps, strict=True))
    assert all(weight.requires_grad and weight.is_leaf for weight in weights)


@pytest.mark.parametrize("make", [partial(torch.optim.Adam, fused=True), torch.optim.Adam, torch.optim.RMSprop])
def test_moments_go_to_weights_of_another_layout(make: Any) -> None:
    """A run that goes on with another trainer.channels_last: fused steps go by memory and would mix the moments up."""
    found = []
    for layouts in ((torch.channels_last, torch.channels_last), (torch.channels_last, torch.contiguous_format)):
        torch.manual_seed(0)
        weight, state = torch.randn(4, 3, 2, 2), {}
        for layout in layouts:
            parameter = nn.Parameter(weight.contiguous(memory_format=layout))
            optimizer = PlayerOptimizer([parameter], partial(make, lr=0.1), lambda nimg, total: 1.0)
            optimizer.load_state_dict(state or optimizer.state_dict())
            parameter.grad = torch.randn(4, 3, 2, 2).contiguous(memory_format=layout)
            optimizer.step(MixedPrecision(torch.device("cpu"), "fp32"))
            weight, state = parameter.detach(), optimizer.state_dict()
        found.append(weight)
    torch.testing.assert_close(*found)


def test_the_first_round_waits_for_no_sympy(in_tmp: Path) -> None:
    """Half a second, which torch takes where a gradient is handed to backward."""
    words = ["train", "model=mlp", "trainer.duration=1it", "score=none", f"hydra.run.dir={in_tmp / 'run'}"]
    code = f"import sys; from gantool.cli.main import main; main({words}); print('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith("False\n")


def test_the_collector_of_garbage_is_off_until_the_rounds(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}

    def watch(name: str) -> None:
        real = getattr(start, name)
        monkeypatch.setattr(start, name, lambda *rest: (found.update({name: gc.isenabled()}), real(*rest))[1])

    for name in ("set_up", "train"):
        watch(name)
    assert main(small(in_tmp / "run", model="mlp", rounds=1)) == 0
    assert found == {"set_up": False, "train": True}
    assert main(["train", "model=none"]) == 1 and gc.isenabled()
    gc.disable()  # as a caller may, for good
    try:
        assert main(small(in_tmp / "another", model="mlp", rounds=1)) == 0
        assert found == {"set_up": False, "train": False} and not gc.isenabled()
    finally:
        gc.enable()
