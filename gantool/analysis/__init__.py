"""What looks at a finished game: where its images lie, what its latents do, and what its discriminator goes by."""
