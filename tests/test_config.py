"""What may stand in a configuration, and how mistakes are worded."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantool.config import changes, check, save_composed, validate
from gantool.config.resolvers import file_name, register_resolvers
from gantool.errors import GantoolError
from gantool.paths import conf_dir


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The configuration of gantool train with these overrides."""
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=hydra)


def mistakes(*overrides: str) -> list[str]:
    """The lines that there are to say about these overrides."""
    try:
        check(composed(*overrides))
    except GantoolError as error:
        return str(error).splitlines()
    return []


CHOICES = [
    f"{path.parent.relative_to(conf_dir()).as_posix()}={path.stem}"
    for group in ("dataset", "loss", "regularizer", "augment", "model", "optimizer", "metrics", "trainer")
    for path in sorted((conf_dir() / group).rglob("*.yaml"))
]
EXPERIMENTS = sorted((conf_dir() / "experiment").rglob("*.yaml"))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_sound(choice: str) -> None:
    assert mistakes(choice, *(["model=cyclegan"] if choice.startswith("model/generator=") else [])) == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_sound(path: Path) -> None:
    name = path.relative_to(conf_dir() / "experiment").with_suffix("").as_posix()
    assert mistakes(f"experiment={name}") == []


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trainer.batch_size=0", "trainer.batch_size=0: should be greater than 0"),
        ("trainer.batch_size=abc", "trainer.batch_size=abc: should be a valid integer"),
        ("trainer.batch_size=true", "trainer.batch_size=true: should be a valid integer"),
        ("trainer.batch_size=1.5", "trainer.batch_size=1.5: should be a valid integer"),
        ("trainer.batch_size=null", "trainer.batch_size=null: should be a valid integer"),
        ("trainer.microbatch=0", "trainer.microbatch=0: should be greater than 0"),
        ("trainer.precision=fp8", "trainer.precision=fp8: should be 'auto', 'fp32', 'bf16' or 'fp16'"),
        ("trainer.device=gpu", "trainer.device=gpu: should be auto, cpu, cuda or cuda:N"),
        ("trainer.compile=1", "trainer.compile=1: should be a valid boolean"),
        ("trainer.seed=-1", "trainer.seed=-1: should be greater than or equal to 0"),
        (
            "trainer.duration=300",
            "trainer.duration=300: should be a positive number and a unit, such as 150kimg, 20ep or 5000it",
        ),
        ("optimizer.lr=-1", "optimizer.lr=-1: should be greater than 0"),
        ("optimizer.lr=nan", "optimizer.lr=nan: should be a finite number"),
        ("optimizer.generator.lr=0", "optimizer.generator.lr=0: should be greater than 0"),
        ("optimizer.betas=[0.5]", "optimizer.betas=[0.5]: should have at least 2 items, not 1"),
        ("optimizer.betas=[0.5,1]", "optimizer.betas.1=1: should be less than 1"),
        ("optimizer.beta2=1", "optimizer.beta2=1: should be less than 1"),
        ("optimizer.beta2={start:1}", "optimizer.beta2={'start': 1}: should be a valid number"),
        (
            "trainer.ema_half_life=soon",
            "trainer.ema_half_life=soon: should be a positive number and a unit, such as 150kimg, 20ep or 5000it",
        ),
        ("optimizer.clip_norm=0", "optimizer.clip_norm=0: should be greater than 0"),
        ("optimizer.generator=3", "optimizer.generator=3: should be a group of keys, not a value"),
        ("loss.n_critic=0", "loss.n_critic=0: should be greater than 0"),
        ("model.latent.dim=0", "model.latent.dim=0: should be greater than 0"),
        ("model.conditional=yes", "model.conditional=yes: should be a valid boolean"),
        ("dataset.on_bad_image=ignore", "dataset.on_bad_image=ignore: should be 'stop' or 'skip'"),
        ("dataset.device_resident=maybe", "dataset.device_resident=maybe: should be 'auto', true or false"),
        ("+foo=1", "unknown key 'foo'"),
        ("+trainer.batchsize=1", "unknown key 'trainer.batchsize' (did you mean 'batch_size'?)"),
        ("~trainer.seed", "trainer.seed is missing"),
        ("trainer.seed=???", "trainer.seed: Missing mandatory value: seed"),
        ("trainer.seed=${nothing}", "trainer.seed: Interpolation key 'nothing' not found"),
        ("model.generator.width=wide", "model.generator.width=wide: should be a valid integer"),
        (
            "+optimizer.generator.lrr=1",
            "unknown key 'optimizer.generator.lrr' (did you mean 'lr'?): torch.optim.Adam takes no such argument",
        ),
        (
            "+loss.label=0.9",
            "unknown key 'loss.label' (did you mean 'real_label'?): "
            "gantool.losses.NonSaturating takes no such argument",
        ),
    ],
)
def test_a_mistake_is_one_line(override: str, line: str) -> None:
    assert mistakes(override) == [line]


