"""What gantool bench times, and what against."""
