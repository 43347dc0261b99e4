"""Purchase data of any size with the shape of a real year: docs/scaling.md."""
