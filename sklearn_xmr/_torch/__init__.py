"""The only package that imports torch and transformers: encoder, node scorers, training loop, processes."""
