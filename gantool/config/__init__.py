"""The configuration of a run: checked, written into its folder, and read back from it."""

from gantool.config.check import check
from gantool.config.composed import changes, choices, save_composed
from gantool.config.schema import validate
from gantool.config.targets import check_targets

__all__ = ["changes", "check", "check_targets", "choices", "save_composed", "validate"]
