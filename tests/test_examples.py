"""Parts that a user writes, as README shows them, in a folder outside the package and through the console script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gantool
from extent import thorough
from gantool.cli.main import main

EXAMPLES = Path(__file__).parent / "examples"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = sorted(
    path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".yaml")
)
SMALL = ["trainer.batch_size=8", "trainer.duration=2it", "hydra.run.dir=run"]
SCORED = ["monitor.scores.every=1it", "monitor.scores.num=20"]


@pytest.fixture
def folder(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples in a folder of the user's, which is the working folder."""
    shutil.copytree(EXAMPLES, in_tmp, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(in_tmp)  # for what runs in this process: a notebook has it, as the console script has
    return in_tmp


def console(*words: str) -> None:
    """Runs `gantool WORDS` as a user does: the installed script, in a process of its own."""
    done = subprocess.run([Path(sys.executable).with_name("gantool"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def logged(folder: Path, run: str = "run") -> dict[str, object]:
    """All that a run wrote into its log, the last values."""
    lines = (folder / run / "metrics.jsonl").read_text().splitlines()
    return {key: value for line in lines for key, value in json.loads(line).items()}


def test_parts_of_ones_own_train_together_and_work_in_every_command(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A loss, a network, a data set, a score, features, a monitor, a regularizer and a latent."""
    parts = ["loss=margin", "model=mine", "dataset=stripes", "score=[fd,brightness]", "features=pixels"]
    parts += ["monitor=[scores,norms]", "monitor.norms.every=1it", "regularizer=centre", "model/latent=sphere"]
    console("train", "--config-dir", "conf", *parts, *SCORED, *SMALL)
    values = logged(folder)
    for tag in ("metrics/fd_pixels", "metrics/brightness", "length/generator", "loss/discriminator/centre"):
        assert tag in values
    assert main(["evaluate", "--config-dir", "conf", "run=run", "trust=true", "score=[fd,brightness]"]) == 0
    (result,) = (json.loads(path.read_text()) for path in (folder / "run" / "evaluated").rglob("*.json"))
    assert result["scores"]["fd_pixels"] == pytest.approx(values["metrics/fd_pixels"], rel=1e-5)
    assert main(["sample", "run=run", "trust=true", "num=4"]) == 0
    assert main(["report", "run=run"]) == 0, "nothing is built"
    assert main(["train", "resume=run", "trust=true", "trainer.duration=3it"]) == 0
    capfd.readouterr()
    assert main(["list", "model", "--config-dir", "conf"]) == 0
    assert "My generator against" in capfd.readouterr().out


@thorough
def test_a_game_of_ones_own_takes_every_loss_regularizer_and_augmentation(folder: Path) -> None:
    console("train", "--config-dir", "conf", "model=duo", "loss=wgan-gp", "augment=diffaugment", "score=none", *SMALL)
    plain = dict(logged(folder))
    assert "loss/discriminator/gradient_penalty" in plain
    words = ["--config-dir", "conf", "model=duo", "loss=wgan-gp", "regularizer=drift", "score=none", *SMALL[:2]]
    assert main(["train", *words, "hydra.run.dir=other", "augment=none"]) == 0
    other = logged(folder, "other")
    assert "loss/discriminator/drift" in other and other["loss/generator/total"] != plain["loss/generator/total"]


def test_a_game_of_ones_own_is_told_what_asks_for_one_generator(folder: Path, capfd) -> None:
    console("train", "--config-dir", "conf", "model=duo", "score=none", *SMALL)
    for command in ("export", "interpolate", "embed score=none", "explain"):
        assert main([*command.split()[:1], "run=run", "trust=true"]) == 1
        error = capfd.readouterr().err
        assert "is of a game of its own, Duo" in error and error.count("\n") == 1, error


def test_a_class_on_the_command_line_is_enough(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Keys that came with DCGAN's generator and that this one does not take are left out, and said."""
    words = ["train", "model.generator._target_=my_network.Generator", "score=none", *SMALL]
    assert main(words) == 0
    assert "my_network.Generator takes no norm, upsampling; left out" in capfd.readouterr().out
    assert main([*words, "model.generator.upsampling=nearest"]) == 1
    error = capfd.readouterr().err
    assert "unknown key 'model.generator.upsampling'" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("model=duo auxiliary=acgan", "auxiliary=acgan: my_game.Duo takes no auxiliaries; leave it out"),
        ("model=mine model.conditional=true", "my_network.Generator takes no num_classes"),
        ("loss._target_=my_score.Brightness", "does not derive from gantool.game.Loss"),
        ("model.latent._target_=my_monitor.Norms", "model.latent.dim is missing"),
        ("score=fd score.fd._target_=my_monitor.Norms", "does not derive from gantool.metrics.score.Score"),
        ("regularizer=l2 regularizer.l2._target_=my_monitor.Norms", "has no player, every, allow_batch_norm"),
        ("loss=margin", "no 'margin' in config group 'loss', but in conf: add --config-dir conf"),
    ],
)
def test_a_part_that_does_not_fit_is_named_in_one_line(
    words: str, line: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = [] if words == "loss=margin" else ["--config-dir", "conf"]
    assert main(["train", *where, *words.split(), "hydra.run.dir=run"]) == 1
    error = capfd.readouterr().err
    assert line in error and error.count("\n") == 1 and not (folder / "run").exists(), error


def test_readme_shows_the_examples_as_they_are() -> None:
    """A loss whole, the others by their place."""
    for name in FILES:
        text = (EXAMPLES / name).read_text(encoding="utf-8").strip()
        shown = name in ("my_loss.py", "conf/loss/margin.yaml")
        if shown or name.endswith(".py"):
            assert (f"# {name}\n{text}\n" if shown else f"`{name}`") in README, name


def test_the_python_interface_trains_opens_and_loads(folder: Path) -> None:
    made = gantool.train(["model=mlp", "loss=margin", "score=none", *SMALL], config_dir="conf")
    images = made.sample(5, seed=3)
    assert images.shape == (5, 1, 32, 32) and images.dtype.is_floating_point is False
    assert bool((gantool.load_run("run", trust=True).sample(5, seed=3) == images).all())
    assert main(["export", "run=run", "trust=true", "format=snapshot"]) == 0
    assert gantool.load("run/exported").sample(2).shape == (2, 1, 32, 32)
    with pytest.raises(gantool.GantoolError, match="trainer.batch_size=0: should be greater than 0"):
        gantool.train(["trainer.batch_size=0"])
