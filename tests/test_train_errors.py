"""What users get wrong: one line that names the fix, an exit code, no traceback, no half-made run."""

import inspect
import re
from pathlib import Path

import pytest
from PIL import Image

from composing import composed
from extent import some, thorough
from gantool.cli.main import main
from gantool.config.parts import find
from gantool.lock import locked
from runs import WIDTHS, small, train

IMAGES = "dataset=folder dataset.root=images dataset.resolution=32"
CASES = {
    "trainer.batch_size=100000000": "real images of a round alone need 410 GB, and there are .* GB: choose a smaller",
    "trainer.batch_size=0": "trainer.batch_size=0: should be greater than 0",
    "optimizer.lr=-1": "optimizer.lr=-1: should be greater than 0",
    "trainer.duration=100": "trainer.duration=100.*a unit",
    "trainer.precision=fp16": "fp16 needs a CUDA device",
    "trainer.tf32=true": "trainer.tf32=true needs a CUDA device of the Ampere kind or later",
    "trainer.device=cuda:7": "trainer.device=cuda:7: this machine has .*trainer.device=auto",
    "trainer.device=tpu": "trainer.device=tpu",
    "dataset.resolution=48": "dataset.resolution=48.*32, 64 or 128",
    "model.generator.channels=3": "model.generator.channels .*dataset.channels$",
    "model.discriminator.resolution=64": "model.discriminator.resolution .*dataset.resolution$",
    "model.generator.latent_dim=50": "model.generator.latent_dim .*model.latent.dim$",
    "model.generator._target_=own.Wide": "the generator makes 1x64x64 images, mnist-5k has 1x32x32",
    "model.discriminator._target_=own.Colour": "the networks do not fit 1x32x32 images.*are handed .resolution",
    "model.generator.width=0": "model.generator.width=0: should be 1 or more",
    "model.discriminator.minibatch_std=-1": "model.discriminator.minibatch_std=-1: should be 0 or more",
    "model=mlp model.generator.hidden=[64,0]": "model.generator.hidden=.64, 0.: should be 1 or more",
    "model=mlp model.discriminator.hidden=[]": "model.discriminator.hidden=..: should have at least one number",
    "augment=ada augment.target=60": "augment.target=60: a mean of signs, from -1 to 1",
    "optimizer/schedule=step optimizer.schedule.interval=0": "positive numbers",
    "loss.top={_target_:gantool.schedules.Ramp,start:1.5,end:1}": "loss.top is 1.5 at its start: should be less than",
    "loss=wgan loss.constraint.bound=-1": "loss.constraint.bound=-1",
    "loss.constraint={_target_:torch.nn.Flatten}": "the constraint after an update of the discriminator raised",
    "dataset=cifar10 score=none": "downloading cifar10 to data failed.*unpack cifar-10-python",
    "dataset=fashion-mnist score=none": "downloading fashion-mnist to data/FashionMNIST/raw failed.*put train-images",
    "dataset=mnist score=none": "downloading mnist to data/MNIST/raw failed.*put train-images",
    "dataset=celeba score=none": "downloading celeba to data/celeba failed.*put img_align_celeba",
    "+regularizer.r1.player=generator regularizer=r1": "player.*discriminator",
    "model=mlp trainer.batch_size=1": "batch norm needs two images at once",
    "model.generator.norm=bach": "did you mean 'batch'",
    "model.generator.widht=3": "model.generator.widht.*did you mean 'width'",
    "model.discriminator.norm=batch loss=wgan-gp": "batch norm.*model.discriminator.norm=layer",
    "model=mlp loss=r3gan regularizer=[r1,r2]": "regularizer=r1,r2: the loss already has it.*loss.regularizers.r1.KEY",
    "regularizer=r1 model.discriminator.norm=batch": "batch norm.*model.discriminator.norm=layer",
    "dataset=folder dataset.root=nowhere": "dataset.root=nowhere is not a folder",
    f"{IMAGES} model.conditional=true": "no labels in images: put.*labels.csv",
    f"{IMAGES} dataset.labels=none model.conditional=true": "dataset.labels=none finds none in images: set it to auto",
    "dataset=cifar10 dataset.root=nowhere dataset.download=false": "no CIFAR-10 in nowhere.*dataset.root=",
    "dataset.num_classes=7": "mnist-5k has 10",
    "dataset=mnist-5k dataset.root=here": "did you mean dataset=mnist",
    "features=inception features.weights=nowhere.pth": "nowhere.pth.*features=efficientnet",
    "monitor.scores.num=1": "num=1: fd_digits needs at least 2 images",
    "monitor=scores score=none": "monitor.scores looks at scores, and there is none: add score=fd",
    "recipe.weight_clip=1": "recipe.weight_clip has no effect, as no chosen part reads it",
    "sweep_metric=is_digits": "sweep_metric=is_digits ranks the jobs of a sweep: add -m, or leave it out",
    "loss.n_critic=0": "loss.n_critic=0",
    "loss=wgan-gpp": "no 'wgan-gpp' in config group 'loss'.*did you mean 'wgan-gp'",
    "optimizer.lr=1e-3,1e-4": "several values need -m",
    "trainer.microbatch=-2": "trainer.microbatch=-2",
}
OWN = """
from gantool.networks import dcgan

class Wide(dcgan.Generator):
    def __init__(self, latent_dim, channels):
        super().__init__(latent_dim=latent_dim, resolution=64, channels=channels, width=4)

class Colour(dcgan.Discriminator):
    def __init__(self, resolution):
        super().__init__(resolution=resolution, channels=3, width=4)
"""


