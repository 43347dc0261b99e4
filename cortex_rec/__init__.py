"""CORTEX-Rec: a two-stage recommender for shops, from purchase history to a served release."""

__version__ = "0.1.0"
