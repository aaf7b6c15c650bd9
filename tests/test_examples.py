"""Parts that a user writes, as README shows them, in a folder outside the package and through the console script."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import gantool
from extent import thorough
from gantool import beside
from gantool.cli.main import COMMANDS, main
from gantool.config.parts import find
from gantool.errors import GantoolError

EXAMPLES = Path(__file__).parent / "examples"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = sorted(
    path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".yaml")
)
SMALL = ["trainer.batch_size=8", "trainer.duration=2it", "hydra.run.dir=run"]
# All but packages without an __init__.py, such as google: a file takes their place wherever it lies on the path.
INSTALLED = {*sys.stdlib_module_names, *filter(str.isidentifier, packages_distributions())}
MODULES = {name for name in INSTALLED if (spec := PathFinder.find_spec(name)) and spec.origin}
SCORED = ["monitor.scores.every=1it", "monitor.scores.num=20"]


@pytest.fixture
def folder(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples in a folder of the user's, which is the working folder."""
    shutil.copytree(EXAMPLES, in_tmp, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(in_tmp)  # for what runs in this process: a notebook has it
    return in_tmp


def console(*words: str, program: Iterable[str] = (str(Path(sys.executable).with_name("gantool")),)) -> None:
    """Runs `gantool WORDS` as a user does: the installed script, in a process of its own."""
    done = subprocess.run([*program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def traps(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Files of these modules, none of which is to be run."""
    marker = folder / "trapped"
    files = [folder / f"{name}.py" for name in names]
    for file in files:
        file.write_text(f"open({str(marker)!r}, 'a').write(__name__ + ' ')\n")
    yield
    assert not marker.exists(), marker.read_text()
    for file in files:
        file.unlink()


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
    with traps(folder, MODULES):
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
    assert main(["train", "--config-dir", "conf", "model=duo", "score=none", *SMALL]) == 0
    capfd.readouterr()
    for command in ("export", "interpolate", "embed score=none", "explain"):
        assert main([*command.split()[:1], "run=run", "trust=true"]) == 1
        error = capfd.readouterr().err
        assert "run is of a custom game, Duo: " in error and error.count("\n") == 1, error


def test_a_class_on_the_command_line_is_enough(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Keys that came with DCGAN's generator and that this one does not take are left out, and said."""
    words = ["train", "model.generator._target_=my_network.Generator", "score=none", *SMALL]
    assert main(words) == 0
    out = capfd.readouterr().out
    assert "my_network.Generator takes no norm, upsampling; left out" in out
    assert "note: model.generator._target_ is yours; width=24 came with model=dcgan, and the suggested" in out
    assert main([*words, "loss._target_=my_loss.Margin", "hydra.run.dir=other"]) == 0
    out = capfd.readouterr().out
    assert "\nloss my_loss.Margin: discriminator minimises" in out
    assert "note: loss._target_ is yours; the suggested values (recipe) are those of loss=non-saturating\n" in out
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


def test_no_command_runs_a_file_for_the_package_of_its_name(folder: Path) -> None:
    """As one may lie in a folder that the user only looks into."""
    with traps(folder, INSTALLED):
        for command in ("runs .", "cache", "list", "train --cfg job"):
            console(*command.split())
    with traps(folder, INSTALLED - {*sys.stdlib_module_names, "gantool"}):  # which Python imports before
        console("runs", ".", program=(sys.executable, "-m", "gantool"))


@thorough
def test_a_job_in_a_process_of_its_own_finds_them(folder: Path) -> None:
    """No job before it had asked for one."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["-m", "--config-dir", "conf", "loss=hinge,margin", "model=mlp", "score=none", *SMALL[:2]]
    with traps(folder, MODULES):
        console("train", *words, "hydra/launcher=joblib", "hydra.sweep.dir=sweep")
    assert len(list(Path("sweep").glob("*/checkpoints"))) == 2


def test_a_class_of_ones_own_for_hydra_is_found(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra looks for them itself."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(COMMANDS, "train", ("stand_in:train", "stands for it"))
    marks = "from pathlib import Path\nclass Marks(Callback):\n    def on_job_start(self, **what):\n"
    for number, word in enumerate(("mine._target_=own_0.Marks", "mine={_target_: own_1.Marks}")):
        body = f"        Path('marked-{number}').touch()\n"
        Path(f"own_{number}.py").write_text(f"from hydra.experimental.callback import Callback\n{marks}{body}")
        assert main(["train", f"+hydra.callbacks.{word}", "hydra.run.dir=run"]) == 0
        assert Path(f"marked-{number}").exists()


@pytest.mark.parametrize("own", ["hidden.py", "hidden/__init__.py", "hidden/part.py"])
@pytest.mark.parametrize("taken", ["hidden.py", "hidden/__init__.py", "hidden/other.py"])
@pytest.mark.parametrize("place", [".venv/lib/site-packages", "../working-2"])
def test_a_name_that_is_taken_is_told(own: str, taken: str, place: str, in_tmp: Path, monkeypatch) -> None:
    """By what is installed below the folder too, as README does."""
    here, there = in_tmp / "working", in_tmp / "working" / place
    for path in (here / own, there / taken):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(beside, "_place", [str(here)])
    usual = sys.path
    for path in (there, here):
        monkeypatch.setattr(sys, "path", [str(path), *usual])
        sys.modules.pop("hidden", None)
        with pytest.raises(GantoolError) as told:
            find("hidden.Own", "loss")
        assert ("rename yours" in str(told.value)) == (path == there)
    sys.modules.pop("hidden")


def test_files_of_ones_own_import_each_other_at_any_time(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is last on the path, and not before a class of it is asked for."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(beside, "_place", [str(in_tmp)])
    Path("own_first.py").write_text("def made():\n    import own_later\n    return own_later.VALUE\n")
    Path("own_later.py").write_text("VALUE = 7\n")
    Path("email.py").write_text("def made(): pass\n")
    with pytest.raises(GantoolError, match="email.made cannot be used.*email .*: rename yours"):
        find("email.made", "loss")
    find("torch.nn.ReLU", "loss")
    assert str(in_tmp) not in sys.path
    assert find("own_first.made", "loss")() == 7 and sys.path[-1] == str(in_tmp)
    with pytest.raises(GantoolError, match="own_first.nothing cannot be used(?!.*another name)"):
        find("own_first.nothing", "loss")
