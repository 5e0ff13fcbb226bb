"""Speed and memory, as ratios against a yardstick of the same run: `make bench`, or `python -m bench NAME...` for some."""
