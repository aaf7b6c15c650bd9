"""The training loop: all games, one screen."""

import time
from collections.abc import Sequence
from typing import Protocol

import torch

from gantool.data.stream import Stream
from gantool.logging.log import Log
from gantool.monitors.monitor import Monitor
from gantool.training.checkpoint import Checkpoints
from gantool.training.measurements import Measurements
from gantool.training.randomness import seed_everything
from gantool.training.ranks import any_rank, average_buffers
from gantool.training.state import State
from gantool.training.stop import StopSignal
from gantool.training.update import update


def train(state: State, data: Stream, monitors: Sequence[Monitor], log: Log, checkpoints: Checkpoints) -> None:
    pass
