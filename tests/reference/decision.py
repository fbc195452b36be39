"""Thresholds, expected F1 and calibration in plain loops."""

import itertools
import math


def best_f1_cut(scores, hits, n_positives, weights):
    """(F1, number of distinct scores taken) of the best cut; the fewest on ties. None without a hit."""
    best = None
    for taken, cut in enumerate(sorted(set(scores), reverse=True), start=1):
        n_taken = sum(w for s, w in zip(scores, weights, strict=True) if s >= cut)
        n_hits = sum(w for s, h, w in zip(scores, hits, weights, strict=True) if s >= cut and h)
        if n_hits == 0:
            continue
        f1 = 2 * n_hits / (n_taken + n_positives)
        if best is None or f1 > best[0] + 1e-12:
            best = (f1, taken, cut)
    return best


def threshold_of_cut(scores, best):
    """Half-way between the last distinct score taken and the next one."""
    if best is None:
        return math.nan
    distinct = sorted(set(scores), reverse=True)
    last = distinct[best[1] - 1]
    return last if best[1] == len(distinct) else (last + distinct[best[1]]) / 2


def label_thresholds(rankings, truth, n_labels, min_positives):
    """rankings[i]: list of (label, score); truth[i]: set of labels. Global and per-label thresholds."""

    def tune(labels):
        pairs = [
            (score, label in truth[i])
            for i, ranking in enumerate(rankings)
            for label, score in ranking
            if label in labels
        ]
        scores, hits = [s for s, _ in pairs], [h for _, h in pairs]
        n_positives = sum(len(labels & row) for row in truth)
        return threshold_of_cut(scores, best_f1_cut(scores, hits, n_positives, [1.0] * len(scores)))

    shared = tune(set(range(n_labels)))
    shared = math.inf if math.isnan(shared) else shared
    counts = [sum(label in row for row in truth) for label in range(n_labels)]
    own = [tune({label}) for label in range(n_labels)]
    rare = {j for j in range(n_labels) if counts[j] < min_positives or math.isnan(own[j])}
    thresholds = []
    for label in range(n_labels):
        value = own[label]
        if label in rare:
            exponent = max(counts[label], 1).bit_length()
            value = tune({other for other in rare if max(counts[other], 1).bit_length() == exponent})
        thresholds.append(shared if math.isnan(value) else value)
    return shared, thresholds


def expected_f1(probabilities, size):
    """Expected F1 of taking the first `size` labels, over all outcomes of independent labels."""
    total = 0.0
    for outcome in itertools.product([0, 1], repeat=len(probabilities)):
        chance = math.prod(p if y else 1 - p for p, y in zip(probabilities, outcome, strict=True))
        if size and sum(outcome):
            total += chance * 2 * sum(outcome[:size]) / (size + sum(outcome))
    return total


def platt_loss(a, b, scores, hits, weights):
    """Negative log-likelihood with the targets of Lin, Lin and Weng."""
    n_pos = sum(w for h, w in zip(hits, weights, strict=True) if h)
    n_neg = sum(w for h, w in zip(hits, weights, strict=True) if not h)
    loss = 0.0
    for s, h, w in zip(scores, hits, weights, strict=True):
        target = (n_pos + 1) / (n_pos + 2) if h else 1 / (n_neg + 2)
        p = 1 / (1 + math.exp(-(a * s + b)))
        loss -= w * (target * math.log(p) + (1 - target) * math.log(1 - p))
    return loss


def width_bin(p, everything, n_bins):
    """Of bins of equal width, b holds b / n_bins <= p < (b + 1) / n_bins, the last one its end too."""
    b = 0
    while b < n_bins - 1 and p >= (b + 1) / n_bins:
        b += 1
    return b


def rank_bin(p, everything, n_bins):
    """Of bins of equally many predictions, that in which the middle of those equal to p lies."""
    middle = sum(1.0 if q < p else 0.5 if q == p else 0.0 for q in everything)
    b = 0
    while middle * n_bins >= (b + 1) * len(everything):
        b += 1
    return b


def ece(y_true, ranked, k, n_bins, bin_of):
    """Expected calibration error; bin_of is one of the two above."""
    everything = [p for ranking in ranked for _, p in ranking[:k]]
    bins = [[] for _ in range(n_bins)]
    for i, ranking in enumerate(ranked):
        for label, p in ranking[:k]:
            bins[bin_of(p, everything, n_bins)].append((p, bool(y_true[i][label])))
    total = 0.0
    for members in filter(None, bins):
        mean = sum(p for p, _ in members) / len(members)
        share = sum(hit for _, hit in members) / len(members)
        total += len(members) / len(everything) * abs(mean - share)
    return total


def level_probability(path_margins, calibrate):
    """Product of the calibrated factors along the best path; path_margins: list of lists."""
    return max(
        math.prod(calibrate[t](margin) for t, margin in enumerate(margins)) for margins in path_margins
    )
