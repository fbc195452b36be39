"""Train the levels of a label tree from the root down, and match rows with what is trained so far."""

from dataclasses import replace

import numpy as np
from sklearn.model_selection import KFold

from sklearn_xmr.matching._beam_search import BeamSearch
from sklearn_xmr.utils._fit_progress import quiet_step


def make_folds(cv, n_samples, seed):
    """Random folds for predictions out of fold: pairs of row numbers (train, test).

    Parameters
    ----------
    cv : int or None
        Number of folds, no more than one per row are made. None: no folds.
    n_samples : int
    seed : int

    Returns
    -------
    folds : list of tuple of ndarray
        Empty without folds: the rows are then matched by a model that was trained on them.
    """
    if cv is None or n_samples < 2:
        return []
    splitter = KFold(min(cv, n_samples), shuffle=True, random_state=seed)
    return list(splitter.split(np.empty((n_samples, 1))))


class LevelTrainer:
    """The model of a tree while it grows, level by level, with its fold models where there are folds.

    Parameters
    ----------
    fit_rankers : callable
        ``fit_rankers(X, problems, sample_weight)`` trains independent levels and returns their weights,
        the passes and the number of unconverged nodes.
    X : {ndarray, csr_array} of shape (n_samples, n_features)
    tree : LabelTree
    transforms : list of tuple
        Score transform of each level.
    sample_weight : ndarray of shape (n_samples,) or None
    folds : list of tuple of ndarray
        As `make_folds` gives them.
    level_step : callable, default=None
        Announces levels of the model (not of the folds) that are trained at once, see
        `FitProgress.levels`.
    """

    def __init__(self, fit_rankers, X, tree, transforms, sample_weight, folds, level_step=None):
        self.X, self.tree, self.transforms = X, tree, transforms
        self.problems = []
        self._fit_rankers, self._sample_weight = fit_rankers, sample_weight
        self._level_step = level_step or quiet_step
        self._model = _Model(None, None)
        # rows are matched by models that have not seen them, or by the model itself
        self._matchers = [_Model(*fold) for fold in folds] or [self._model]

    def add(self, problem):
        """Take the `LevelProblem` of the next level; it is trained no sooner than needed."""
        self.problems.append(problem)

    def match(self, beam_width):
        """Nodes of the lowest level added so far in each row's beam.

        Returns
        -------
        nodes : ndarray of shape (n_samples, beam_width), dtype int32
            Best first, padded with -1.
        """
        beam = np.empty((self.X.shape[0], beam_width), dtype=np.int32)
        for model in self._matchers:
            self._catch_up(model)
            search = BeamSearch(self.tree, model.weights)
            rows = slice(None) if model.test is None else model.test
            transforms = self.transforms[: len(model.weights)]
            beam[rows] = search.topk(self.X[rows], beam_width, beam_width, transforms)[0]
        return beam

    def finish(self):
        """Train what is left of the model.

        Returns
        -------
        weights : list of ChunkedWeights
            One per level.
        n_iter : int
            Largest number of passes.
        n_unconverged : int
            Number of nodes that did not reach the tolerance.
        """
        self._catch_up(self._model)
        return self._model.weights, self._model.n_iter, self._model.n_unconverged

    def _catch_up(self, model):
        """Train the levels that a model lacks, all at once: that keeps all threads busy."""
        X, weight = self.X, self._sample_weight
        problems = self.problems[len(model.weights) :]
        if not problems:
            return
        if model.train is not None:
            X = X[model.train]
            weight = None if weight is None else weight[model.train]
            problems = [
                replace(problem, positives=problem.positives[model.train], rows=problem.rows[model.train])
                for problem in problems
            ]
        first = len(model.weights) + 1
        step = self._level_step if model is self._model else quiet_step
        with step(first, first + len(problems) - 1) as note:
            trained, passes, unfinished = self._fit_rankers(X, problems, weight)
            n_nodes = sum(problem.positives.shape[1] for problem in problems)
            n_rows = sum(problem.rows.nnz for problem in problems)
            note("%d nodes, %d rows over all parents, %d passes", n_nodes, n_rows, passes)
        for level in trained:  # an intercept of -inf marks a node without positives
            if not (level.is_finite() and np.all(level.intercepts < np.inf)):
                raise ValueError(
                    "Training gave weights that are not finite: X, C, the class weights or bias are "
                    "too large."
                )
        model.weights.extend(trained)
        model.n_iter = max(model.n_iter, passes)
        model.n_unconverged += unfinished


class _Model:
    """Weights of the top levels, trained on some rows to match others; None stands for all rows."""

    def __init__(self, train, test):
        self.train, self.test = train, test
        self.weights, self.n_iter, self.n_unconverged = [], 1, 0
