"""Presets carry the numbers of their papers: typed here from the papers and the authors' code, not read from conf."""

from dataclasses import dataclass

import pytest

from composing import typed
from gantool.schedules import parse_duration
from runs import CONF


@dataclass(frozen=True)
class Numbers:
    """What a paper, or the code that a preset follows, says of training."""

    lr: float | tuple[float, float]  # of both players; generator, discriminator
    betas: tuple[float, float] | None  # None: no Adam
    batch: int
    n_critic: int
    duration: str
    ema: str  # half-life of the averaged generator: ours where the paper has none
    norm: str | None = None  # of the discriminator


# fmt: off
PAPERS = {
    # Radford 2016, section 4: Adam 2e-4 (0.5), batches of 128; batch norm in the discriminator.
    "celeba/dcgan": Numbers(2e-4, (0.5, 0.999), 128, 1, "25ep", "10kimg", "batch"),
    "cifar10/dcgan": Numbers(2e-4, (0.5, 0.999), 64, 1, "40ep", "10kimg", "batch"),
    # Karras 2018, appendix A.1: Adam 1e-3 (0, 0.99), one critic update, 12 million images.
    "celeba/progan-64": Numbers(1e-3, (0.0, 0.99), 16, 1, "12Mimg", "10kimg"),
    "celeba/progan-128": Numbers(1e-3, (0.0, 0.99), 16, 1, "12Mimg", "10kimg"),
    "celeba/progan-256": Numbers(1e-3, (0.0, 0.99), 16, 1, "12Mimg", "10kimg"),
    # mimicry (Lee & Town 2020): Adam 2e-4 (0, 0.9), five critic updates, 100,000 generator updates, batches of 64.
    "celeba/sngan": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "spectral"),
    "cifar10/sngan": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "spectral"),
    "cifar10/projection": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "spectral"),
    # Gulrajani 2017, appendix F: Adam 2e-4 (0, 0.9), five critic updates, 100,000 generator updates; no norm.
    "cifar10/wgan-gp": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "none"),
    # Odena 2017, appendix: Adam 2e-4 (0.5), batches of 100.
    "cifar10/acgan": Numbers(2e-4, (0.5, 0.999), 100, 1, "1000ep", "10kimg", "batch"),
    # BigGAN-PyTorch, launch_cifar_ema.sh: 2e-4 (0, 0.999), batches of 50, four critic updates, 500 epochs, 0.9999.
    "cifar10/biggan": Numbers(2e-4, (0.0, 0.999), 50, 4, "500ep", "Delayed", "spectral"),
    # Huang 2024, table 7 and code: 2e-4 falling to 5e-5, betas (0, 0.9 to 0.99), batches of 512.
    "cifar10/r3gan": Numbers(2e-4, (0.0, 0.9), 512, 1, "250Mimg", "Ramp"),
    # Isola 2017, section 3.3: Adam 2e-4 (0.5, 0.999), batches of 1, 200 epochs; instance norm.
    "facades/pix2pix": Numbers(2e-4, (0.5, 0.999), 1, 1, "200ep", "2kimg", "instance"),
    # Zhu 2017, appendix 7.1: Adam 2e-4 (0.5, 0.999), batches of 1, 200 epochs; instance norm.
    "horse2zebra/cyclegan": Numbers(2e-4, (0.5, 0.999), 1, 1, "200ep", "2kimg", "instance"),
    # Mirza & Osindero 2014, section 4.1: SGD from 0.1, batches of 100.
    "mnist/conditional": Numbers(0.1, None, 100, 1, "200ep", "2kimg", None),
    # Chen 2016, appendix C.1: Adam 1e-3 for the generator, 2e-4 for the discriminator, batches of 128.
    "mnist/infogan": Numbers((1e-3, 2e-4), (0.5, 0.999), 128, 1, "50ep", "2kimg", "batch"),
    # Ours, measured here on small data.
    "small/acgan": Numbers(5e-4, (0.5, 0.999), 32, 1, "100kimg", "2kimg", "batch"),
    "small/biggan": Numbers(5e-4, (0.5, 0.999), 32, 1, "40kimg", "2kimg", "spectral"),
    "small/conditional": Numbers(5e-4, (0.5, 0.999), 32, 1, "100kimg", "2kimg", "batch"),
    "small/cyclegan": Numbers(2e-4, (0.5, 0.999), 1, 1, "12kimg", "2kimg", "instance"),
    "small/infogan": Numbers(5e-4, (0.5, 0.999), 32, 1, "150kimg", "2kimg", "batch"),
    "small/pix2pix": Numbers(2e-4, (0.5, 0.999), 4, 1, "12kimg", "2kimg", "instance"),
    "small/progan": Numbers(3e-3, (0.0, 0.99), 32, 1, "100kimg", "2kimg"),
    "small/r3gan": Numbers(4e-3, (0.0, 0.9), 32, 1, "64kimg", "2kimg"),
    "small/sngan": Numbers(5e-4, (0.5, 0.999), 32, 1, "60kimg", "2kimg", "spectral"),
}
# fmt: on
PRESETS = sorted(
    p.relative_to(CONF / "experiment").with_suffix("").as_posix() for p in CONF.glob("experiment/**/*.yaml")
)


