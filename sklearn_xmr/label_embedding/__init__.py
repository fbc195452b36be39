"""Step 1: represent each label by a vector, (X, Y) -> Z of shape (n_labels, n_dims)."""
