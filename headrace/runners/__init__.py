"""Child processes and what flows through them: taps, scripts, targets, logs, environments."""
