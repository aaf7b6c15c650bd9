"""What a command can be told: each key is declared once, with its type, its default and its help."""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveFloat,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from gantool.config.messages import as_typed, plain_message
from gantool.config.read import resolve
from gantool.errors import GantoolError, did_you_mean
from gantool.files import MARK, check_writable
from gantool.paths import expanded

BLOCK = 100  # images that share a seed: an image depends on its number, not on the batch it was made in


def key(default: Any, text: str) -> Any:
    """A key of a command: its default, and what --help says of it."""
    return Field(default, description=text)


def group(choice: JsonValue, text: str) -> Any:
    """A configuration group that a command composes, the key being its name: the choice by default, and its help."""
    return Field(default_factory=dict, description=text, json_schema_extra={"choice": choice})


def _folder(out: str) -> str:
    place = expanded(out)
    if place.exists() and not place.is_dir():
        raise ValueError("is a file: choose out=FOLDER")
    if place.is_dir() and any(place.iterdir()) and not (place / MARK).exists():
        raise ValueError("is a folder with files that are not gantool's: choose out=FOLDER, a new one")
    return _writable(out)


def _writable(out: str) -> str:
    place = expanded(out)
    try:
        check_writable(place.parent if place.is_file() else place)
    except GantoolError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return out


Out = Annotated[str, AfterValidator(_folder)]  # where to write: looked at before any work is done
OutFile = Annotated[str, AfterValidator(_writable)]


class CommandOptions(BaseModel):
    """Base of a command's `Options`, whose docstring is its --help: what it does, an empty line, and what is good to
    know."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    usage: ClassVar[str] = "run=RUN_FOLDER [key=value]"

    @classmethod
    def keys(cls) -> dict[str, FieldInfo]:
        """Its keys in the order of --help: `run`, its own, then those that it shares with other commands."""
        names = dict.fromkeys(["run", *cls.__annotations__, *reversed(cls.model_fields)])
        return {name: cls.model_fields[name] for name in names if name in cls.model_fields}

    @classmethod
    def groups(cls) -> dict[str, JsonValue]:
        """The choice by default in every configuration group that it composes."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {name: extra["choice"] for name, extra in extras.items() if isinstance(extra, dict)}


class OfRun(CommandOptions):
    """What is done with the folder of a run."""

    trust: bool = key(
        False, "also build parts that are not gantool's own: this runs the folder author's code on this machine"
    )


class Weights(OfRun):
    """Which weights a generator has."""

    ema: bool = key(True, "true: the EMA generator; false: the one that is trained")


class OneRun(Weights):
    """A trained run, and where what is made of it goes."""

    run: str | None = key(None, "a run folder, finished or still training")
    checkpoint: Literal["newest", "best"] = key("newest", "newest, best")
    out: Out | None = key(None, "folder to write into, new or empty; null: one in the run's folder")

    @model_validator(mode="after")
    def check_place(self) -> Self:
        """Raises GantoolError where the run's folder is to be written into and cannot be."""
        if self.run and self.out is None and expanded(self.run).is_dir():
            check_writable(expanded(self.run), "choose out=FOLDER")
        return self


class OnDevice(CommandOptions):
    """Where it is computed."""

    device: str = key("auto", "auto, cpu, cuda, cuda:1, mps")


Seed = Annotated[int, Field(ge=0, lt=2**32)]
BatchSize = Annotated[int, Field(ge=1, le=BLOCK)]


class Drawing(OnDevice):
    """Images of random latents."""

    seed: Seed = key(0, "the same seed gives the same images, whatever the batch size")


class OfClasses(Drawing):
    """Of classes that the user chooses."""

    classes: list[Annotated[int, Field(ge=0)] | str] | Annotated[int, Field(ge=0)] | str | None = key(
        None,
        "for conditional runs: a class by number or name, or a list to cycle through, e.g. classes=[3,zebra]; if "
        "labels are vectors, names and values, e.g. smiling+age:0.3; null: all in turn",
    )


class Standing(OnDevice):
    """What batch norm normalises by."""

    standing_statistics: Annotated[int, Field(ge=0)] | None = key(
        None,
        f"passes of {BLOCK} images that recompute batch norm statistics (Brock 2019); 0: those of training; null: as "
        "in training",
    )


class Latents(Standing):
    """What images are made of."""

    truncation: PositiveFloat | None = key(None, "truncates normal latents to this many standard deviations, e.g. 0.7")


class InBlocks(Drawing, Latents):
    """As many images as one likes."""

    batch_size: BatchSize = key(100, f"images at once, 1 to {BLOCK}")


IN_BLOCKS = set(InBlocks.model_fields) - set(OnDevice.model_fields)  # how the images are made

Kind = TypeVar("Kind", bound=CommandOptions)


def register_options(command: str, kind: type[CommandOptions]) -> None:
    """Makes the keys known to Hydra as the primary configuration `command`."""
    logs = [{f"override hydra/{log}": "gantool"} for log in ("job_logging", "hydra_logging")]
    defaults = ["gantool", *({name: choice} for name, choice in kind.groups().items()), "_self_", *logs]
    values = {name: field.get_default() for name, field in kind.keys().items() if name not in kind.groups()}
    ConfigStore.instance().store(name=command, node={"defaults": defaults, **values})


def read_options(cfg: DictConfig, kind: type[Kind]) -> Kind:
    """The keys of a command, checked; raises GantoolError with a line for every mistake."""
    plain = resolve(cfg)
    try:
        return kind.model_validate(plain)
    except ValidationError as mistakes:
        found: dict[str, list[str]] = {}
        for mistake in mistakes.errors():
            name = str(mistake["loc"][0])
            known = mistake["type"] != "extra_forbidden"
            found.setdefault(name, []).append(plain_message(mistake) if known else "")
        lines = [_line(name, messages, plain[name], kind) for name, messages in found.items()]
        raise GantoolError("\n".join(lines)) from None


def _line(name: str, messages: list[str], value: Any, kind: type[CommandOptions]) -> str:
    """One for all that is wrong with a value: what may be a list or a number has a mistake for each."""
    if messages == [""]:
        return f"unknown key '{name}'{did_you_mean(name, kind.model_fields)}"
    start = "should be "
    first, *others = dict.fromkeys(messages)
    others = [message.removeprefix(start) for message in others if message.startswith(start)]
    return f"{name}={as_typed(value)}: {' or '.join([first, *others])}"
