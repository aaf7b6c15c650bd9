"""One player's optimizer with what surrounds a step: schedule, warm-up, clipping."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MethodType

import torch
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.schedules import Schedule, at
from gantool.training.hardware import MixedPrecision
from gantool.training.shards import Shards


@dataclass
class PlayerOptimizer:
    """`make` builds the torch optimizer of `parameters`; the rest says how its steps are taken.

    The learning rate is the configured one times `factor` times `schedule(nimg, total)`, rising linearly over the first
    `warmup` images. Adam's second beta is `beta2` where that is given. Gradients are clipped to a total norm of
    `clip_norm`, then to values of at most `clip_value`. Moments and counts are forgotten before the rounds at which
    `begins_anew` says so; `remembers` has the names of those of a weight matrix.
    """

    parameters: list[nn.Parameter]
    make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    schedule: Schedule
    warmup: int = 0
    clip_norm: float | None = None
    clip_value: float | None = None
    beta2: float | Schedule | None = None
    begins_anew: Callable[[Progress], bool] | None = None

    def __post_init__(self) -> None:
        _without_compiler()
        self.remembers = _try_a_step(self.make)
        self.shards: Shards | None = None
        self.optimizer = self.make(self.parameters)
        _step_alone(self.optimizer)
        self.configured = [
            {name: value for name, value in group.items() if name != "params"} for group in self.optimizer.param_groups
        ]
        if self.beta2 is not None and "betas" not in self.configured[0]:
            raise GantoolError("optimizer.beta2 is Adam's: set it to null, or choose optimizer=adam or adamw")

    def begin_round(self, progress: Progress, factor: float = 1.0) -> None:
        """Sets the learning rate and beta2 for this position, and begins anew where it is time to."""
        if self.begins_anew is not None and self.begins_anew(progress):
            self.optimizer.state.clear()  # what torch's optimizers begin with
        factor *= self.schedule(progress.nimg, progress.total)
        if self.warmup:
            factor *= min(1.0, (progress.nimg + 1) / self.warmup)
        for group, configured in zip(self.optimizer.param_groups, self.configured, strict=True):
            group["lr"] = configured["lr"] * factor
            if self.beta2 is not None:
                group["betas"] = (configured["betas"][0], at(self.beta2, progress.nimg, progress.total))

    def step(self, precision: MixedPrecision) -> Tensor:
        """Clips, steps, and returns the total norm that the gradients had, as a scalar tensor."""
        precision.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.clip_value)
        if self.shards is not None:
            self.shards.take_gradients()
        precision.scaler.step(self.optimizer)
        precision.scaler.update()
        if self.shards is not None:
            self.shards.gather()
        return norm

    def share(self) -> None:
        """From now on this rank steps its part of the parameters and remembers what belongs to it."""
        before, self.shards = self.optimizer, Shards(self.parameters)
        self.optimizer = self.make([piece for *_, piece in self.shards.pieces] or [nn.Parameter(torch.empty(0))])
        _step_alone(self.optimizer)
        for number, start, piece in self.shards.pieces:
            shape = self.parameters[number].shape
            for name, value in before.state.get(self.parameters[number], {}).items():
                is_moment = isinstance(value, Tensor) and value.ndim and value.shape == shape
                own = self.shards.cut(number, start, len(piece), value) if is_moment else value
                self.optimizer.state[piece][name] = own

    def unshare(self) -> None:
        """All ranks have all parameters again; what was remembered of them is lost."""
        if self.shards is not None:
            self.shards.gather()
            self.shards, self.optimizer = None, self.make(self.parameters)
            _step_alone(self.optimizer)

    def keep(self) -> None:
        """Called once parameters were changed by anything but a step."""
        if self.shards is not None:
            self.shards.keep()

    def state_dict(self) -> dict:
        """Of torch's optimizer; where the ranks share it, on the first one the whole state, from all of them."""
        own = self.optimizer.state_dict()
        return own if self.shards is None else self.shards.joined(own)

    def load_state_dict(self, state: dict) -> None:
        """Takes moments and counts from `state`, but keeps the configured settings (an override on resume counts)."""
        # In their place before: torch puts counts of steps where the settings that it is handed want them, and fused
        # ones want them on the device.
        groups = [group | own for group, own in zip(state["param_groups"], self.configured, strict=True)]
        self.optimizer.load_state_dict({**state, "param_groups": groups})
        for parameter, kept in self.optimizer.state.items():
            for name, value in kept.items():  # fused steps go by memory: trainer.channels_last may have been another
                if isinstance(value, Tensor) and value.shape == parameter.shape != ():
                    kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _try_a_step(make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]) -> frozenset[str]:
    """The names of what it remembers of a weight matrix. Raises GantoolError where gradients alone will not do."""
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    try:
        optimizer = make([weight])
        _step_alone(optimizer)
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] is not None
        return frozenset(optimizer.state[weight])
    except Exception as error:
        raise GantoolError(f"optimizer: it cannot take a step with these settings ({error})") from error


def _without_compiler() -> None:
    """Lets torch's optimizers be without the guards that import torch's compiler, a third of the time until the first
    round: they are for optimizers that are compiled, and ours never are."""
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        guarded = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if guarded is not None:
            guarded.__dynamo_disable = guarded  # what the guard would have made, and calls


def _step_alone(optimizer: torch.optim.Optimizer) -> None:
    """The same for the step of one of torch's own."""
    if type(optimizer).__module__.startswith("torch.optim."):
        optimizer.step = torch.no_grad()(MethodType(inspect.unwrap(type(optimizer).step), optimizer))
