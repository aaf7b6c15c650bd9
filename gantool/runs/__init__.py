"""What is known of a run that is there: it is read back, sampled, scored, and what was found is kept beside it."""
