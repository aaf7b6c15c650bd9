"""Presets carry the numbers of their papers: typed here from the papers and the authors' code, not read from conf."""

import re
from dataclasses import dataclass
from functools import cache

import pytest

import composing
from gantool.game import Progress
from gantool.growth import Progressive
from gantool.schedules import parse_duration
from presets import PRESETS
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


IMAGES = {"mnist-5k": 5000, "mnist": 60_000, "cifar10": 50_000, "celeba": 202_599, "unpaired": 1334, "paired": 400}
# fmt: off
PAPERS = {
    # Radford 2016, section 4: Adam 2e-4 (0.5), batches of 128; batch norm in the discriminator. Epochs are ours, and so
    # is the batch on CIFAR-10, on which the paper trains no DCGAN.
    "celeba/dcgan": Numbers(2e-4, (0.5, 0.999), 128, 1, "25ep", "10kimg", "batch"),
    "cifar10/dcgan": Numbers(2e-4, (0.5, 0.999), 64, 1, "40ep", "10kimg", "batch"),
    # progressive_growing_of_gans, config.py, preset-v2-1gpu: Adam 1e-3 (0, 0.99), one critic update, 12 million images;
    # train.py: averaged by 0.999 an update.
    "celeba/progan-64": Numbers(1e-3, (0.0, 0.99), 32, 1, "12Mimg", "693it"),
    "celeba/progan-128": Numbers(1e-3, (0.0, 0.99), 16, 1, "12Mimg", "693it"),
    "celeba/progan-256": Numbers(1e-3, (0.0, 0.99), 8, 1, "12Mimg", "693it"),
    # mimicry (Lee & Town 2020): Adam 2e-4 (0, 0.9), five critic updates, 100,000 generator updates, batches of 64.
    "celeba/sngan": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "spectral"),
    # Miyato 2018 and their code (sngan_projection): the same, 50,000 generator updates on batches of 128.
    "cifar10/sngan": Numbers(2e-4, (0.0, 0.9), 64, 5, "50000it", "10kimg", "spectral"),
    "cifar10/projection": Numbers(2e-4, (0.0, 0.9), 64, 5, "50000it", "10kimg", "spectral"),
    # Gulrajani 2017, appendix F: Adam 2e-4 (0, 0.9), five critic updates, 100,000 generator updates; no norm.
    "cifar10/wgan-gp": Numbers(2e-4, (0.0, 0.9), 64, 5, "100000it", "10kimg", "none"),
    # Odena 2017, appendix: Adam 2e-4 (0.5), batches of 100; for the duration we know no source.
    "cifar10/acgan": Numbers(2e-4, (0.5, 0.999), 100, 1, "50000it", "10kimg", "batch"),
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
    # Chen 2016's run_mnist_exp.py: Adam 1e-3 (generator) and 2e-4 (discriminator), batches of 128, 50 x 100 updates.
    "mnist/infogan": Numbers((1e-3, 2e-4), (0.5, 0.999), 128, 1, "5000it", "2kimg", "batch"),
    # Ours, measured here on small data.
    "small/acgan": Numbers(2.5e-3, (0.0, 0.99), 32, 1, "70kimg", "2kimg", "batch"),
    "small/biggan": Numbers(5e-4, (0.5, 0.999), 32, 1, "40kimg", "2kimg", "spectral"),
    "small/conditional": Numbers(2.5e-3, (0.0, 0.99), 32, 1, "70kimg", "2kimg", "batch"),
    "small/cyclegan": Numbers(2e-4, (0.5, 0.999), 1, 1, "12kimg", "2kimg", "instance"),
    "small/infogan": Numbers(5e-4, (0.5, 0.999), 32, 1, "150kimg", "2kimg", "batch"),
    "small/pix2pix": Numbers(2e-4, (0.5, 0.999), 4, 1, "12kimg", "2kimg", "instance"),
    "small/progan": Numbers(3e-3, (0.0, 0.99), 32, 1, "100kimg", "2kimg"),
    "small/r3gan": Numbers(4e-3, (0.0, 0.9), 8, 1, "64kimg", "2kimg"),
    "small/sngan": Numbers(5e-4, (0.5, 0.999), 8, 1, "60kimg", "2kimg", "spectral"),
}
# fmt: on
# Figures that were reached with the settings of a preset: mimicry's README (SNGAN on CelebA, 100,000 iterations of
# 64 images); Miyato 2018, table 2; Miyato & Koyama 2018, table 2; Gulrajani 2017, table 3; Huang 2024, table 4;
# Park 2020, table 1.
PUBLISHED = {
    "celeba/sngan": "FID 5.71 ",
    "cifar10/sngan": "FID 21.7 ",
    "cifar10/projection": "FID 17.5 ",
    "cifar10/wgan-gp": "Inception score 7.86 ",
    "cifar10/r3gan": "FID 1.96 ",
    "horse2zebra/cyclegan": "FID 77.2 ",
}
typed = cache(composing.typed)  # once for all tests of a preset


def written(preset: str) -> str:
    """The file of a preset."""
    return (CONF / "experiment" / f"{preset}.yaml").read_text()


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


