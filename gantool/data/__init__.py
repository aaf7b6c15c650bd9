"""Images as one uint8 tensor: a Source says where they are, `prepare` caches them, a Stream serves them."""

from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.source import Source
from gantool.data.stream import Stream

__all__ = ["ImageSet", "Source", "Stream", "prepare"]
