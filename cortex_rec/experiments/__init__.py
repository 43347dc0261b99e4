"""A/B tests, interleaving and off-policy estimates: who is shown what, and what can be said of it."""
