"""
Serve a model by memory map
===========================

A model written by joblib without compression can be opened by memory map: nothing is read
until a query needs it, and all processes on a machine share one copy. This example measures
what that gives for start-up and for queries.
"""

# %%
# Models of growing size, fitted and written to disk. No weight is pruned, so that they are
# large.
import tempfile
from pathlib import Path

import joblib

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.datasets import make_xmc_classification

folder = tempfile.TemporaryDirectory()
paths = []
for n_labels in (1_000, 2_000, 4_000, 8_000):
    X, Y = make_xmc_classification(2 * n_labels, 30_000, n_labels, random_state=0)
    model = XRLinearClassifier(weight_threshold=0, random_state=0).fit(X, Y)
    paths.append(Path(folder.name) / f"{n_labels}.joblib")
    joblib.dump(model, paths[-1])  # no compress=, which would switch mapping off
    print(f"{n_labels:5,} labels: {paths[-1].stat().st_size / 1e6:6.1f} MB on disk")

# %%
# Reading copies the whole file into memory. Opening the map does not: its time is that of
# Python making a few dozen objects, whatever their size.
import time

import numpy as np


def load_milliseconds(path, mmap_mode):
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        joblib.load(path, mmap_mode=mmap_mode)
        seconds.append(time.perf_counter() - start)
    return 1e3 * np.median(seconds)


megabytes = [path.stat().st_size / 1e6 for path in paths]
read = [load_milliseconds(path, None) for path in paths]
opened = [load_milliseconds(path, "r") for path in paths]
print(f"the largest model: read in {read[-1]:.1f} ms, opened in {opened[-1]:.1f} ms")

# %%
# A mapped model answers like the one it was written from. Its arrays lie in the file.
mapped = joblib.load(paths[-1], mmap_mode="r")
same = np.array_equal(mapped.predict_topk(X[:1000])[0], model.predict_topk(X[:1000])[0])
print(f"same answers: {same}; the intercepts are a {type(mapped.intercepts_[0]).__name__}")

# %%
# Latency, one row after the other, as in a service. The first pass over a fresh map includes
# bringing pages in, from the disk or, as here, from the cache of the operating system.
rows = [X[[i]] for i in range(1000)]


def latencies(model):
    seconds = []
    for row in rows:
        start = time.perf_counter()
        model.predict_topk(row, k=5)
        seconds.append(time.perf_counter() - start)
    return 1e6 * np.sort(seconds)


latencies(model)  # warm up
runs = {"in memory": latencies(model)}
fresh = joblib.load(paths[-1], mmap_mode="r")
runs["mapped, first pass"] = latencies(fresh)
runs["mapped, second pass"] = latencies(fresh)
for name, values in runs.items():
    p50, p99 = np.percentile(values, [50, 99])
    print(f"{name:20s} median {p50:.0f} µs, 99th percentile {p99:.0f} µs")

# %%
# On the left, start-up: a service that maps its model is ready at once, and a second process
# on the machine needs no memory of its own for the weights. On the right, each curve says
# which share of the queries was answered within a time. Once its pages are there, a map is as
# fast as memory: the arrays are used where they lie.
import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.plot(megabytes, read, "o-", label="joblib.load(path)")
left.plot(megabytes, opened, "s-", label='joblib.load(path, mmap_mode="r")')
left.set(xlabel="model on disk, MB", ylabel="ms", title="Time to load", ylim=(0, None))
left.legend()
for (name, values), style in zip(runs.items(), ["-", ":", "--"], strict=True):
    right.plot(
        values,
        100 * np.arange(1, values.size + 1) / values.size,
        style,
        linewidth=2,
        label=name,
    )
right.set(xlabel="time of one query, µs", ylabel="queries answered, %", title="Latency")
right.set_xlim(0, 1.3 * max(np.percentile(values, 98) for values in runs.values()))
right.legend(loc="lower right")
for ax in (left, right):
    ax.grid(alpha=0.3)
plt.show()
folder.cleanup()
