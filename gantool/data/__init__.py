"""Images as one uint8 tensor: a Source says where they are, `prepare` caches them, a Stream serves them."""

from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.source import Source
from gantool.data.stream import Stream
from gantool.data.two_sided import TwoSided

__all__ = ["ImageSet", "Source", "Stream", "TwoSided", "prepare"]