@pytest.mark.parametrize("words", some(CASES, 11))
def test_a_mistake_is_one_line_and_leaves_nothing(
    in_tmp: Path, words: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "downloading" in CASES[words]:
        monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "empty"))  # what another test prepared needs no download
    else:
        monkeypatch.setattr("gantool.runs.ready.prepare", lambda *words, **more: pytest.fail("images were prepared"))
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "own.py").write_text(OWN)
    (in_tmp / "images").mkdir()
    Image.new("RGB", (40, 40)).save(in_tmp / "images" / "a.png")
    assert main(["train", *words.split()]) == 1
    error = capfd.readouterr().err.strip()
    assert len(error.splitlines()) == 1 and error.startswith("gantool train: error: "), error
    assert re.search(CASES[words], error), error
    assert not (in_tmp / "outputs").exists()


@thorough
@pytest.mark.parametrize(
    "error", some([MemoryError(), RuntimeError("can't allocate memory: you tried to allocate 4e9 bytes")], 1)
)
def test_no_memory_for_the_first_round_leaves_nothing(in_tmp: Path, error: Exception, capfd, monkeypatch) -> None:
    """What was there before stays, and so does a run that has something to go on from."""

    def fail(*words: object, **more: object) -> None:
        raise error

    run, own = in_tmp / "run", in_tmp / "own"
    train(run)
    capfd.readouterr()
    own.mkdir()
    (own / "notes.txt").write_text("mine")
    before = set(run.rglob("*"))
    monkeypatch.setattr("gantool.training.loop.update", fail)
    assert main(small(in_tmp / "new" / "run")) == main(small(own)) == main(small(run, rounds=8)) == 1
    error_lines = capfd.readouterr().err.splitlines()
    assert len(error_lines) == 3 and all("error: out of memory" in line for line in error_lines), error_lines
    assert not (in_tmp / "new").exists() and (own / "notes.txt").exists() and before <= set(run.rglob("*"))


