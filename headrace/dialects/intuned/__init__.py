"""The wire of Intuned."""
