"""Releases: what a run ends in and a service answers from."""
