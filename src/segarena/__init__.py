"""SegArena: a benchmark for interactive medical image segmentation."""

__version__ = "0.1.0"
