"""Images as one uint8 tensor: a Source says where they are, `prepare` caches them, a Stream serves them."""
