"""Synthetic extreme multilabel problems with a known hierarchy."""

import math
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.extmath import row_norms

from sklearn_xmr.utils._sklearn_private import Interval, validate_params
from sklearn_xmr.utils._validation import MAX_INT32, as_csr_array

_ROWS_PER_CHUNK = 1 << 15  # bounds memory; part of what a seed yields, so a constant
_REDRAWS = 20


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, MAX_INT32, closed="both")],
        "n_labels": [Interval(Integral, 1, MAX_INT32, closed="both")],
        "labels_per_sample": [Interval(Real, 1, None, closed="left")],
        "features_per_sample": [Interval(Real, 1, None, closed="left")],
        "features_per_node": [Interval(Integral, 1, None, closed="left")],
        "branching_factor": [Interval(Integral, 2, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left"), None],
        "tail_exponent": [Interval(Real, 0, None, closed="left")],
        "sibling_rate": [Interval(Real, 0, 1, closed="both")],
        "noise": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_xmc_classification(
    n_samples=1000,
    n_features=2000,
    n_labels=200,
    *,
    labels_per_sample=3.0,
    features_per_sample=40.0,
    features_per_node=10,
    branching_factor=8,
    depth=None,
    tail_exponent=1.0,
    sibling_rate=0.5,
    noise=0.5,
    random_state=None,
    return_X_y=True,
):
    """Generate a sparse multilabel problem with a label hierarchy and a long tail.

    Labels are the lowest nodes of a hierarchy, and each node below the root prefers a few features. A
    sample first draws its labels, rare ones rarely but often several from one group, and then features:
    from its labels (half of the informative ones), from the groups above them (the other half), and
    from a background that all samples share. The counts become tf-idf rows of unit length.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples.
    n_features : int, default=2000
        Number of features.
    n_labels : int, default=200
        Number of labels.
    labels_per_sample : float, default=3.0
        Mean number of labels of a sample; each has at least one. The number is one plus a Poisson
        variate, cut at ``n_labels``.
    features_per_sample : float, default=40.0
        Mean number of feature draws of a sample, likewise one plus a Poisson variate. Draws of the same
        feature add up, so rows hold somewhat fewer nonzeros.
    features_per_node : int, default=10
        Number of features that each node prefers, drawn from all features with replacement.
    branching_factor : int, default=8
        Children of a group in the hierarchy.
    depth : int, default=None
        Number of levels of groups between the root and the labels. None takes the fewest that
        leave, on average, at most ``branching_factor`` labels in a lowest group. At most as many as have no
        empty group.
    tail_exponent : float, default=1.0
        The label of rank r is drawn with probability proportional to ``r ** -tail_exponent``; 0 makes
        all labels equally frequent. Ranks are unrelated to label indices and to the hierarchy. If there
        are enough draws, labels that no sample drew replace surplus draws of others, so that each label
        occurs.
    sibling_rate : float, default=0.5
        Probability that a further label of a sample comes from the lowest group of its first label.
    noise : float, default=0.5
        Fraction of feature draws that come from the background, in which the feature of rank r has
        probability proportional to ``1 / r``.
    random_state : int, RandomState instance or None, default=None
        Seed. The same arguments and an int give the same output.
    return_X_y : bool, default=True
        Whether to return ``(X, Y)`` or a Bunch with the hierarchy.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), dtype float32
        Non-negative tf-idf rows of unit length.
    Y : csr_array of shape (n_samples, n_labels), dtype float32
        Label indicators.
    bunch : Bunch
        Instead of the two, if ``return_X_y=False``: ``X``, ``Y``, ``assignments`` (list of csr_array:
        child-by-parent indicators from the root down, as ``LabelTree.from_assignments`` takes them) and
        ``groups`` (ndarray of shape (n_labels, depth): the group of each label, level by level).

    Examples
    --------
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(n_samples=500, n_labels=100, random_state=0)
    >>> X.shape, Y.shape
    ((500, 2000), (500, 100))
    >>> bool((Y.sum(axis=0) > 0).all())
    True

    The planted hierarchy serves as a reference for indexers:

    >>> from sklearn_xmr import LabelTree
    >>> bunch = make_xmc_classification(n_labels=100, random_state=0, return_X_y=False)
    >>> LabelTree.from_assignments(bunch.assignments)
    LabelTree(n_labels=100, n_nodes=(1, 8, 64, 100))
    """
    rng = check_random_state(random_state)
    n_samples, n_features, n_labels, features_per_node, branching_factor = map(  # NumPy's integers overflow
        int, (n_samples, n_features, n_labels, features_per_node, branching_factor)
    )
    widths = _level_widths(n_labels, branching_factor, depth)
    # Position p of a label orders the leaves of the hierarchy: the group of p on a level of w groups is
    # p * w // n_labels, so groups are ranges of positions.
    position = rng.permutation(n_labels)
    weights = np.arange(1, n_labels + 1, dtype=np.float64) ** -float(tail_exponent)
    cdf = np.cumsum(rng.permutation(weights))

    rows, labels = _draw_labels(rng, n_samples, labels_per_sample, cdf, widths[-1], sibling_rate)
    labels = _cover_all(rng, labels, n_labels)
    X = _draw_features(
        rng, rows, labels, n_samples, n_features, [*widths, n_labels], features_per_node,
        features_per_sample, noise,
    )  # fmt: skip
    _to_unit_tfidf(X)

    label_at = np.argsort(position).astype(np.int32)
    ones = np.ones(rows.size, np.float32)
    Y = as_csr_array(sp.csr_array((ones, (rows, label_at[labels])), shape=(n_samples, n_labels)))
    if return_X_y:
        return X, Y
    groups = np.stack([position.astype(np.int64) * width // n_labels for width in widths], axis=1)
    return Bunch(X=X, Y=Y, assignments=_assignments(groups, widths), groups=groups)


def _level_widths(n_labels, branching_factor, depth):
    """Number of groups on each level below the root and above the labels."""
    if depth is None:
        depth = max(1, math.ceil(math.log(n_labels, branching_factor) - 1e-9) - 1)
    widths = [branching_factor**t for t in range(1, depth + 1)]
    return [width for width in widths if width <= n_labels] or [1]


def _draw_labels(rng, n_samples, mean, cdf, n_groups, sibling_rate):
    """Rows and label positions of all (sample, label) pairs, without repetition, sorted by row."""
    n_labels = cdf.size
    counts = np.minimum(1 + rng.poisson(mean - 1, n_samples), n_labels)
    rows = np.repeat(np.arange(n_samples), counts)
    first = np.cumsum(counts) - counts
    labels = _draw_from(rng, cdf, np.zeros(rows.size), np.full(rows.size, cdf[-1]))
    # positions of group g: those p with p * n_groups // n_labels == g
    bounds = -(-np.arange(n_groups + 1, dtype=np.int64) * n_labels // n_groups)
    cdf0 = np.concatenate([[0], cdf])
    pending = np.ones(rows.size, bool)
    pending[first] = False
    pending = np.flatnonzero(pending)
    for _ in range(_REDRAWS):
        group = labels[first[rows[pending]]] * n_groups // n_labels
        near = rng.random_sample(pending.size) < sibling_rate
        low = np.where(near, cdf0[bounds[group]], 0)
        high = np.where(near, cdf0[bounds[group + 1]], cdf[-1])
        labels[pending] = _draw_from(rng, cdf, low, high)
        pending = _repeated(rows, labels, n_labels)
        if pending.size == 0:
            break
    keep = np.ones(rows.size, bool)
    keep[pending] = False
    return rows[keep], labels[keep]


def _draw_from(rng, cdf, low, high):
    u = low + rng.random_sample(low.size) * (high - low)
    return np.minimum(np.searchsorted(cdf, u, side="right"), cdf.size - 1)


def _repeated(rows, labels, n_labels):
    """Indices of pairs that occur before, never that of a row's first label."""
    keys = rows * np.int64(n_labels) + labels
    order = np.argsort(keys, kind="stable")
    return np.sort(order[1:][keys[order[1:]] == keys[order[:-1]]])


def _cover_all(rng, labels, n_labels):
    """Let labels that nobody drew replace surplus draws of others."""
    missing = np.flatnonzero(np.bincount(labels, minlength=n_labels) == 0)
    surplus = np.ones(labels.size, bool)
    surplus[np.unique(labels, return_index=True)[1]] = False
    surplus = rng.permutation(np.flatnonzero(surplus))[: missing.size]
    labels[surplus] = missing[: surplus.size]
    return labels


def _draw_features(rng, rows, labels, n_samples, n_features, widths, features_per_node, mean, noise):
    """Counts of the drawn features, csr_array of float32."""
    shapes = [(width, features_per_node) for width in widths]
    preferred = [rng.randint(n_features, size=shape, dtype=np.int32) for shape in shapes]
    background = np.cumsum(1 / np.arange(1, n_features + 1))
    feature_of_rank = rng.permutation(n_features).astype(np.int32)
    label_ptr = np.searchsorted(rows, np.arange(n_samples + 1))
    n_levels = len(widths)
    chunks = []
    for start in range(0, n_samples, _ROWS_PER_CHUNK):
        stop = min(start + _ROWS_PER_CHUNK, n_samples)
        counts = 1 + rng.poisson(mean - 1, stop - start)
        row = np.repeat(np.arange(stop - start, dtype=np.int32), counts)
        n_of_row = np.diff(label_ptr[start : stop + 1])[row]
        nth = (rng.random_sample(row.size) * n_of_row).astype(np.int64)
        label = labels[label_ptr[start:stop][row] + nth]
        # the label itself with probability 1/2, else one of the groups above it
        level = np.minimum(rng.randint(2 * (n_levels - 1), size=row.size), n_levels - 1)
        slot = rng.randint(features_per_node, size=row.size)
        feature = feature_of_rank[
            _draw_from(rng, background, np.zeros(row.size), np.full(row.size, background[-1]))
        ]
        informative = rng.random_sample(row.size) >= noise
        for t, width in enumerate(widths):
            here = np.flatnonzero(informative & (level == t))
            feature[here] = preferred[t][label[here] * width // widths[-1], slot[here]]
        ones = np.ones(row.size, np.float32)
        chunks.append(sp.csr_array((ones, (row, feature)), shape=(stop - start, n_features)))
    return as_csr_array(sp.vstack(chunks, format="csr"))


def _to_unit_tfidf(X):
    """Weigh counts by the smoothed inverse document frequency, in place."""
    document_frequency = np.bincount(X.indices, minlength=X.shape[1])
    idf = np.log((1 + X.shape[0]) / (1 + document_frequency)) + 1
    X.data *= idf.astype(np.float32)[X.indices]
    X.data /= np.repeat(row_norms(X), np.diff(X.indptr))


def _assignments(groups, widths):
    parents = [np.zeros(widths[0], np.int64)]
    for upper, lower, width in zip(groups.T, groups.T[1:], widths[1:], strict=False):
        parent = np.empty(width, np.int64)
        parent[lower] = upper
        parents.append(parent)
    parents.append(groups[:, -1])
    columns = [1, *widths]
    return [
        sp.csr_array((np.ones(p.size, np.float32), p, np.arange(p.size + 1)), shape=(p.size, n))
        for p, n in zip(parents, columns, strict=True)
    ]
