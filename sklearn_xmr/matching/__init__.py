"""Step 3: which nodes of the label tree to look at."""
