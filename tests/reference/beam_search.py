"""Beam search in plain loops over dense weights."""

import math


def log_factor(margin, transform, slope=1.0):
    if transform == "identity":
        return margin
    if transform == "sigmoid":
        margin *= slope
        return -math.log1p(math.exp(-margin)) if margin > -30 else margin
    power = int(transform[1])
    return -(max(0.0, 1 - margin) ** power)


def answer(score, transform):
    if transform == "identity":
        return 1 / (1 + math.exp(-score))
    return math.exp(score)


def search(
    row, child_ptr, slot_labels, coefs, intercepts, transforms, beam_width, k, allowed=None, slope=1.0
):
    """Ranked list of (label, score) for one dense row.

    coefs[t] is dense of shape (n_features, n_nodes[t + 1]); allowed a set of labels or None.
    """
    n_levels = len(child_ptr)
    has_allowed = None
    if allowed is not None:  # per level: nodes with an allowed label below them
        has_allowed = [None] * n_levels
        has_allowed[-1] = [label in allowed for label in slot_labels]
        for t in range(n_levels - 2, -1, -1):
            has_allowed[t] = [
                any(has_allowed[t + 1][child_ptr[t + 1][node] : child_ptr[t + 1][node + 1]])
                for node in range(len(child_ptr[t + 1]) - 1)
            ]
    beam = [(0.0, 0)]
    for t in range(n_levels):
        candidates = []
        for path, node in beam:
            for child in range(child_ptr[t][node], child_ptr[t][node + 1]):
                if has_allowed is not None and not has_allowed[t][child]:
                    continue
                margin = float(intercepts[t][child])
                if margin == -math.inf:
                    continue
                for feature, value in enumerate(row):
                    margin += value * coefs[t][feature][child]
                factor = log_factor(margin, transforms[t], slope)
                score = factor if transforms[t] == "identity" else path + factor
                candidates.append((score, child))
        if t < n_levels - 1:
            candidates.sort(key=lambda pair: (-pair[0], pair[1]))
            beam = candidates[:beam_width]
    best = {}
    for score, slot in candidates:
        label = int(slot_labels[slot])
        best[label] = max(score, best.get(label, -math.inf))
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
    return [(label, answer(score, transforms[-1])) for label, score in ranked]
