"""Types and ranges of a composed configuration's keys. What is validated is what is used: a `Train` is handed on."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from gantool.config.fields import (
    AsItIs,
    Beta2,
    Betas,
    DataBase,
    Device,
    Duration,
    Loose,
    Node,
    OneOfTwo,
    Open,
    Owned,
    Scheduled,
    TimeLimit,
)

Side = Annotated[int, Field(ge=4)]  # pixels


class WatchdogConfig(Owned):
    """What is done about a run that goes wrong, and what counts as that."""

    action: Literal["warn", "stop", "rollback", "off"]
    every: Duration
    patience: PositiveInt
    diversity: Annotated[float, Field(gt=0, lt=1)]
    explosion: Annotated[float, Field(gt=1)]
    max_rollbacks: Annotated[int, Field(ge=0)]
    rate_factor: Annotated[float, Field(gt=0, lt=1)]


class StopConfig(Owned):
    """When a run ends because it no longer gets better."""

    metric: str | None = None
    patience: PositiveInt


class TrainerConfig(Owned):
    """How to train."""

    duration: Duration
    batch_size: PositiveInt
    generator_batch: Annotated[float, Field(gt=0, le=64)] | None
    microbatch: PositiveInt | None
    dry_run: bool
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    tf32: bool
    compile: Literal[False, True, "graphs"]
    channels_last: bool
    device: Device
    deterministic: bool
    freeze: dict[str, PositiveInt] | None
    parallel: Literal["data", "players", "sharded"]
    sync_batch_norm: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    ema_half_life: Annotated[Duration, Scheduled, AsItIs]
    ema_buffers: Literal["copy", "average"]
    log_every: Duration
    checkpoint_seconds: Annotated[float, Field(gt=0)]
    keep_checkpoints: PositiveInt
    stop: StopConfig | None
    target: dict[str, float] | None
    time_limit: TimeLimit | None
    watchdog: WatchdogConfig


class RecipeConfig(Loose):
    """Suggested values; read by the keys that say ${recipe.KEY} and by nothing else."""

    duration: Duration
    batch_size: PositiveInt
    ema_half_life: Annotated[Duration, Scheduled, AsItIs]
    log_every: Duration
    watch_every: Duration
    grid_every: Duration
    score_every: Duration
    score_num: PositiveInt
    latent_dim: PositiveInt
    lr: PositiveFloat
    discriminator_rate: PositiveFloat
    sgd_lr: PositiveFloat
    betas: Betas
    beta2: Beta2 | None
    discriminator_norm: str
    generator_width: PositiveInt
    discriminator_width: PositiveInt
    upsampling: str
    pooling: str
    weight_clip: PositiveFloat
    dropout: Annotated[float, Field(ge=0, lt=1)]
    burn_in: str | float
    r1_gamma: Annotated[float, Field(ge=0), Scheduled, AsItIs] | None
    r1_every: PositiveInt
    rate_burn_in: str | float


class DatasetConfig(Open):
    """What to train on, and how it is prepared and augmented; the rest is the source's own."""

    resolution: Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
    channels: Annotated[int, Field(ge=1, le=16)] | None
    num_classes: Annotated[int, Field(ge=0)] | None
    vector_labels: bool | None
    fit: Literal["crop", "pad", "stretch"]
    crop: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None
    range: Literal["auto", "full"] | Annotated[list[float], Field(min_length=2, max_length=2)] | None
    bits: Literal[8, 16] | None
    on_bad_image: Literal["stop", "skip"]
    device_resident: Literal["auto", True, False]
    zoom: Annotated[float, Field(ge=1, le=4)]
    flip: bool
    shift: Annotated[int, Field(ge=0)]
    rotation: Annotated[float, Field(ge=0, le=180)]


class PlayerOptimizerConfig(Loose):
    """Arguments of a torch optimizer, as far as gantool knows their ranges; those that are left out are torch's own."""

    lr: PositiveFloat
    betas: Betas = Field([0.9, 0.999])
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    eps: PositiveFloat = 1e-8
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99


