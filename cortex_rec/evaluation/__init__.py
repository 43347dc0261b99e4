"""How good a release is: metrics with intervals, baselines beside them, slices, and the report."""
