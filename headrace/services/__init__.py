"""What may be asked of Headrace, whoever asks."""
