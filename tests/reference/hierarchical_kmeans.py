"""HierarchicalKMeans again, in plain loops over Python floats."""

from math import sqrt

import numpy as np


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def center(rows, spherical):
    sums = [sum(column) for column in zip(*rows, strict=True)]
    length = sqrt(dot(sums, sums))
    if spherical:
        return [x / length if length > 0 else 0.0 for x in sums]
    return [x / len(rows) for x in sums]


def objective(rows, left, right, spherical):
    """Total similarity of the rows to the centres of their halves (or what grows with it)."""
    total = 0.0
    for half in (left, right):
        c = center([rows[label] for label in half], spherical)
        if spherical:
            total += sum(dot(c, rows[label]) for label in half)
        else:
            total += len(half) * dot(c, c)
    return total


def lloyd(rows, members, n_left, direction, spherical, max_iter, tol):
    """Balanced 2-means from a direction on: (left, right, direction, passes)."""
    left = right = None
    n_pass = 0
    while n_pass < max_iter:
        n_pass += 1
        order = sorted(members, key=lambda label: (dot(direction, rows[label]), label))
        new_left, new_right = sorted(order[:n_left]), sorted(order[n_left:])
        if left is not None:
            n_moved = len(set(new_left) - set(left)) + len(set(new_right) - set(right))
            if n_moved <= tol * len(members):
                break
        left, right = new_left, new_right
        c_left = center([rows[label] for label in left], spherical)
        c_right = center([rows[label] for label in right], spherical)
        direction = [b - a for a, b in zip(c_left, c_right, strict=True)]
    return left, right, direction, n_pass


def split(rows, members, n_left, seed_pair, spherical, max_iter, tol, sample_size):
    """One start: (left, right, passes)."""
    first, second = (rows[members[s]] for s in seed_pair)
    direction = [a - b for a, b in zip(first, second, strict=True)]
    n, most = len(members), 0
    if sample_size is not None and n >= 2 * sample_size:
        m = max(sample_size, n // 16)
        sample = [members[i * n // m] for i in range(m)]
        _, _, direction, most = lloyd(
            rows, sample, max(1, m * n_left // n), direction, spherical, max_iter, tol
        )
        max_iter = 1
    left, right, _, n_pass = lloyd(rows, members, n_left, direction, spherical, max_iter, tol)
    return left, right, max(most, n_pass)


def hierarchical_kmeans(
    Z, *, max_leaf_size, spherical=True, max_iter=20, tol=0.005, sample_size=2048, n_init=1, random_state=0
):
    """Leaf of each label, and the most passes of a node."""
    rows = [[float(x) for x in row] for row in np.asarray(Z)]
    n_labels = len(rows)
    if n_labels <= max_leaf_size:
        return [0] * n_labels, 1
    lengths = [sqrt(dot(row, row)) for row in rows]
    if spherical:
        rows = [[x / (n or 1.0) for x in row] for row, n in zip(rows, lengths, strict=True)]
    depth = 0
    while 2**depth * max_leaf_size < n_labels:
        depth += 1
    zeros = [label for label in range(n_labels) if lengths[label] == 0]
    members = [label for label in range(n_labels) if lengths[label] > 0]
    while len(members) < 2**depth:
        members.append(zeros.pop(0))
    members.sort()

    # seeds: all nodes, layer by layer, from one generator
    ranges = [[(0, len(members))]]
    for _ in range(depth):
        ranges.append([part for s, e in ranges[-1] for part in ((s, (s + e) // 2), ((s + e) // 2, e))])
    nodes = [node for layer in ranges[:-1] for node in layer]
    rng = np.random.RandomState(random_state)
    sizes = np.array([[e - s] * n_init for s, e in nodes])
    first = rng.randint(0, sizes)
    second = (first + rng.randint(1, sizes)) % sizes

    most = 1
    for node, (s, e) in enumerate(nodes):
        best = None
        for start in range(n_init):
            pair = (first[node][start], second[node][start])
            left, right, n_pass = split(
                rows, members[s:e], (s + e) // 2 - s, pair, spherical, max_iter, tol, sample_size
            )
            most = max(most, n_pass)
            quality = objective(rows, left, right, spherical)
            if best is None or quality > best:
                best = quality
                halves = left + right
        members[s:e] = halves

    leaves = [None] * n_labels
    counts = []
    for leaf, (s, e) in enumerate(ranges[-1]):
        counts.append(e - s)
        for label in members[s:e]:
            leaves[label] = leaf
    for label in zeros:
        leaf = counts.index(min(counts))
        leaves[label] = leaf
        counts[leaf] += 1
    return leaves, most


def nearest_leaf(Z, leaves, rows, spherical):
    """Leaf of the nearest centre for each row of Z; centres from the nonzero rows of fit."""
    rows = [[float(x) for x in row] for row in np.asarray(rows)]
    centers = []
    for leaf in range(max(leaves) + 1):
        inside = [row for row, own in zip(rows, leaves, strict=True) if own == leaf and any(row)]
        if spherical:
            inside = [[x / sqrt(dot(row, row)) for x in row] for row in inside]
        centers.append(center(inside, spherical) if inside else [0.0] * len(rows[0]))
    placed = []
    for z in np.asarray(Z):
        if spherical:
            quality = [dot(z, c) for c in centers]
        else:
            quality = [-sum((a - b) ** 2 for a, b in zip(z, c, strict=True)) for c in centers]
        placed.append(quality.index(max(quality)))
    return placed
