"""Step 2: cluster the label vectors, Z -> LabelTree."""
