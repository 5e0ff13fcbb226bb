"""What every wire shares: keys, errors, limits, health."""
