"""Two processes (gloo) as torchrun starts them: they stay identical, and train and score what one process does."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from extent import some, thorough
from gantool.cli.main import main
from gantool.ranks import rank
from gantool.runs import start
from gantool.training import loop
from processes import ranks
from runs import newest, same_training, small, train

CASES = {
    "lsgan": ["loss=lsgan", "regularizer=[r1,l2]", "model.discriminator.norm=spectral", "model.generator.norm=none"],
    "ada": ["loss=hinge", "model.generator.norm=none", "augment=ada", "augment.interval=1", "augment.rise=32img"],
    "wgan-gp": ["loss=wgan-gp", "augment=diffaugment", "model.generator.norm=layer", "dataset.shift=2"],
    "r3gan": [],
    "progan": ["loss=wgan-gp", "model.growth.start=4", "model.discriminator.minibatch_std=0"],
    "mlp": ["loss=wgan-gp", "model.generator.norm=layer"],
    "uneven": ["trainer.batch_size=7", "model.generator.norm=layer", "model.discriminator.norm=layer"],
    "own-batch": [
        "loss=relativistic",
        "trainer.generator_batch=1.6",
        "model.generator.norm=layer",
        "model.discriminator.norm=layer",
    ],
    "growth": [
        "model.growth.batch_sizes={4:7,8:5}",
        "model.growth.start=4",
        "model.discriminator.minibatch_std=0",
        "trainer.duration=60img",
    ],
    # Two rounds: signs rule the first steps of Adam and the slopes of L1, so that sums in another order (1e-5 off here)
    # are another training soon after, of one process too.
    "cyclegan": ["trainer.batch_size=7", "model.pool_size=4", "trainer.duration=2it"],
    "batch-norm": ["loss=non-saturating", "model.conditional=true"],  # identical ranks, but not one process
}
MODELS = {"growth": "progan"} | {name: name for name in ("r3gan", "progan", "mlp", "cyclegan")}
NAMES = some(CASES, 1)
SCORED = ["score=[fd,is]", "monitor=scores", "monitor.scores.num=250", "monitor.scores.every=1it", "features=digits"]


def words(name: str, folder: Path) -> list[str]:
    return small(folder, *CASES[name], model=MODELS.get(name, "dcgan"))


def together(words: list[str], output: Path, run=main, *, count: int = 2) -> str:
    """What `count` ranks said that ended well."""
    processes = ranks(words, output, run=run, count=count)
    said = [process.wait() for process in processes]
    assert [process.code for process in processes] == [0] * count, said
    assert not any(said[1:]), "only the first rank talks"
    return said[0]


def keep_the_end(words: list[str]) -> int:
    """gantool, which leaves this rank's last state beside the run's folder."""
    run_dir = next(word.partition("=")[2] for word in words if word.startswith("hydra.run.dir="))

    def play(state, *rest) -> None:
        loop.train(state, *rest)
        parts = {part: state.state_dict()[part] for part in ("game", "ema", "optimizers")}
        torch.save(parts, f"{run_dir}-{rank()}.pt")

    start.train = play
    return main(words)


def in_own_folder(words: list[str]) -> int:
    """gantool on a machine of its own: no rank sees what another has on its disk."""
    folder = Path(f"machine{os.environ['RANK']}")
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    return main(words)


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_train_as_one(in_tmp: Path, name: str) -> None:
    assert together(words(name, in_tmp / "two"), in_tmp / "out", keep_the_end).count("go on:") == 1
    first, second = (torch.load(in_tmp / f"two-{k}.pt", weights_only=True) for k in (0, 1))
    assert same_training(first, second), "the ranks drifted apart"
    assert same_training(first, newest(in_tmp / "two"))
    assert main(words(name, in_tmp / "one")) == 0
    one = newest(in_tmp / "one")
    if name == "batch-norm":
        assert newest(in_tmp / "two")["progress"] == one["progress"]
        return
    for player, optimizer in one["optimizers"].items():
        for key, moments in optimizer["state"].items():  # gradients, averaged: weights would hide a difference
            difference = first["optimizers"][player]["state"][key]["exp_avg"] - moments["exp_avg"]
            assert difference.norm() <= 0.01 * moments["exp_avg"].norm() + 1e-7, (player, key)


@thorough
def test_the_first_rank_alone_has_the_checkpoints_and_passes_over_a_damaged_one(in_tmp: Path) -> None:
    whole = together(small(Path("run"), model="mlp"), in_tmp / "out", in_own_folder)
    assert "go on:" in whole
    expected = newest(Path("machine0/run"))
    Path("machine0/run").rename("whole")
    together(small(Path("run"), model="mlp", rounds=2), in_tmp / "out", in_own_folder)
    together(small(Path("run"), model="mlp", rounds=3), in_tmp / "out", in_own_folder)
    [*_, last] = sorted(Path("machine0/run/checkpoints").glob("[0-9]*.pt"))
    last.write_bytes(last.read_bytes()[:-1])
    assert "damaged" in together(small(Path("run"), model="mlp"), in_tmp / "out", in_own_folder)
    assert same_training(expected, newest(Path("machine0/run")))
    assert len(list(Path().rglob("*.damaged"))) == 1 and not list(Path("machine1").rglob("*.pt"))


@thorough
@pytest.mark.parametrize("count", some([2, 3], 1))
def test_ranks_score_and_sample_what_one_process_does(in_tmp: Path, count: int) -> None:
    together(small(in_tmp / "two", *SCORED, model="mlp", rounds=1), in_tmp / "out", count=count)
    for folder in ("one", "two"):  # the same generators are scored
        done = ["evaluate", f"run={in_tmp / 'two'}", "score=[fd,precision]", f"out={in_tmp / folder / 'scores'}"]
        drawn = ["sample", f"run={in_tmp / 'two'}", "num=250", "format=npz", f"out={in_tmp / folder / 'drawn'}"]
        for command in (done, drawn):
            if folder == "one":
                assert main(command) == 0
            else:
                together(command, in_tmp / "out", count=count)
    logged = newest(in_tmp / "two")["metrics"]
    results = [json.loads((in_tmp / name / "scores" / "results.json").read_text())[0] for name in ("one", "two")]
    assert results[0] == results[1] and logged["fd_digits"] == results[0]["scores"]["fd_digits"]
    assert logged.keys() == {"fd_digits", "is_digits"}
    drawn = [np.load(in_tmp / name / "drawn" / "samples.npz")["arr_0"] for name in ("one", "two")]
    assert drawn[0].shape == (250, 32, 32, 1) and (drawn[0] == drawn[1]).all()


@thorough
def test_other_commands_are_the_first_ranks(in_tmp: Path) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    together(["interpolate", f"run={in_tmp / 'run'}", f"out={in_tmp / 'ways'}"], in_tmp / "out")
    assert list((in_tmp / "ways").glob("*.png"))
