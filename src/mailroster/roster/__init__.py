"""The config files as values, lossless at any size."""
