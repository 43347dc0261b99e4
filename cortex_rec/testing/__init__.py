"""Contract suites and small data makers, shipped so that an extension can run them."""