@pytest.mark.parametrize("kind", some(["adam", "adamw", "rmsprop", "sgd"], 1))
def test_no_setting_of_an_optimizer_can_be_taken_away(in_tmp: Path, kind: str, capfd) -> None:
    """null is what a torch optimizer answers with a TypeError of its own, or not at all."""
    keys = inspect.signature(find(composed(f"optimizer={kind}")[0].optimizer._target_, "optimizer")).parameters
    for key in some([key for key, p in keys.items() if p.default not in (None, p.empty)], 2):
        assert main(["train", f"optimizer={kind}", f"optimizer.{key}=null", "trainer.duration=1it"]) == 1, key
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and "optimizer" in err and not list(in_tmp.iterdir()), (key, err)


def test_several_mistakes_are_told_together(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "trainer.batch_size=0", "optimizer.lr=-1", "+model.generator.widht=3"]) == 1
    error = capfd.readouterr().err
    assert all(key in error for key in ("trainer.batch_size=0", "optimizer.lr=-1", "widht"))
    assert len(error.strip().splitlines()) == 3


def test_mistakes_in_device_data_and_network_are_told_together(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "trainer.device=cuda:7", "dataset.num_classes=3"]) == 1
    error = capfd.readouterr().err
    assert "cuda:7" in error and "mnist-5k has 10" in error and len(error.strip().splitlines()) == 2


def test_a_schedule_holds_no_other_mistake_back(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gamma = "regularizer.r1.gamma={_target_:gantool.schedules.Ramp,start:3,end:-1,until:%s}"
    words = ["train", "trainer.duration=5ep", "regularizer=r1", "dataset.resolution=48"]
    assert main([*words, gamma % 1]) == 1
    first, second = capfd.readouterr().err.strip().splitlines()
    assert "gamma is -1 at its end" in first and "dataset.resolution=48" in second
    assert main([*words, gamma % "soon"]) == 1  # with which no game can be built
    assert capfd.readouterr().err.count("until=soon: write images") == 1


def test_a_run_folder_in_use_is_refused(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with locked(in_tmp / "run" / ".lock"):
        assert main(small(in_tmp / "run")) == 1
    assert "is in use by another process" in capfd.readouterr().err
    assert not (in_tmp / "run" / "checkpoints").exists()


def test_a_bad_resume_leaves_the_run_as_it_was(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(in_tmp / "run")
    before = {p: p.read_bytes() for p in (in_tmp / "run").rglob("*") if p.is_file()}
    capfd.readouterr()
    assert main(["train", f"resume={in_tmp / 'run'}", "model.latent.dim=9", "trainer.duration=9it"]) == 1
    assert "model.latent.dim" in capfd.readouterr().err
    assert main(small(in_tmp / "run", model="mlp")) == 1  # another model into the same folder
    assert "trained with other networks" in capfd.readouterr().err
    assert before == {p: p.read_bytes() for p in (in_tmp / "run").rglob("*") if p.is_file()}


def test_a_resume_keeps_its_changes(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(in_tmp / "run", model="mlp", rounds=2)
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=3it"]) == 0
    assert capfd.readouterr().out.rstrip().endswith(f"resume={in_tmp / 'run'} trainer.duration=1kimg")
    capfd.readouterr()
    assert main(["train", f"resume={in_tmp / 'run'}"]) == 0
    assert "is finished" in capfd.readouterr().out
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=1it"]) == 0
    assert "is finished: it has 0.024 kimg already" in capfd.readouterr().out
    assert WIDTHS["mlp"][0].partition("=")[2] in (in_tmp / "run" / ".hydra" / "overrides.yaml").read_text()


@thorough
def test_a_sweep_runs_every_job_and_names_the_failure(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [w for w in small(in_tmp, "score=[fd,is]") if not w.startswith("hydra")]
    assert main([*words, "-m", "trainer.seed=1,2", "optimizer.lr=1e-4,1e30"]) == 1
    output = capfd.readouterr().out
    assert (
        "2 of 4 jobs failed" in output
        and "there is no checkpoint from before" in output
        and "fd_digits (ranked)" in output
    )
    statuses = list((in_tmp / "outputs" / "sweeps").rglob("status.json"))
    assert len(statuses) == 4
