"""Load, generate and fetch extreme multilabel data."""
