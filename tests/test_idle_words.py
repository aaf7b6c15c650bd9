"""Words that would be passed over: refused in one line, before anything is made."""

from pathlib import Path

import pytest

from extent import some
from gantool.cli.main import main
from gantool.cli.study import _check_idle
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError
from gantool.paths import outputs_dir
from test_study import SETTINGS

IDLE = {
    "train hydra.sweep.dir=x": "hydra.sweep.dir=x belongs to a sweep: add -m, or leave it out",
    "train hydra.sweep.subdir=x": "hydra.sweep.subdir=x belongs to a sweep: add -m, or leave it out",
    "train hydra/launcher=joblib": "hydra/launcher=joblib belongs to a sweep: add -m, or leave it out",
    "sample run=x hydra.sweep.dir=x": "hydra.sweep.dir=x belongs to a sweep: add -m, or leave it out",
    "train hydra.job.name=x": "hydra.job.name=x: hydra.job.name is the command's; leave it out",
    "train -m hydra.run.dir=x trainer.seed=1,2": "hydra.run.dir=x is for a single run: a sweep takes hydra.sweep.",
    "train experiment=small/sngan,small/biggan": "experiment=small/sngan,small/biggan: several values need -m",
    "train trust=true": "unknown key 'trust'; trust= goes with resume=RUN_FOLDER",
    "train dataset.crop=40": "images have 32x32 pixels, fewer than dataset.crop=40: choose a smaller one",
    "train dataset=mnist dataset.variant=Foo": "dataset.variant=Foo: choose one of MNIST, FashionMNIST, KMNIST",
}
BENCH = "init=/nowhere score=kd monitor.scores.num=77 features=digits logger=csv sweep_metric=fd trainer.dry_run=true"
BENCH += " trainer.time_limit=2h trainer.stop={metric:fd,patience:3} trainer.target={fd:1}"
IDLE |= {f"bench {word}": f"{word.split('=')[0]} changes nothing that gantool bench times" for word in BENCH.split()}


@pytest.mark.parametrize("line", IDLE)
def test_what_would_change_nothing_is_refused(line: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"gantool {line.split()[0]}: error: {IDLE[line]}") and err.count("\n") == 1
    assert not list(in_tmp.iterdir())


@pytest.mark.parametrize(
    ("typed", "settings", "told"),
    [
        (
            "study.pruner",
            {"objective": "seconds"},
            "study.pruner=median has nothing to go by, as study.objective=seconds",
        ),
        ("study.pruner", {"objective": ["fd", "kd"]}, "study.pruner=median has nothing to go by, as there are several"),
        ("study.seed", {"sampler": "grid"}, "study.seed=0: study.sampler=grid draws nothing at random: leave it out"),
    ],
)
def test_a_search_has_no_words_in_vain(typed: str, settings: dict[str, object], told: str) -> None:
    config = StudyConfig.model_validate(SETTINGS | {"pruner": "median"} | settings)
    with pytest.raises(GantoolError, match=told):
        _check_idle(config, {typed})
    _check_idle(config, set())
    _check_idle(StudyConfig.model_validate(SETTINGS | {"pruner": "median"}), {typed})


@pytest.mark.parametrize("words", some([["hydra.run.dir=~/x"], ["-m", "hydra.sweep.dir=~/x", "trainer.seed=1"], []], 3))
def test_folders_may_lie_below_home(words: list[str], stand_in: None, in_tmp: Path, monkeypatch) -> None:
    """Shells do not expand ~ behind the = of a key."""
    (in_tmp / "home").mkdir()
    monkeypatch.setenv("HOME", str(in_tmp / "home"))
    if not words:
        monkeypatch.setenv("GANTOOL_OUTPUTS", "~/x")
        assert outputs_dir() == in_tmp / "home" / "x"
    assert main(["train", *words]) == 0
    assert [path.name for path in in_tmp.iterdir()] == ["home"]
    assert [path.name for path in (in_tmp / "home").iterdir()] == ["x"] and any((in_tmp / "home" / "x").iterdir())
