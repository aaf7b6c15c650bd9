"""gantool train resume=RUN: the run's own configuration, and what cannot be changed on a run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from composing import composed
from gantool.cli import main
from gantool.config import save_composed

pytestmark = pytest.mark.usefixtures("stand_in")


def test_resume_composes_what_the_run_was_made_with(capsys: pytest.CaptureFixture[str]) -> None:
    folder = "it's a=b, {c}/run"
    Path(folder).parent.mkdir()
    quoted = folder.replace("'", "\\'")
    words = ["model=mlp", "optimizer.lr=0.5", "regularizer=[r1]", "trainer.batch_size=32"]
    assert main(["train", *words, f"hydra.run.dir='{quoted}'"]) == 0
    before = {path: path.read_bytes() for path in Path(folder, ".hydra").iterdir()}
    capsys.readouterr()
    assert main(["train", f"resume={folder}", "trainer.batch_size=16"]) == 0
    assert capsys.readouterr().out == "lr 0.5 batch 16 model gantool.networks.mlp.Generator\n"
    assert main(["train", f"resume={folder}", "--help"]) == 0
    assert re.search(r"\n  trainer.batch_size +\[16\]\n", capsys.readouterr().out)
    after = {path: path.read_bytes() for path in Path(folder, ".hydra").iterdir()}
    config = Path(folder, ".hydra", "config.yaml")
    lines = zip(before.pop(config).splitlines(), after.pop(config).splitlines(), strict=True)
    assert [pair for pair in lines if pair[0] != pair[1]] == [(b"  batch_size: 32", b"  batch_size: 16")]
    assert after == before
    assert not Path("outputs").exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, one without a checkpoint, and one of an older version."""
    root = tmp_path_factory.mktemp("folders")
    cfg, hydra = composed()
    save_composed(cfg, root / "run", hydra)
    (root / "run" / "checkpoints").mkdir()
    (root / "run" / "checkpoints" / "1.pt").touch()
    for name, text in (("bare", "recipe: {}\nmodel: {}\n"), ("old", "model:\n  recipe: {}\n")):
        (root / name / ".hydra").mkdir(parents=True)
        (root / name / ".hydra" / "config.yaml").write_text(text)
    return root


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["resume=run", "model=mlp"], "model=mlp: a run keeps its model, so that its weights, curves and scores stay"),
        (
            ["resume=run", "logger=csv", "regularizer=[r1]", "model=mlp"],
            "logger=csv regularizer=[r1] model=mlp: a run keeps its logger, regularizer and model, so that",
        ),
        (["resume=run", "optimizer.lrr=1"], "unknown key 'optimizer.lrr' (did you mean 'lr'?)"),
        (["resume=run", "trainer.batch_size=0"], "trainer.batch_size=0: should be greater than 0"),
        (["resume=run", "-m", "trainer.seed=1,2"], "resume= continues one run"),
        (["resume=run", "hydra.run.dir=other"], "resume=run already names the run folder"),
        (["resume=run", "--config-dir", "run"], "resume= takes its configuration from the run"),
        (["resume=rum"], "resume=rum: no such folder (did you mean 'run'?)"),
        (["resume=run/checkpoints/1.pt"], "resume=run/checkpoints/1.pt: name the run folder"),
        (["resume=run/checkpoints"], "resume=run/checkpoints is not a run folder"),
        (["resume=."], "resume=. is not a run folder: it has no .hydra/config.yaml; name one of those in it, such as "),
        (["resume=run", "resume=bare"], "resume=run and resume=bare: give resume= once"),
        (["resume=run", "trust=false", "trust=true"], "trust=false and trust=true: give trust= once"),
        (["resume=bare"], "resume=bare has no checkpoint to continue from: start it again with its own command\n"),
        (["resume=old"], "old was made by gantool 0.1, whose configuration this version does not read: use"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_resume_refuses(words: list[str], start: str, folders: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folders, ".", dirs_exist_ok=True)
    assert main(["train", *words]) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"gantool train: error: {start}") and err.count("\n") == 1


def test_a_run_with_other_scores_is_evaluated(folders: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folders, ".", dirs_exist_ok=True)
    assert main(["train", "resume=run", "logger=csv", "score=[fd]"]) == 1
    err = capfd.readouterr().err
    assert "logger and score" in err and "gantool evaluate run=run 'score=[fd]' scores it as it is" in err


def test_a_run_without_a_checkpoint_names_the_command_that_began_it(capfd: pytest.CaptureFixture[str]) -> None:
    """As far as what its folder says is safe to be pasted."""
    folder, words = "it's a b/run", ["model=mlp", "optimizer.lr=0.5", "regularizer=[r1]", "init='some \\'thing\\''"]
    assert main(["train", *words, f"hydra.run.dir={folder}"]) == 0
    shutil.rmtree(Path(folder, "checkpoints"))
    assert main(["train", f"resume={folder}"]) == 1
    out, err = capfd.readouterr()
    again = shlex.split(err.partition(": start it again with ")[2])
    assert again == ["gantool", "train", *words, f"hydra.run.dir={folder}"]
    assert main(again[1:]) == 0 and capfd.readouterr().out == out
    shutil.rmtree(Path(folder, "checkpoints"))
    foreign = (
        "optimizer.lr=${oc.env:HOME}",
        "+loss._target_=evil.Loss",
        "hydra.run.dir=/elsewhere",
        "resume=/elsewhere",
        "a=[",
    )
    for word in foreign:
        Path(folder, ".hydra", "overrides.yaml").write_text(f"- '{word}'\n")
        assert main(["train", f"resume={folder}"]) == 1
        err = capfd.readouterr().err
        assert (
            "start it again with its own command, wh" in err and err.count("\n") == 1 and "hydra.run.dir='" not in err
        )
        assert main(["train", f"resume={folder}", "trust=true"]) == 1
        assert (f"start it again with gantool train {shlex.quote(word)} " in capfd.readouterr().err) == (word != "a=[")


def test_a_run_of_another_version_is_refused_in_one_line_by_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    Path("old/.hydra").mkdir(parents=True)
    Path("old/.hydra/config.yaml").write_text("model: {_target_: gantool.games.gan.GAN, recipe: {}}\n")
    for words in ("train resume=old", "sample run=old", "evaluate run=old", "interpolate run=old", "export run=old"):
        assert main(words.split()) == 1
        err = capfd.readouterr().err
        assert "old was made by gantool 0.1" in err and err.count("\n") == 1
