"""The metrics at k again, in plain loops over lists and sets, straight from their definitions."""

import math


def topk_row(candidates, k):
    """`candidates`: list of (label, score). Labels of the k best, ties to the smaller label."""
    ranked = sorted(candidates, key=lambda pair: (-pair[1], pair[0]))
    return [label for label, _ in ranked[:k]]


def true_sets(y_dense):
    return [{label for label, value in enumerate(row) if value} for row in y_dense]


def _weighted_mean(values, weights):
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def precision(truth, ranked, k, weights):
    values = [sum(label in true for label in row[:k]) / k for true, row in zip(truth, ranked, strict=True)]
    return _weighted_mean(values, weights)


def recall(truth, ranked, k, weights):
    values = []
    for true, row in zip(truth, ranked, strict=True):
        values.append(sum(label in true for label in row[:k]) / len(true) if true else 0)
    return _weighted_mean(values, weights)


def f1(truth, ranked, k, weights):
    values = []
    for true, row in zip(truth, ranked, strict=True):
        n_named = len(row[:k]) + len(true)
        values.append(2 * sum(label in true for label in row[:k]) / n_named if n_named else 0)
    return _weighted_mean(values, weights)


def _dcg(gains):
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ndcg(truth, ranked, k, weights):
    values = []
    for true, row in zip(truth, ranked, strict=True):
        ideal = _dcg([1] * min(k, len(true)))
        values.append(_dcg([label in true for label in row[:k]]) / ideal if true else 0)
    return _weighted_mean(values, weights)


def coverage(truth, ranked, k):
    found, occurring = set(), set()
    for true, row in zip(truth, ranked, strict=True):
        occurring |= true
        found |= true & set(row[:k])
    return len(found) / len(occurring) if occurring else 0


def jain(y_dense, a, b):
    n_rows = len(y_dense)
    propensities = []
    for label in range(len(y_dense[0])):
        count = sum(row[label] != 0 for row in y_dense)
        c = (math.log(n_rows) - 1) * (b + 1) ** a
        propensities.append(1 / (1 + c * math.exp(-a * math.log(count + b))))
    return propensities


def _scored_rows(truth, ranked, k, propensities):
    """Of each row: true labels, gains of the hits by rank, gains of the best possible predictions."""
    for true, row in zip(truth, ranked, strict=True):
        gains = [1 / propensities[label] if label in true else 0 for label in row[:k]]
        best = sorted((1 / propensities[label] for label in true), reverse=True)[:k]
        yield true, gains, best


def ps_precision(truth, ranked, k, weights, propensities):
    got = possible = 0
    rows = _scored_rows(truth, ranked, k, propensities)
    for weight, (_, gains, best) in zip(weights, rows, strict=True):
        got += weight * sum(gains)
        possible += weight * sum(best)
    return got / possible if possible else 0


def ps_ndcg(truth, ranked, k, weights, propensities):
    got = possible = 0
    rows = _scored_rows(truth, ranked, k, propensities)
    for weight, (true, gains, best) in zip(weights, rows, strict=True):
        if true:
            ideal = _dcg([1] * min(k, len(true)))
            got += weight * _dcg(gains) / ideal
            possible += weight * _dcg(best) / ideal
    return got / possible if possible else 0