class OptimizerConfig(PlayerOptimizerConfig):
    """Rates, and what is done to gradients; the rest is the torch optimizer's own."""

    target: str = Field(alias="_target_")
    beta2: Beta2 | None = None
    warmup: Duration | None
    clip_norm: PositiveFloat | None
    clip_value: PositiveFloat | None
    schedule: Node
    generator: PlayerOptimizerConfig
    discriminator: PlayerOptimizerConfig

    def of(self, player: str) -> dict[str, Any]:
        """The node of one player's optimizer: the common arguments, and those that are its own."""
        common = self.model_dump(by_alias=True, exclude_unset=True, exclude=set(OPTIMIZER_OWNED))
        own = {"generator": self.generator, "discriminator": self.discriminator}.get(player)
        return common | ({} if own is None else own.model_dump(exclude_unset=True))


class RegularizerConfig(Open):
    """One term that is added to a loss."""

    every: PositiveInt = 1
    weight: Annotated[float, Field(ge=0)] = 0.0
    gamma: Annotated[float, Field(ge=0), Scheduled, AsItIs] = 0.0


class AuxiliaryConfig(Open):
    """One term that reads the discriminator's features."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    generator_weight: Annotated[float, Field(ge=0)] | None = None


class LossConfig(Open):
    """What the players minimise."""

    n_critic: PositiveInt = 1
    top: Annotated[float, Field(gt=0, le=1), Scheduled, AsItIs] | None = None
    regularizers: dict[str, RegularizerConfig] = Field(default_factory=dict)
    constraint: Node | None = None


class LatentConfig(Open):
    """What the generator makes images from."""

    dim: PositiveInt


class ModelConfig(Open):
    """The game and its networks."""

    conditional: bool = False
    latent: LatentConfig | None = None


class MonitorConfig(Open):
    """What looks at the run every so often."""

    every: Duration
    at_start: bool = False  # before the first round too


class StudyConfig(Owned):
    """A search over settings, of which this run is a trial."""

    trials: PositiveInt
    objective: str | Annotated[list[str], Field(min_length=1)] | None
    sampler: Literal["tpe", "cmaes", "random", "grid"]
    pruner: Literal["median", "hyperband", "none"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    at_once: PositiveInt
    time_limit: TimeLimit | None
    storage: DataBase | None
    trial: Annotated[int, Field(ge=0)] | None


class Train(Owned):
    """Everything `gantool train` composes."""

    recipe: RecipeConfig
    trainer: TrainerConfig
    dataset: DatasetConfig
    loss: LossConfig
    regularizer: dict[str, RegularizerConfig]
    auxiliary: dict[str, AuxiliaryConfig]
    augment: Node  # {}: none
    model: ModelConfig
    optimizer: OptimizerConfig
    features: Annotated[dict[str, Any], OneOfTwo]  # a node, or two to choose from (features=auto)
    score: dict[str, Node]
    monitor: dict[str, MonitorConfig]
    logger: dict[str, Node]
    init: str | None
    sweep_metric: str | None
    study: StudyConfig | None = None  # hydra/sweeper=study brings it

    @property
    def num_classes(self) -> int:
        """Classes, or numbers of a vector, that the networks are told; 0 for an unconditional model."""
        return (self.dataset.num_classes or 0) if self.model.conditional else 0

    @property
    def shown_classes(self) -> int:
        """As `num_classes`, 0 too where labels are vectors: what is looked at class by class."""
        return 0 if self.dataset.vector_labels else self.num_classes


OPTIMIZER_OWNED = tuple(name for name in OptimizerConfig.__annotations__ if name != "target")
DATASET_OWNED = tuple(name for name in DatasetConfig.model_fields if name != "target")


def owned(path: str) -> frozenset[str]:
    """The keys of the node at `path` that are gantool's own, not arguments of its target."""
    group, _, rest = path.partition(".")
    keys = {"optimizer": OPTIMIZER_OWNED, "dataset": DATASET_OWNED} if not rest else {"monitor": ("every", "at_start")}
    return frozenset(keys.get(group, ()))
