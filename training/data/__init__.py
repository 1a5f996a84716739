"""The dialogue generator: one skill a file, splits fixed in words.py and in each skill's lists."""