def test_all_mistakes_at_once() -> None:
    assert len(mistakes("trainer.batch_size=0", "optimizer.lr=-1", "trainer.duration=soon", "+foo=1")) == 4
    assert (
        len(mistakes("model.generator.width=wide", "+model.discriminator.foo=1", "+optimizer.discriminator.x=1")) == 3
    )


@pytest.mark.parametrize("duration", ["0kimg", "-5ep", "kimg", "5", "5 hours"])
def test_a_duration_needs_a_number_and_a_unit(duration: str) -> None:
    assert mistakes(f"trainer.duration='{duration}'") == [
        f"trainer.duration={duration}: should be a positive number and a unit, such as 150kimg, 20ep or 5000it"
    ]


def test_an_unknown_target_names_what_is_near() -> None:
    (line,) = mistakes("model.generator._target_=gantool.networks.dcgan.Generatr")
    assert line.startswith("model.generator._target_=gantool.networks.dcgan.Generatr cannot be used (did you mean 'Gen")
    (line,) = mistakes("model.generator._target_=nothing.at.all")
    assert "No module named 'nothing'" in line


def test_an_own_key_is_allowed_where_it_is_read() -> None:
    assert mistakes("+optimizer.decay=0.1", "optimizer.generator.weight_decay=${optimizer.decay}") == []
    assert mistakes("+optimizer.decay=0.1") == ["unknown key 'optimizer.decay'"]


def test_validate_returns_plain_resolved_containers() -> None:
    plain = validate(composed("optimizer.lr=0.5", "regularizer=[r1,l2]"))
    assert plain["optimizer"]["generator"]["lr"] == 0.5
    assert list(plain["model"]["regularizers"]) == ["r1", "l2"]
    assert type(plain["model"]["loss"]) is dict


def test_the_composed_configuration_is_saved_and_compared(tmp_path: Path) -> None:
    whole = composed("trainer.seed=1", hydra=True)
    HydraConfig.instance().set_config(whole)
    first = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    assert changes(first, tmp_path) == {}
    save_composed(first, tmp_path)
    saved = OmegaConf.load(tmp_path / ".hydra" / "config.yaml")
    assert saved == first
    assert OmegaConf.is_interpolation(saved.model, "loss")
    assert OmegaConf.load(tmp_path / ".hydra" / "overrides.yaml") == ["trainer.seed=1"]
    second = composed("trainer.seed=2", "+trainer.extra=1")
    assert changes(second, tmp_path) == {"trainer.seed": (1, 2), "trainer.extra": (None, 1)}
    save_composed(second, tmp_path)
    assert OmegaConf.load(tmp_path / ".hydra" / "config.yaml") == second and changes(second, tmp_path) == {}
    assert OmegaConf.load(tmp_path / ".hydra" / "overrides.yaml") == ["trainer.seed=1"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("loss=wgan,optimizer.lr=1e-3", "loss-wgan_optimizer.lr-1e-3"), ("a/b c", "a-b-c"), ("", "run"), ("../x", "x")],
)
def test_names_of_folders_need_no_quotes(text: str, name: str) -> None:
    assert file_name(text) == name
