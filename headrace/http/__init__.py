"""What every wire shares: authentication, limits, replies."""
