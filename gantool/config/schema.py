"""What may stand in a composed configuration: types and ranges of the keys that gantool itself reads."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails

from gantool.errors import GantoolError, did_you_mean
from gantool.schedules import parse_duration


def _duration(text: object) -> object:
    if text is None:
        return None
    try:
        parse_duration(str(text), key="", images_per_epoch=1, images_per_round=1)
    except GantoolError:
        raise ValueError("should be a positive number and a unit, such as 150kimg, 20ep or 5000it") from None
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise ValueError("should be auto, cpu, cuda or cuda:N")
    return text


def _or_schedule(value: object, check: ValidatorFunctionWrapHandler) -> object:
    return value if isinstance(value, dict) and "_target_" in value else check(value)


Scheduled = WrapValidator(_or_schedule)  # also a node such as {_target_: gantool.schedules.Ramp, start: 1, end: 0.1}
Duration = Annotated[str, BeforeValidator(_duration)]
Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Node = dict[str, Any]  # what `_target_` takes is checked in targets.py


class _Owned(BaseModel):
    """A group whose keys are all gantool's."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Open(BaseModel):
    """A group with `_target_`, whose other keys are arguments of the target."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    target: str = Field(alias="_target_")


class Watchdog(_Owned):
    """What is done about a run that goes wrong, and what counts as that."""

    action: Literal["warn", "stop", "rollback", "off"]
    every: Duration
    patience: PositiveInt
    diversity: Annotated[float, Field(gt=0, lt=1)]
    explosion: Annotated[float, Field(gt=1)]
    max_rollbacks: Annotated[int, Field(ge=0)]
    rate_factor: Annotated[float, Field(gt=0, lt=1)]


class Trainer(_Owned):
    """How to train."""

    duration: Duration
    batch_size: PositiveInt
    microbatch: PositiveInt | None
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    compile: bool
    channels_last: bool
    device: Annotated[str, AfterValidator(_device)]
    deterministic: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    ema_half_life: Annotated[Duration, Scheduled]
    log_every: Duration
    sample_every: Duration
    histogram_every: Duration
    checkpoint_seconds: Annotated[float, Field(gt=0)]
    keep_checkpoints: PositiveInt
    watchdog: Watchdog


class Dataset(_Owned):
    """What to train on, and how it is prepared and augmented."""

    resolution: Annotated[int, Field(ge=4)]
    root: str | None
    download: bool
    on_bad_image: Literal["stop", "skip"]
    device_resident: Literal["auto", True, False]
    flip: bool
    shift: Annotated[int, Field(ge=0)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    features: Node | None
    source: Node
    channels: PositiveInt | None
    num_classes: Annotated[int, Field(ge=0)] | None


class Metrics(_Owned):
    """What is scored, and when."""

    every: Duration | None
    num_samples: Annotated[int, Field(ge=0)]
    batch_size: PositiveInt
    inception_weights: str | None
    features: Node | None


class PlayerOptimizer(_Open):
    """The optimizer of one player."""

    lr: PositiveFloat
    betas: Betas | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    eps: PositiveFloat = 1e-8
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Optimizer(_Owned):
    """Rates, and what is done to gradients."""

    lr: PositiveFloat
    betas: Betas | None = None
    beta2: Annotated[float, Field(ge=0, lt=1), Scheduled] | None = None
    warmup: Duration | None
    clip_norm: PositiveFloat | None
    clip_value: PositiveFloat | None
    schedule: Node
    generator: PlayerOptimizer
    discriminator: PlayerOptimizer


class Regularizer(_Open):
    """One term that is added to a loss."""

    every: PositiveInt = 1
    weight: Annotated[float, Field(ge=0)] = 0.0
    gamma: Annotated[float, Field(ge=0), Scheduled] = 0.0


class Auxiliary(_Open):
    """One term that reads the discriminator's features."""

    weight: Annotated[float, Field(ge=0)] = 1.0


class Loss(_Open):
    """What the players minimise, and what goes with it."""

    n_critic: PositiveInt
    regularizers: dict[str, Regularizer] | None = None
    constraint: Node | None = None
    recipe: dict[str, Any] | None = None


class Latent(_Open):
    """What the generator makes images from."""

    dim: PositiveInt


class Model(_Open):
    """The game and its networks."""

    conditional: bool = False
    latent: Latent | None = None


class Train(_Owned):
    """Everything `gantool train` composes."""

    trainer: Trainer
    dataset: Dataset
    loss: Loss
    regularizer: dict[str, Regularizer]
    auxiliary: dict[str, Auxiliary]
    augment: Node | None
    model: Model
    optimizer: Optimizer
    metrics: Metrics
    sweep_metric: str | None


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers; raises GantoolError for a ${...} or ??? that has no value."""
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise GantoolError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def validate(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers, resolved, and checked as far as its keys are gantool's own.

    A key that gantool does not know may stand in one of its groups where another value reads it as `${group.key}`.
    Raises GantoolError with one line for every mistake.
    """
    plain = resolve(cfg)
    try:
        Train.model_validate(plain)
    except ValidationError as mistakes:
        if lines := list(_lines(mistakes.errors(), cfg, plain)):
            raise GantoolError("\n".join(lines)) from None
    return plain


def _lines(mistakes: list[ErrorDetails], cfg: DictConfig, plain: Mapping[Any, Any]) -> Iterator[str]:
    read = set(re.findall(r"\$\{(?:oc\.select:)?([\w.-]+)", OmegaConf.to_yaml(cfg)))
    told = set()
    for mistake in mistakes:
        path, what = _path(mistake), (str(mistake["input"]), mistake["msg"])
        unknown_but_read = mistake["type"] == "extra_forbidden" and path in read
        told_where_it_comes_from = what in told and _is_reference(cfg, path)  # optimizer.generator.lr: ${optimizer.lr}
        if not unknown_but_read and not told_where_it_comes_from:
            told.add(what)
            yield _line(mistake, plain)


def _path(mistake: ErrorDetails) -> str:
    return ".".join(str(part) for part in mistake["loc"])


def _is_reference(cfg: DictConfig, path: str) -> bool:
    """True where the value at `path`, or a node above it, is written as ${...}."""
    node: Any = cfg
    for key in path.split("."):
        if not isinstance(node, DictConfig) or key not in node:
            return False
        if OmegaConf.is_interpolation(node, key):
            return True
        node = node[key]
    return False


def _line(mistake: ErrorDetails, plain: Mapping[Any, Any]) -> str:
    path = _path(mistake)
    if mistake["type"] == "missing":
        return f"{path} is missing"
    if mistake["type"] == "extra_forbidden":
        *parents, last = mistake["loc"]
        node: Any = plain
        for part in parents:
            node = node[part]
        return f"unknown key '{path}'{did_you_mean(str(last), [str(key) for key in node if key != last])}"
    if mistake["type"] in ("model_type", "dict_type"):
        return f"{path}={mistake['input']}: should be a group of keys, not a value"
    return f"{path}={_shown(mistake['input'])}: {plain_message(mistake)}"


def plain_message(mistake: ErrorDetails) -> str:
    """Pydantic's message in the words of YAML: 'should be a valid integer'."""
    message = mistake["msg"].replace("True", "true").replace("False", "false").replace(" after validation", "")
    return re.sub(r"^(Value error, |Input |List |String )", "", message)


def _shown(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool | list) else str(value)
