"""Parts that a user writes, as README shows them, in a folder outside the package and through the console script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gantool

EXAMPLES = Path(__file__).parent / "examples"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = sorted(
    path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".yaml")
)
SMALL = ["trainer.batch_size=8", "trainer.duration=2it", "hydra.run.dir=run"]
SCORED = ["monitor.scores.every=1it", "monitor.scores.num=20"]


@pytest.fixture
def folder(in_tmp: Path) -> Path:
    """The examples in a folder of the user's, which is the working folder."""
    shutil.copytree(EXAMPLES, in_tmp, dirs_exist_ok=True)
    return in_tmp


def run(*words: str) -> str:
    """What `gantool WORDS` prints."""
    script = Path(sys.executable).with_name("gantool")
    done = subprocess.run([script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logged(folder: Path) -> dict[str, object]:
    """All that a run wrote into its log, the last values."""
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return {key: value for line in lines for key, value in json.loads(line).items()}


@pytest.mark.parametrize(
    ("words", "leaves"),
    [
        ("loss=margin model=mlp score=none", "loss/generator/adversarial"),
        ("model=mine score=none", "loss/generator/total"),
        ("dataset=stripes model=mlp model.conditional=true score=none", "loss/generator/total"),
        ("model=duo loss=wgan-gp augment=diffaugment score=none", "loss/discriminator/gradient_penalty"),
        ("regularizer=centre model/latent=sphere model=mlp score=none", "loss/discriminator/centre"),
        ("monitor=[samples,norms] monitor.norms.every=1it model=mlp score=none", "length/discriminator"),
        ("score=[brightness,fd] model=mlp", "metrics/brightness"),
        ("features=pixels model=mlp", "metrics/fd_pixels"),
    ],
)
def test_a_part_of_ones_own_trains(words: str, leaves: str, folder: Path) -> None:
    run("train", "--config-dir", "conf", *words.split(), *SMALL, *([] if "score=none" in words else SCORED))
    assert leaves in logged(folder)


def test_own_parts_work_in_every_command_and_in_the_list(folder: Path) -> None:
    train = ["score=[fd]", "features=pixels", *SCORED, "monitor.norms.every=1it"]
    run("train", "--config-dir", "conf", "model=mine", "loss=margin", "monitor=[scores,norms]", *train, *SMALL)
    assert "brightness" in run("evaluate", "--config-dir", "conf", "run=run", "score=[fd,brightness]", "num=20")
    (result,) = (json.loads(path.read_text()) for path in (folder / "run" / "evaluated").rglob("*.json"))
    assert result["scores"]["fd_pixels"] == pytest.approx(logged(folder)["metrics/fd_pixels"], rel=1e-5)
    assert "My generator against" in run("list", "model", "--config-dir", "conf")
    run("sample", "run=run", "num=4")
    run("train", "resume=run", "trainer.duration=3it")


def test_a_class_on_the_command_line_is_enough(folder: Path) -> None:
    """Keys that came with DCGAN's generator and that this one does not take are left out, and said."""
    out = run("train", "model.generator._target_=my_network.Generator", "score=none", *SMALL)
    assert "my_network.Generator takes no upsampling; left out" in out
    script = Path(sys.executable).with_name("gantool")
    typed = ["model.generator._target_=my_network.Generator", "model.generator.upsampling=nearest", "score=none"]
    done = subprocess.run([script, "train", *typed, *SMALL], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "unknown key 'model.generator.upsampling'" in done.stderr


def test_a_part_that_a_network_cannot_take_is_named(folder: Path) -> None:
    script = Path(sys.executable).with_name("gantool")
    for words, error in {
        "model=duo auxiliary=acgan": "auxiliary=acgan: my_game.Duo takes no auxiliaries; leave it out",
        "model=mine model.conditional=true": "my_network.Generator takes no num_classes",
    }.items():
        done = subprocess.run([script, "train", "--config-dir", "conf", *words.split()], capture_output=True, text=True)
        assert done.returncode == 1 and error in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_readme_shows_the_examples_as_they_are(name: str) -> None:
    if name in ("my_game.py", "conf/model/duo.yaml"):
        assert f"tests/examples/{name}" in README  # too long to be shown
        return
    text = (EXAMPLES / name).read_text(encoding="utf-8").strip()
    assert f"# {name}\n{text}\n" in README, "README shows another version"


def test_the_python_interface_trains_opens_and_loads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)  # as a notebook has it
    made = gantool.train(["model=mlp", "loss=margin", "score=none", *SMALL], config_dir="conf")
    images = made.sample(5, seed=3)
    assert images.shape == (5, 1, 32, 32) and images.dtype.is_floating_point is False
    assert bool((gantool.load_run("run").sample(5, seed=3) == images).all())
    run("export", "run=run", "format=snapshot")
    assert gantool.load("run/exported").sample(2).shape == (2, 1, 32, 32)
    with pytest.raises(gantool.GantoolError, match="trainer.batch_size=0: should be greater than 0"):
        gantool.train(["trainer.batch_size=0"])