def numbers(preset: str) -> Numbers:
    """What a preset composes."""
    config = typed(f"experiment={preset}")
    generator, discriminator = (config.optimizer.of(player) for player in ("generator", "discriminator"))
    rates = generator["lr"], discriminator["lr"]
    betas, half_life = generator.get("betas"), config.trainer.ema_half_life
    assert betas == discriminator.get("betas")
    return Numbers(
        rates[0] if rates[0] == rates[1] else rates,
        None if betas is None else tuple(betas),
        config.trainer.batch_size,
        config.loss.n_critic,
        config.trainer.duration,
        half_life if isinstance(half_life, str) else half_life["_target_"].rpartition(".")[2],
        config.model.node["discriminator"].get("norm"),
    )


def test_every_preset_has_its_numbers() -> None:
    assert set(PRESETS) == set(PAPERS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_the_numbers_of_its_paper(preset: str) -> None:
    assert numbers(preset) == PAPERS[preset]


def test_r3gan_has_the_schedules_of_its_paper() -> None:
    """Huang 2024, table 7: rate 2e-4 to 5e-5, gamma 0.05 to 0.005, beta2 0.9 to 0.99, EMA 0 to 5 Mimg, in 20 Mimg."""
    config = typed("experiment=cifar10/r3gan")
    rate, beta2 = config.optimizer.schedule, config.optimizer.beta2
    gammas = [config.loss.regularizers[name].gamma for name in ("r1", "r2")]
    assert (rate["start"], rate["end"], rate["until"]) == (1.0, 0.25, "20Mimg")
    assert isinstance(beta2, dict) and (beta2["start"], beta2["end"], beta2["until"]) == (0.9, 0.99, "20Mimg")
    for gamma in gammas:
        assert isinstance(gamma, dict) and (gamma["start"], gamma["end"], gamma["until"]) == (0.05, 0.005, "20Mimg")


def test_the_authors_ways_of_drawing_averaging_and_beginning_anew() -> None:
    """As their code has it: SNGAN's n_gen_samples and WGAN-GP's GEN_BS_MULTIPLE, R3GAN's two batches a round, labels of
    fakes in BigGAN's and SNGAN's, BigGAN's average of buffers, ProGAN's reset_opt_for_new_lod, crops of 256 of 286."""
    read = {preset: typed(f"experiment={preset}") for preset in PRESETS if not preset.startswith("small/")}
    own = {preset: c.trainer.generator_batch for preset, c in read.items() if c.trainer.generator_batch}
    assert own == {"cifar10/sngan": 2, "cifar10/projection": 2, "cifar10/wgan-gp": 2, "cifar10/r3gan": 1}
    assert {p for p, c in read.items() if c.model.node.get("fake_labels") == "uniform"} == {
        "cifar10/biggan",
        "cifar10/projection",
    }
    assert {p for p, c in read.items() if c.trainer.ema_buffers == "average"} == {"cifar10/biggan"}
    anew = {p for p, c in read.items() if c.model.node.get("growth", {}).get("reset_optimizers")}
    assert anew == {p for p in read if "progan" in p}
    assert {p for p, c in read.items() if c.dataset.zoom == 286 / 256} == {"facades/pix2pix", "horse2zebra/cyclegan"}
    regularizers = read["cifar10/r3gan"].loss.regularizers
    assert all(regularizers[name].node["before_augment"] for name in ("r1", "r2"))
    delayed = {"_target_": "gantool.schedules.Delayed", "value": "1386200img", "start": "200kimg"}
    assert read["cifar10/biggan"].trainer.ema_half_life == delayed


SIZES = {"cifar10": 50_000, "celeba": 162_770, "mnist": 60_000, "facades": 400, "horse2zebra": 1334, "small": 5000}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_reaches_the_half_life_that_it_asks_for(preset: str) -> None:
    trainer, n_critic = typed(f"experiment={preset}").trainer, typed(f"experiment={preset}").loss.n_critic
    asked = (CONF / "experiment" / f"{preset}.yaml").read_text().count("ema_half_life")
    if not asked or not isinstance(trainer.ema_half_life, str):
        return
    units = {"images_per_epoch": SIZES[preset.partition("/")[0]], "images_per_round": trainer.batch_size * n_critic}
    half_life, total = (parse_duration(text, key="", **units) for text in (trainer.ema_half_life, trainer.duration))
    assert half_life <= total / 20
