"""`compare.py`, started by `make bench NAME=peers`: what a fresh process imports must not be the module that runs."""

from benchmarks.peers.compare import main

if __name__ == "__main__":
    main()
