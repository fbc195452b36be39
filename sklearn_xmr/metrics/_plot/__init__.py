"""Drawings of metrics, in the style of scikit-learn's displays; matplotlib is loaded on first use."""
