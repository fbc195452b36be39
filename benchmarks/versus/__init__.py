"""We and other libraries on the same data. ``python -m benchmarks.versus --help``."""
