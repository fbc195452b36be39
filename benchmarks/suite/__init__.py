"""Benchmarks of ourselves in the form that asv runs: ``time_*``, ``peakmem_*`` and ``track_*`` methods."""
