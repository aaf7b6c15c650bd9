"""Memory: dry runs, batches that are chosen by what fits, and the micro-batch that an error names."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from extent import some, thorough
from gantool.cli.main import main
from gantool.config import Written
from gantool.config.composed import settings
from gantool.data.cache import prepare
from gantool.data.mnist import Mnist5k
from gantool.errors import GantoolError
from gantool.networks import mlp
from gantool.runs import fitting, rehearsal
from gantool.runs.build import set_up
from gantool.training.hardware import MixedPrecision
from runs import Composed, newest, same_training, small, train

MLP = ["train", *(word for word in small(Path("run"), model="mlp")[1:] if not word.startswith("trainer.batch_size"))]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timed round at each place."""
    monkeypatch.setattr("gantool.runs.fitting._SECONDS", 0.0)


@pytest.fixture
def few_fit(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator of model=mlp has memory for four images at once."""
    forward = mlp.Generator.forward

    def limited(self: mlp.Generator, z: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        if len(z) > 4 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, z, *more)

    monkeypatch.setattr(mlp.Generator, "forward", limited)


def trainer(run: Path) -> tuple[object, object]:
    saved = settings(run)
    return saved["trainer.batch_size"], saved["trainer.microbatch"]


@pytest.mark.usefixtures("few_fit")
def test_out_of_memory_names_the_microbatch_that_fits(in_tmp: Path, capfd) -> None:
    prepare(Mnist5k())  # which is told where nobody has
    capfd.readouterr()
    for more in ([], ["trainer.dry_run=true"]):
        assert main([*MLP, "trainer.batch_size=32", *more]) == 1
        error = capfd.readouterr().err
        assert error == ("gantool train: error: out of memory: trainer.microbatch=4 fits (the batch stays 32 images)\n")
        assert not (in_tmp / "run").exists()
    assert main([*MLP, "trainer.batch_size=32", "trainer.microbatch=4"]) == 0


@thorough
@pytest.mark.usefixtures("few_fit")
def test_the_microbatch_is_found_and_kept(in_tmp: Path, capfd) -> None:
    words = [*MLP, "trainer.batch_size=auto-micro", "model.latent.dim=16", "recipe.batch_size=${model.latent.dim}"]
    assert main(words) == 0
    assert trainer(in_tmp / "run") == (16, 4)
    assert main([*words, "trainer.duration=6it"]) == 0, "the same command goes on with the same numbers"
    assert newest(in_tmp / "run")["progress"]["nimg"] == 6 * 16 and trainer(in_tmp / "run") == (16, 4)
    for more in (["trainer.microbatch=2"], ["recipe.batch_size=8"]):
        assert main([*words, "trainer.duration=8it", *more]) == 1
        assert f"{more[0]}: an existing run keeps what trainer.batch_size=auto found" in capfd.readouterr().err
    assert main([*words, "trainer.microbatch=2", "hydra.run.dir=other"]) == 1
    assert "leave one of them out" in capfd.readouterr().err
    assert main([*MLP, "trainer.batch_size=auto", "hydra.run.dir=auto"]) == 0, "the recipe's 32 do not fit"
    assert trainer(in_tmp / "auto") == (4, None)


def test_a_run_that_began_with_a_number_is_not_fitted_in_silence(in_tmp: Path, capfd) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    capfd.readouterr()
    for word in ("auto", "auto-micro"):
        assert main(["train", f"resume={in_tmp / 'run'}", f"trainer.batch_size={word}", "trainer.duration=2it"]) == 1
        error = capfd.readouterr().err
        assert f"trainer.batch_size={word}: an existing run keeps" in error and error.count("\n") == 1


def test_what_a_run_has_shown_outlives_its_end_by_memory(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    """Before the first checkpoint by the clock."""

    def out(*words: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("gantool.monitors.histograms.Histograms.__call__", out)
    words = ["monitor=histograms", "monitor.histograms.every=3it", "trainer.log_every=1it"]
    assert main(small(in_tmp / "run", *words, "trainer.checkpoint_seconds=1000", model="mlp")) == 1
    assert "training fits, its monitors do not" in capfd.readouterr().err
    assert (in_tmp / "run" / "metrics.jsonl").read_text().count("\n") >= 2


def test_a_scaler_that_memory_left_amid_a_step_is_renewed() -> None:
    precision = MixedPrecision(torch.device("cpu"), "fp32")
    precision.scaler = torch.amp.GradScaler("cpu")
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    precision.scaler.scale(weight.sum()).backward()
    precision.scaler.unscale_(optimizer)  # and the step finds no memory
    precision.renew_scaler()
    precision.scaler.unscale_(optimizer)


@pytest.mark.parametrize(
    ("paces", "size", "why"),
    [
        ({32: 1.0, 64: 0.6, 128: 0.4, 256: 0.39}, 128, "batches of 256 train no faster"),
        ({32: 1.0, 64: 0.6, 128: None}, 64, "twice as many images do not fit"),
        ({32: None, 16: 1.0}, 16, "twice as many images do not fit"),
        ({32: 1.0, 64: 0.5}, 64, "twice as many are more than the 100 images there are"),
        (dict.fromkeys((32, 16, 8, 4, 2, 1)), None, "twice as many images do not fit"),
    ],
)
def test_why_a_batch_is_not_larger(paces: dict, size: int | None, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runs.fitting.Attempt.play", lambda self, size, micro: paces[size])
    trial = fitting.Attempt.__new__(fitting.Attempt)
    assert fitting._fastest(trial, 32, None, 100 if "100" in why else 5000) == (size, why)


def test_times_of_a_dry_run_have_one_form() -> None:
    times = [rehearsal._in_words(seconds) for seconds in (0.012, 17, 59.7, 373, 7500, 3599.9, 90_000)]
    assert times == ["0.012 s", "17 s", "1 min 0 s", "6 min 13 s", "2 h 5 min", "1 h 0 min", "1 d 1 h"]


def test_a_batch_grows_while_that_is_faster(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paces = {32: 1.0, 64: 0.6, 128: 0.4, 256: 0.39, 512: 0.1}
    monkeypatch.setattr("gantool.runs.fitting.Attempt.play", lambda self, size, micro: paces[size])
    assert main([*MLP, "trainer.batch_size=auto"]) == 0
    assert trainer(in_tmp / "run") == (128, None)


def test_looking_for_a_batch_changes_nothing(in_tmp: Path) -> None:
    whole = train(in_tmp / "whole", "augment=ada", "augment.interval=1", model="mlp")
    found = ["trainer.batch_size=auto-micro", "recipe.batch_size=8"]
    assert same_training(whole, train(in_tmp / "found", "augment=ada", "augment.interval=1", *found, model="mlp"))


MODELS = {"mlp": ["score=fd", "monitor=[samples,scores]"], "cyclegan": [], "progan": [], "biggan": []}


@pytest.mark.parametrize("model", some(MODELS, 1))
def test_a_dry_run_tells_and_leaves_nothing(in_tmp: Path, model: str, capfd) -> None:
    assert main([*small(in_tmp / "run", *MODELS[model], model=model), "trainer.dry_run=true"]) == 0
    out = capfd.readouterr().out
    for start in ("parameters", "memory", "pace", "whole run", "monitors", "disk"):
        assert f"\n{start} " in out
    assert not (in_tmp / "run").exists()
    if model == "mlp":
        assert "generator 17,856, discriminator 16,689" in out or "discriminator 16,689, generator 17,856" in out
        assert "monitors    samplegrid" in out and "scores" in out and "disk        3 checkpoints of" in out


SAVED = {"mlp": ["optimizer=rmsprop"], "progan": ["model.growth.reset_optimizers=true"], "cyclegan": []}


@pytest.mark.parametrize("model", some(SAVED, 1))
def test_a_dry_run_knows_the_size_of_a_real_checkpoint(in_tmp: Path, model: str, monkeypatch, capfd) -> None:
    words = small(in_tmp / "run", *SAVED[model], "trainer.keep_checkpoints=3", model=model)
    assert main([*words, "trainer.dry_run=true"]) == 0
    out = capfd.readouterr().out
    assert main(words) == 0
    [size] = [path.stat().st_size for path in (in_tmp / "run" / "checkpoints").glob("[0-9]*.pt")]
    told = re.search(r"disk +(\d+) checkpoints of ([\d.]+) ([kM])B", out)
    assert told and float(told[2]) * {"k": 1e3, "M": 1e6}[told[3]] == pytest.approx(size, rel=0.02)
    for room, code in ((0.97, 1), (1.03, 0)):
        free = room * (int(told[1]) + 1) * size  # one more while it is written
        monkeypatch.setattr("gantool.runs.rehearsal._free", lambda folder, free=free: free)
        assert main([*words, "trainer.dry_run=true"]) == code
        assert ("no room for the checkpoints" in capfd.readouterr().err) == bool(code)


def test_a_dry_run_of_a_run_that_is_there_leaves_it(in_tmp: Path, capfd) -> None:
    train(in_tmp / "run", model="mlp", rounds=2)
    before = {path: path.stat().st_mtime_ns for path in (in_tmp / "run").rglob("*")}
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=9it", "trainer.dry_run=true"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (in_tmp / "run").rglob("*")} == before
    assert json.loads((in_tmp / "run" / "status.json").read_text())["state"] == "finished"


def test_a_look_that_does_not_fit_is_told(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def fail(*words: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr("gantool.monitors.samples.SampleGrid.__call__", fail)
    for more in ([], ["trainer.dry_run=true"]):
        assert main([*MLP, "trainer.batch_size=8", "monitor=samples", *more]) == 1
        assert "out of memory: training fits, its monitors do not" in capfd.readouterr().err


@pytest.mark.parametrize(("ranks", "here", "fits"), [(1, 1, False), (2, 1, True), (2, 2, False), (4, 2, True)])
def test_ranks_need_memory_for_their_shares(in_tmp: Path, monkeypatch, ranks: int, here: int, fits: bool) -> None:
    """The ranks of one machine have one memory, where they train on its CPU."""
    run = Composed(in_tmp, "trainer.batch_size=64", model="mlp")
    monkeypatch.setattr("gantool.runs.build.total_memory", lambda device: 0.75 * 64 * 4 * 32 * 32)
    for name, value in (("TORCHELASTIC_RUN_ID", "test"), ("WORLD_SIZE", ranks), ("LOCAL_WORLD_SIZE", here)):
        monkeypatch.setenv(name, str(value))
    with nullcontext() if fits else pytest.raises(GantoolError, match="trainer.batch_size=64: the real images"):
        set_up(run.cfg, Written.of(run.hydra))
