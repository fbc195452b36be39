"""Step 4: score what was matched."""
