"""Long measurements: `make bench NAME=…` prints a table and writes `benchmarks/out/<name>.json`."""
