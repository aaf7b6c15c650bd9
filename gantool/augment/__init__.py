"""Random changes of images: of real and fake alike before the discriminator, which then cannot tell them by the change,
and (Jitter) of an image that a term compares with itself."""

from gantool.augment.adaptive import ADA, ScheduledADA
from gantool.augment.diffaugment import DiffAugment
from gantool.augment.jitter import Jitter
from gantool.augment.noise import InstanceNoise

__all__ = ["ADA", "DiffAugment", "InstanceNoise", "Jitter", "ScheduledADA"]
