"""Sweeps and searches: their jobs, what these scored, ranked, and the trials of a study."""
