"""What is wrong with a run is told before an image is read: of a large data set that would be hours later."""

from pathlib import Path

import pytest

from gantool.cli.main import main
from gantool.runs.output import sole_user
from runs import small, train

WRONG = [
    ("score=recall score.recall.k=0", "score: k=0: choose at least 1"),
    ("score=kd score.kd.subset_size=1", "subset_size=1: choose at least 2"),
    ("score=cas", "cas needs a conditional model"),
    ("monitor.scores.num=1", "num=1: fd_digits needs at least 2 images a side"),
    ("monitor.scores.standing_statistics=1 model=r3gan", "standing_statistics=1"),
    ("monitor=scores score=none", "monitor.scores looks at scores, and there is none"),
    ("monitor=codes", "monitor=codes is for latents with categorical codes"),
    ("monitor=labels", "monitor=labels is for conditional models"),
    ("monitor=labels model.conditional=true features=efficientnet", "knows the classes of mnist-5k"),
    ("trainer.target={fd_digit:1}", "no score 'fd_digit' (did you mean 'fd_digits'?)"),
    ("trainer.target={fd_digits:1} score=none", "this run is not scored"),
    ("trainer.stop={patience:3,metric:fd}", "no score 'fd'"),
    ("sweep_metric=fd_digits", "add -m, or leave it out"),
    ("model=mlp trainer.microbatch=1", "batch norm needs two images at once"),
    ("score=fd score.fd._target_=gantool.latents.Normal score.fd.dim=1", "does not derive from gantool.metrics.score"),
    ("score=fd score.fd.of=1", "unknown key 'score.fd.of'"),
    ("monitor.samples.rows=1", "unknown key 'monitor.samples.rows'"),
    ("monitor.samples.every=1", "monitor.samples.every=1"),
    ("trainer.checkpoint_seconds=-1", "trainer.checkpoint_seconds=-1"),
    ("init=nowhere", "init=nowhere"),
    ("monitor.scores.num=40,1 -m", "nothing is trained, as 1 of 2 jobs fail"),
    ("study.objective=fd_digit optimizer.lr=1e-4,1e-3 -m hydra/sweeper=study", "study.objective=fd_digit (did you"),
    ("trainer.batch_size=auto score=cas", "cas needs a conditional model"),
    ("features=classifier trainer.target={fd:1}", "no score 'fd'"),
    ("dataset.shift=32", "choose 0 to 31 pixels"),
    ("dataset.zoom=1.001", "it adds no pixel"),
    ("sweep_metric=fd_digit trainer.seed=1,2 -m", "the scores of this run are fd_digits"),
]


@pytest.mark.parametrize(("words", "line"), WRONG)
def test_nothing_is_prepared_for_a_run_that_cannot_be(
    words: str, line: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    where = "hydra.sweep.dir=run" if "-m" in words else "hydra.run.dir=run"
    size = [] if "trainer.batch_size" in words else ["trainer.batch_size=8"]
    assert main(["train", *words.split(), *size, "trainer.duration=2it", where]) == 1
    error = capfd.readouterr().err
    assert line in error and "preparing" not in error and not (in_tmp / "run").exists(), error
    assert not list((in_tmp / "cache").glob("*/*")), "something was prepared"


def test_weights_that_do_not_fit_and_folders_in_use_are_told_before_too(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    capfd.readouterr()
    monkeypatch.setattr("gantool.runs.ready.prepare", lambda *words, **more: pytest.fail("images were prepared"))
    for words, line in (
        (small(in_tmp / "other", "init=run", model="r3gan"), "run: its weights do not fit these networks"),
        (small(in_tmp / "run", model="mlp", rounds=2), "is in use by another process"),
    ):
        with sole_user(in_tmp / "run"):
            assert main(words) == 1
        error = capfd.readouterr().err
        assert line in error and error.count("\n") == 1, error


def test_what_latents_cannot_do_is_told_before_images_are_read(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(in_tmp / "run", "model/latent=uniform", model="mlp", rounds=1)
    capfd.readouterr()
    monkeypatch.setattr("gantool.runs.trained.prepare", lambda *words, **more: pytest.fail("images were read"))
    for words in ("evaluate truncation=0.5", "embed truncation=0.5", "truncation"):
        assert main([*words.split()[:1], "run=run", *words.split()[1:]]) == 1
        error = capfd.readouterr().err
        assert "truncation is for normal latents" in error and error.count("\n") == 1, error
    assert main(["evaluate", "run=run", "score=none"]) == 1
    assert "score=none measures nothing" in capfd.readouterr().err
