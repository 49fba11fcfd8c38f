"""The worker pool: pending rows out at the permitted pace, every one brought to its end."""
