"""Prefect tasks, thin: load, one library call, save."""
