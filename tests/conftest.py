"""Builders shared by all tests."""
