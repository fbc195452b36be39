"""Why a label scored what it did, and where a missed one left the beam."""

import math

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.inspection._explanation import NodeExplanation, PredictionExplanation
from sklearn_xmr.inspection._names import (
    check_classifier,
    check_index,
    feature_names_of,
    label_names_of,
    name_of,
)
from sklearn_xmr.matching._beam_search import BeamSearch
from sklearn_xmr.ranking._score_transform import HINGE, IDENTITY
from sklearn_xmr.utils._validation import check_positive_int

#: The search hands out no smaller score: a reached label would turn into an absent one in a CSR.
LOG_SMALLEST = math.log(np.finfo(np.float32).tiny)


def explain_prediction(classifier, X, label, *, beam_width=None, feature_names=None, label_names=None):
    """Explain the score of one label for one row, level by level.

    Every level of the label tree adds a factor to a label's score. For each node on the way to the
    label this tells the margin, what each feature contributed to it, the rank among the candidates of
    the beam and whether the beam kept it. A label that was missed left the beam somewhere on this way.

    Parameters
    ----------
    classifier : XRLinearClassifier
        Fitted. Of a `Pipeline`, pass ``pipe[-1]`` and ``pipe[:-1].transform(X)``.
    X : {array-like, sparse matrix} of shape (1, n_features)
        The row.
    label : int
        Label number, that is an index into ``classes_``.
    beam_width : int, default=None
        Nodes kept per inner level; None takes the classifier's.
    feature_names : array-like of str of shape (n_features,), default=None
        Names for the output, such as ``vectorizer.get_feature_names_out()``. None takes
        ``feature_names_in_`` where the classifier has it.
    label_names : array-like of str of shape (n_labels,), default=None
        Names for the output. None takes ``classes_`` for one-dimensional y.

    Returns
    -------
    explanation : PredictionExplanation
        Prints as a table.

    Raises
    ------
    TypeError
        If the classifier is not one of this library or not fitted, or label is not an integer.
    ValueError
        If X has another shape, label does not exist, or there is another number of names.

    See Also
    --------
    describe_tree : The tree and its weights, without regard to a row.

    Notes
    -----
    Margins are summed in float64, the search sums in float32; ranks and `kept` are those of the search.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn_xmr import LabelTree, XRLinearClassifier
    >>> from sklearn_xmr.inspection import explain_prediction
    >>> texts = ["red apple pie", "green apple tart", "fast red car", "slow green car"]
    >>> tree = LabelTree.from_paths([("food",), ("food",), ("traffic",), ("traffic",)])
    >>> vectorizer = TfidfVectorizer()
    >>> classifier = XRLinearClassifier(indexer=tree, random_state=0)
    >>> classifier = classifier.fit(vectorizer.fit_transform(texts), [0, 1, 2, 3])
    >>> explanation = explain_prediction(
    ...     classifier,
    ...     vectorizer.transform(["an apple tart"]),
    ...     label=1,
    ...     feature_names=vectorizer.get_feature_names_out(),
    ...     label_names=["pie", "tart", "racing", "parking"],
    ... )
    >>> explanation.rank
    1
    >>> explanation.paths[0][0].feature_names
    ['apple', 'tart']
    """
    check_classifier(classifier)
    row = sp.csr_array(classifier._check_query(X), copy=True)  # sum_duplicates works in place
    if row.shape[0] != 1:
        raise ValueError(f"X must be a single row, got {row.shape[0]}; explain one row at a time.")
    row.sum_duplicates()
    tree, weights = classifier.tree_, classifier.chunked_weights_
    label = check_index(label, tree.n_labels, "label")
    if beam_width is not None:
        check_positive_int(beam_width, "beam_width")
    width = classifier._beam_width(beam_width)
    transforms = classifier._transform_codes(tree.n_levels)
    features = feature_names_of(classifier, feature_names)
    names = label_names_of(classifier.classes_, label_names)

    ranked = [
        _ranked_nodes(BeamSearch(tree, weights[:t], report_slots=True), row, width, transforms[:t])
        for t in range(1, tree.n_levels + 1)
    ]
    paths = []
    slots = np.flatnonzero(tree.slot_labels == label)
    for inner, slot in zip(tree.path(label), slots, strict=True):
        log_score, path = 0.0, []
        for t, node in enumerate((*inner, int(slot)), start=1):
            level = weights[t - 1]
            contributing, contributions = _contributions(level, node, row)
            intercept = float(level.intercepts[node])
            margin = intercept + float(contributions.sum())
            log_score = _log_path(log_score, margin, transforms[t - 1])
            places = np.flatnonzero(ranked[t - 1] == node)
            rank = int(places[0]) + 1 if places.size else None
            path.append(
                NodeExplanation(
                    level=t,
                    node=int(node),
                    margin=margin,
                    factor=_factor(margin, transforms[t - 1]),
                    path_score=_answer(log_score, transforms[t - 1]),
                    rank=rank,
                    n_candidates=ranked[t - 1].size,
                    kept=rank is not None and (rank <= width or t == tree.n_levels),
                    intercept=intercept,
                    features=contributing,
                    feature_names=[str(name_of(j, features, "feature")) for j in contributing],
                    contributions=contributions,
                )
            )
        paths.append(path)
    paths.sort(key=lambda path: (-_depth_kept(path), -path[-1].path_score))
    best = paths[0]
    lost = None if best[-1].kept else best[_depth_kept(best)]
    reached = _ranked_nodes(BeamSearch(tree, weights), row, width, transforms)
    return PredictionExplanation(
        label=label,
        label_name=str(name_of(label, names, "label")),
        score=best[-1].path_score,
        rank=None if lost else int(np.flatnonzero(reached == label)[0]) + 1,
        beam_width=width,
        lost_at_level=lost.level if lost else None,
        lost_at_rank=lost.rank if lost else None,
        paths=paths,
    )


def _ranked_nodes(search, row, width, transforms):
    """All candidates of the lowest level searched, best first."""
    nodes = search.topk(row, search.max_reached(width), width, transforms)[0][0]
    return nodes[nodes >= 0]


def _contributions(level, node, row):
    """Features of the row that the node has weights for, and weight times value, largest first."""
    features, node_weights = level.column(node)
    shared, of_row, of_node = np.intersect1d(row.indices, features, assume_unique=True, return_indices=True)
    contributions = row.data[of_row].astype(np.float64) * node_weights[of_node]
    order = np.lexsort((shared, -np.abs(contributions)))
    return shared[order], contributions[order]


def _log_path(above, margin, transform):
    kind, parameter = transform
    if -math.inf in (above, margin):
        return -math.inf
    if kind == IDENTITY:
        return margin
    if kind == HINGE:
        return above - max(0.0, 1.0 - margin) ** parameter
    return above - float(np.logaddexp(0.0, -parameter * margin))


def _factor(margin, transform):
    return margin if transform[0] == IDENTITY else math.exp(_log_path(0.0, margin, transform))


def _answer(log_score, transform):
    if log_score == -math.inf:
        return 0.0
    if transform[0] == IDENTITY:
        log_score = -float(np.logaddexp(0.0, -log_score))
    return math.exp(max(log_score, LOG_SMALLEST))


def _depth_kept(path):
    """Number of nodes before the path leaves the beam."""
    return next((depth for depth, step in enumerate(path) if not step.kept), len(path))
