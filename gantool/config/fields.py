"""The types of configuration keys, and the three kinds of groups that they stand in."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from gantool.errors import GantoolError
from gantool.schedules import parse_duration, parse_seconds


def _duration(text: object) -> object:
    try:
        parse_duration(str(text), key="", images_per_epoch=1, images_per_round=1)
    except GantoolError:
        raise ValueError("should be a positive number and a unit, such as 150kimg, 20ep or 5000it") from None
    return text


def _time_limit(text: object) -> object:
    try:
        parse_seconds(str(text), key="")
    except GantoolError:
        raise ValueError("should be a positive number and a unit, such as 2h, 90min or 1d") from None
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise ValueError("should be auto, cpu, cuda, cuda:N or mps")
    return text


def _data_base(text: str) -> str:
    server = r"postgres(ql)?://([^/@?]*@)?([^:/@?]*|\[[^]/@?]*\])(:\d+)?/\w[^?@]*(\?.*)?"
    if not re.fullmatch(rf"{server}|sqlite:///.+", text):
        raise ValueError("should be postgresql://USER@HOST/DATABASE or sqlite:///FILE")
    if re.search(r"://[^/@]*:[^/@]*@|[?&]password=", text):
        raise ValueError("its password would be written to files: set PGPASSWORD, or write it into ~/.pgpass")
    return text


def _or_schedule(value: object, check: ValidatorFunctionWrapHandler) -> object:
    return value if isinstance(value, dict) and "_target_" in value else check(value)


def _node(value: object) -> object:
    if isinstance(value, dict) and value and "_target_" not in value:
        raise ValueError("should name a class by _target_")
    return value


Scheduled = WrapValidator(_or_schedule)  # also a node such as {_target_: gantool.schedules.Ramp, start: 1, end: 0.1}
AsItIs = PlainSerializer(lambda value: value, return_type=Any)  # else pydantic warns of a node where it knows a number
Duration = Annotated[str, BeforeValidator(_duration)]
TimeLimit = Annotated[str, BeforeValidator(_time_limit)]
Device = Annotated[str, AfterValidator(_device)]
DataBase = Annotated[str, AfterValidator(_data_base)]  # without a password
Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
Beta2 = Annotated[float, Field(ge=0, lt=1), Scheduled, AsItIs]
OneOfTwo = AfterValidator(lambda value: value if value.keys() == {"first", "otherwise"} else _node(value))
Node = Annotated[dict[str, Any], AfterValidator(_node)]  # its arguments are checked in parts.py; {}: nothing


class Owned(BaseModel):
    """A group whose keys are all gantool's."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class Loose(BaseModel):
    """A group with keys beside those that gantool knows."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


class Open(Loose):
    """A group with `_target_`, whose other keys are arguments of the target."""

    target: str = Field(alias="_target_")

    @property
    def node(self) -> dict[str, Any]:
        """`_target_` and its arguments, those that are declared here among them."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    @property
    def rest(self) -> dict[str, Any]:
        """`_target_` and the arguments that are not declared here."""
        return {"_target_": self.target, **(self.model_extra or {})}
