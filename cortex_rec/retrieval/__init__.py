"""The first stage: a few hundred candidates out of the whole catalogue."""
