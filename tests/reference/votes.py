"""Averages of ranked lists in plain loops."""

import math


def average(rankings, voting):
    """Votes of one row: ``rankings`` holds one list of (label, score) per ranker, padded with label -1."""
    votes = {}
    for ranking in rankings:
        total = sum(math.exp(score) for label, score in ranking if label >= 0)
        for position, (label, score) in enumerate(ranking):
            if label < 0:
                continue
            given = {
                "mean": score,
                "rank": (len(ranking) - position) / len(ranking),
                "softmax": math.exp(score) / total,
            }[voting]
            votes[label] = votes.get(label, 0.0) + given / len(rankings)
    return votes