@pytest.mark.parametrize("preset", PRESETS)
def test_a_published_figure_stands_over_the_recipe_that_gave_it(preset: str) -> None:
    """In the preset's header and in README's table, and nowhere else."""
    published = [line for line in written(preset).splitlines() if line.startswith("# published: ")]
    figure = PUBLISHED.get(preset)
    assert len(published) == (figure is not None)
    readme = (CONF.parent / "README.md").read_text()
    if figure is None:
        assert f"`{preset}`: " not in readme
    else:
        assert published[0].startswith(f"# published: {figure}")
        assert f"`{preset}`: {figure.replace('Inception score', 'IS').strip()}" in readme


def test_r3gan_has_the_schedules_of_its_paper() -> None:
    """Huang 2024, table 7: rate 2e-4 to 5e-5, gamma 0.05 to 0.005, beta2 0.9 to 0.99, EMA 0 to 5 Mimg, in 20 Mimg."""
    config = typed("experiment=cifar10/r3gan")
    rate, beta2 = config.optimizer.schedule, config.optimizer.beta2
    gammas = [config.loss.regularizers[name].gamma for name in ("r1", "r2")]
    assert (rate["start"], rate["end"], rate["until"]) == (1.0, 0.25, "20Mimg")
    assert isinstance(beta2, dict) and (beta2["start"], beta2["end"], beta2["until"]) == (0.9, 0.99, "20Mimg")
    for gamma in gammas:
        assert isinstance(gamma, dict) and (gamma["start"], gamma["end"], gamma["until"]) == (0.05, 0.005, "20Mimg")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_whole_run_is_looked_at_often_enough_and_not_too_often(preset: str) -> None:
    """Lines of the log, looks of the watchdog, grids, scorings and checkpoints from the first image to the last."""
    config = typed(f"experiment={preset}")
    trainer, dataset = config.trainer, re.search("override /dataset: (.+)", written(preset))
    assert dataset is not None

    def images(duration: str) -> int:
        rounds = trainer.batch_size * config.loss.n_critic
        return parse_duration(duration, key="", images_per_epoch=IMAGES[dataset[1]], images_per_round=rounds)

    def times(every: str) -> float:
        return images(trainer.duration) / images(every)

    assert 40 <= times(trainer.log_every) <= 5100
    assert 5 <= times(trainer.watchdog.every) <= 2600
    looks = {name: times(monitor.every) for name, monitor in config.monitor.items()}
    assert 4 <= looks.pop("samples") <= 300
    assert all(2 <= often <= 60 for often in looks.values()) or "score: none" in written(preset)
    assert trainer.keep_checkpoints <= 2
    if not preset.startswith("small/"):
        assert trainer.checkpoint_seconds == 600
        assert config.monitor["scores"].node["num"] == (5000 if dataset[1] in ("unpaired", "paired") else 50_000)


def test_infogan_has_the_codes_noise_and_weights_of_its_authors() -> None:
    """run_mnist_exp.py of Chen 2016: 62 uniform numbers, one code of ten values, two uniform ones, every weight 1."""
    config = typed("experiment=mnist/infogan")
    assert config.model.latent is not None
    latent, information = config.model.latent.node, config.auxiliary["information"].node
    assert (latent["dim"], latent["categories"], latent["continuous"], latent["noise"]) == (74, [10], 2, "uniform")
    assert (information["weight"], information["continuous_weight"], latent["noise_std"]) == (1.0, 1.0, 1.0)
    assert config.dataset.resolution == 28


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_progan_grows_as_its_authors_have_it(resolution: int) -> None:
    """config.py, preset-v2-1gpu, and train.py: batches by resolution, 600 kimg to train, 600 to fade in."""
    sizes = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}
    config = typed(f"experiment=celeba/progan-{resolution}")
    node = config.model.node["growth"]
    growth = Progressive(resolution=resolution, **{key: node[key] for key in ("start", "growing", "batch_sizes")})
    for level in range(resolution.bit_length() - 2):
        assert growth.batch_size(float(level), config.trainer.batch_size) == sizes[4 << level]
        assert growth.batch_size(level - 0.5, config.trainer.batch_size) == sizes[4 << level], "the one that fades in"
        arrives = level * 1_200_000
        assert growth.stage(Progress(nimg=arrives, total=12_000_000)) == pytest.approx(level, abs=1e-3)
        if level:
            halfway = growth.stage(Progress(nimg=arrives - 300_000, total=12_000_000))
            assert halfway == pytest.approx(level - 0.5, abs=1e-3)
    assert config.trainer.batch_size == sizes[resolution]
    assert growth.batch_size(growth.last, 3) == 3, "trainer.batch_size is that of the final resolution"


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


# Those that ask for one, and for no schedule.
ASKING = [p for p in PRESETS if re.search(r"ema_half_life: \w", (CONF / "experiment" / f"{p}.yaml").read_text())]


@pytest.mark.parametrize("preset", ASKING)
def test_a_preset_reaches_the_half_life_that_it_asks_for(preset: str) -> None:
    config = typed(f"experiment={preset}")
    trainer, n_critic = config.trainer, config.loss.n_critic
    assert isinstance(trainer.ema_half_life, str)
    units = {"images_per_epoch": SIZES[preset.partition("/")[0]], "images_per_round": trainer.batch_size * n_critic}
    half_life, total = (parse_duration(text, key="", **units) for text in (trainer.ema_half_life, trainer.duration))
    assert half_life <= total / 20
