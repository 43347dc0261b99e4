"""Amazon Beauty's sequences, `make bench NAME=beauty`: `sequences.py` on the file `../shared/data/amazon-beauty/Beauty.txt`."""

from benchmarks.sequences import main

if __name__ == "__main__":
    main("beauty")
