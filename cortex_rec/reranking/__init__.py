"""Constraints over a ranked list."""
