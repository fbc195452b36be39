"""Bottom layer: validation, sparse helpers, threads, top-k selection. Imports nothing of ours."""
