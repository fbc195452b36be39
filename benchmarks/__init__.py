"""Benchmarks: beside other libraries (versus), against problem size (growth), against ourselves (suite)."""
