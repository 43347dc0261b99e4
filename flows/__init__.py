"""Prefect flows that read like prose."""
