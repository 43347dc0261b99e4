"""The LightGCN paper's split of Gowalla, `make bench NAME=gowalla`: `lightgcn_text.py` on the folder `../shared/data/gowalla`."""

from benchmarks.lightgcn_text import main

if __name__ == "__main__":
    main("gowalla")
