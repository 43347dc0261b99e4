"""Other libraries on our split, judged by our metric code: `compare.py` drives, `fit.py` runs in their environment."""
