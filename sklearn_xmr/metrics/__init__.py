"""Ranking metrics at k for dense or sparse truth."""
