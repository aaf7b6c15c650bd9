"""A batch that goes through in parts, as on a rank of several, takes the step of the whole one: shown over all that
conf has, but for one list of what sees the images of a part together."""

from copy import deepcopy
from pathlib import Path

import pytest
from omegaconf import DictConfig
from torch import Tensor

from composing import composed
from extent import some
from gantool.cli.arguments import add_arguments
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.loop import Settings, play_round
from runs import choices, small

ALONE = ["model.generator.norm=layer", "model.discriminator.norm=layer"]  # dcgan where no image sees another
CODES = ["model/latent=structured", "model.latent.dim=20"]
AS_ONE = {
    "model=cyclegan": ["model.pool_size=4"],
    "model=r3gan": [],
    "model=mlp": ["model.generator.norm=none"],
    "model=pix2pix": ["model.generator.dropout=0", "model.generator.norm=instance"],
    **{f"loss={loss}": ALONE for loss in choices("loss")},
    **{f"regularizer={name}": ALONE for name in choices("regularizer") if name != "dragan"},
    **{f"augment={name}": ALONE for name in choices("augment")},
    "regularizer=lecam regularizer.lecam.start=0 regularizer.lecam.weight=10": ALONE,
    "augment=ada augment.rise=8img augment.interval=1 loss=lsgan": ALONE,
    "auxiliary=acgan": [*ALONE, "model.conditional=true", "model.discriminator.condition=none"],
    "auxiliary=information": [*ALONE, *CODES],
    "dataset.zoom=1.2 dataset.shift=2 dataset.rotation=10 dataset.flip=true": ALONE,
    "model.conditional=true model.fake_labels=uniform": ALONE,
    "augment=diffaugment regularizer=[r1,r2] regularizer.r1.before_augment=true": ALONE,
    "trainer.generator_batch=1.5 loss=relativistic dataset.flip=true": ALONE,
}
NOT_AS_ONE = {  # what gantool.training.update names
    "batch norm": [],
    "spectral norm": ["model.generator.norm=layer", "model.discriminator.norm=spectral"],
    "minibatch standard deviation": ["model=progan", "model.growth.start=8"],
    "feature matching": [*ALONE, "auxiliary=feature-matching"],
    "invariant information": [
        *ALONE,
        "auxiliary=invariant-information",
        *CODES,
        "auxiliary.information.invariance_weight=1000",
    ],
    "top-k": [*ALONE, "loss.top=0.5"],
    "DRAGAN": [*ALONE, "regularizer=dragan"],
    "dropout": ["model=pix2pix", "model.generator.norm=instance"],
}


def run_of(folder: Path, words: list[str]) -> tuple[DictConfig, DictConfig]:
    """Composed."""
    model = next((word.partition("=")[2] for word in words if word.startswith("model=")), "dcgan")
    words = [word for word in words if not word.startswith("model=")]
    # Adam's first step is the sign of each gradient times the rate: a high one makes much of the order of sums.
    words += ["optimizer.lr=5e-4", "optimizer.betas=[0.5,0.999]", "optimizer.beta2=null"]
    return composed(*add_arguments(small(folder, *words, model=model)[1:]))


def gradients(cfg: DictConfig, hydra: DictConfig, microbatch: int | None) -> dict[str, Tensor]:
    """By parameter, of both players in two rounds of a new run."""
    cfg = deepcopy(cfg)
    cfg.trainer.microbatch = microbatch
    setup = set_up(cfg, Written.of(hydra))
    image_set = prepare(setup.source)
    data, state = build_stream(setup, image_set), build_state(setup, len(image_set.images))
    measurements = build_measurements(setup, state, len(image_set.images))
    for _ in range(2):
        play_round(state, data, measurements, Settings(seed=0, batch_size=8, microbatch=microbatch))
    found = {}
    for name, optimizer in state.optimizers.items():
        moments = optimizer.optimizer.state
        found |= {f"{name}{i}": moments[p]["exp_avg"] for i, p in enumerate(optimizer.parameters) if p in moments}
    return found


def difference(folder: Path, words: list[str]) -> float:
    """The largest of the parameters', relative to the gradient's size; of a gradient that is zero rounding is left."""
    run = run_of(folder, words)
    whole, parts = (gradients(*run, microbatch) for microbatch in (None, 3))
    assert whole.keys() == parts.keys() and whole
    return max(float((g - parts[name]).norm() / (g.norm() + 1e-6)) for name, g in whole.items())


@pytest.mark.parametrize("case", some(AS_ONE, 5))
def test_parts_take_the_step_of_the_whole(in_tmp: Path, case: str) -> None:
    assert difference(in_tmp / "run", [*AS_ONE[case], *case.split()]) < 0.01


@pytest.mark.parametrize("case", some(NOT_AS_ONE, 2))
def test_the_list_of_what_sees_a_part_together(in_tmp: Path, case: str) -> None:
    assert difference(in_tmp / "run", NOT_AS_ONE[case]) > 0.01
