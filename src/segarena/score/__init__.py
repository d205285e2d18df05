"""Metrics by name, and what a series of them means."""
