"""Fine-tuning of a text encoder down a label tree, coarse to fine: the curriculum of XR-Transformer.

Zhang et al., "Fast Multi-Resolution Transformer Fine-tuning for Extreme Multi-label Text Classification",
NeurIPS 2021. Imported where it is used, because it needs torch.
"""

from dataclasses import asdict, replace
from numbers import Real

import numpy as np
import scipy.sparse as sp

from sklearn_xmr._label_tree import LabelTree
from sklearn_xmr._torch._head import CandidateHead
from sklearn_xmr._torch._training import LevelTraining, Progress
from sklearn_xmr._xr_linear import XRLinearClassifier
from sklearn_xmr.matching._candidates import candidate_batch, mean_candidates
from sklearn_xmr.matching._negative_sampling import resolve_negative_sampling, training_rows
from sklearn_xmr.ranking._linear_ranker import LevelProblem
from sklearn_xmr.ranking._relevance import lift_relevance
from sklearn_xmr.ranking._start_weights import inherited_weights, random_weights, solved_weights
from sklearn_xmr.utils._features import join_features
from sklearn_xmr.utils._sparse_entries import pattern_of


class Curriculum:
    """The levels of a tree in the order in which an encoder learns them.

    Parameters
    ----------
    encoder : TextEncoder
        Trained in place.
    tokens : TokenStore
    X : csr_array of shape (n_samples, n_features) or None
        Sparse features beside the embeddings, for the matcher.
    targets : TextTargets
        Rows of weight 0 are neither read nor held out.
    tree : LabelTree
    params : XRTransformerClassifier
        Its parameters are read.
    settings : TrainingSettings
    seed : int
    processes : Processes
    """

    def __init__(self, encoder, tokens, X, targets, tree, params, settings, seed, processes):
        self.encoder, self.tokens, self.X, self.tree = encoder, tokens, X, tree
        self.params, self.settings, self.seed, self.processes = params, settings, seed, processes
        self.row_weights = targets.row_weights
        self.n_samples = self.row_weights.size
        self.positives = lift_relevance(tree, targets.relevance)
        self.levels = chosen_levels(tree, params.fine_tuning, params.max_nodes)
        self.epochs = epochs_of_levels(params.n_epochs, len(self.levels))
        self.schemes = resolve_negative_sampling(params.negative_sampling, tree.n_levels)
        order = self._rng(0).permutation(np.flatnonzero(self.row_weights))
        n_validation = int(np.ceil((params.validation_fraction or 0.0) * order.size))
        if n_validation >= order.size:
            raise ValueError(
                f"validation_fraction={params.validation_fraction} leaves none of the {order.size} "
                "row(s) for training."
            )
        self.validation_rows, self.rows = np.split(order, [n_validation])

    def run(self, log, checkpoint=None, saved=None):
        """Train level by level.

        Parameters
        ----------
        log : callable
            Takes a format string and its arguments.
        checkpoint : Checkpoint, default=None
            Written at every look.
        saved : tuple of (dict, dict), default=None
            What the checkpoint of an interrupted run held.

        Returns
        -------
        history : list of dict
            One for each level: its nodes, steps, losses and seconds.
        """
        tensors, facts = saved or (None, {"number": 0, "history": []})
        history, head = facts["history"], None
        for number in range(facts["number"], len(self.levels)):
            level = self.levels[number]
            read, solved = self._drawn_rows(number)
            previous = TrainedLevel(self, level - 1, head, read, solved)
            rows = self._rows_of(number, previous) if tensors is None else _csr_of(tensors)
            problem = LevelProblem(self._child_ptr(level), self.positives[level], rows)
            if tensors is None:
                training = self._training(number, problem, read, *self._start(number, problem, previous))
            else:
                start = (tensors[f"head.{name}"].numpy() for name in ("weights", "biases"))
                training = self._training(number, problem, read, *start)
                training.load_state(tensors, Progress(**facts["progress"]))
                tensors = None

            def look(training, number=number, rows=rows):
                progress = training.progress
                validation = "".join(f", validation {loss:.4f}" for loss in progress.validation_losses[-1:])
                log("level %d of %d, step %d of %d: loss %.4f%s, %.0f s", number + 1, len(self.levels),
                    progress.step, training.n_steps, progress.losses[-1], validation,
                    progress.seconds)  # fmt: skip
                if checkpoint is not None:
                    facts = {"seed": self.seed, "number": number, "history": history,
                             "progress": asdict(progress)}  # fmt: skip
                    tensors = {**training.state(), **_arrays_of_tree(self.tree), **_arrays_of(rows)}
                    self.processes.on_first(lambda: checkpoint.save(tensors, facts))

            training.run(look)
            history.append({"n_nodes": self.tree.n_nodes[level], **asdict(training.progress)})
            head = training.head
        return history

    def _n_steps(self, number):
        """Steps of a level."""
        return int(np.ceil(self.epochs[number] * -(-self.rows.size // self.settings.batch_size)))

    def _drawn_rows(self, number):
        """Rows that a level reads, and as many that its linear models are solved on, ascending.

        In less than an epoch other ones, as far as there are: scorers know the rows that they were solved
        on, whose loss then has little to teach.
        """
        order = self._rng(3, number).permutation(self.rows)
        n_rows = min(order.size, self._n_steps(number) * self.settings.batch_size)
        return np.sort(order[:n_rows]), np.sort(order[order.size - n_rows :])

    def _child_ptr(self, level):
        if self.params.fine_tuning == "single":  # one resolution: every node hangs from the root
            return np.array([0, self.tree.n_nodes[level]])
        return self.tree.child_ptr[level - 1]

    def _rows_of(self, number, previous):
        """Which parents' children each row is scored on; see `training_rows`."""
        if number == 0:
            return sp.csr_array(np.ones((self.n_samples, 1), dtype=np.float32))
        level = self.levels[number]
        pattern = pattern_of(self.positives[level - 1])
        return training_rows(self.schemes[level - 1], level, pattern, previous.match)

    def _start(self, number, problem, previous):
        """Weights and biases that the scorers of a level start from."""
        bootstrap, rng = self.params.bootstrap, self._rng(1, number)
        no_parents = number == 0 and bootstrap == "inherit"
        # at one resolution the problems are as many as nodes, and each has all rows
        if bootstrap == "random" or no_parents or self.params.fine_tuning == "single":
            return random_weights(int(problem.child_ptr[-1]), self.encoder.n_dims, rng)
        if bootstrap == "inherit":
            return inherited_weights(problem.child_ptr, *previous.head.arrays())
        solved = previous.solved
        embeddings = previous.embeddings(solved)
        return self.processes.on_first(
            lambda: solved_weights(
                replace(problem, positives=problem.positives[solved], rows=problem.rows[solved]),
                embeddings,
                self.row_weights[solved],
                is_weighted=bootstrap == "weighted_linear",
                seed=int(rng.integers(2**31)),
            )
        )

    def _training(self, number, problem, read, weights, biases):
        def candidates(rows, max_candidates, rng):
            return candidate_batch(
                problem.child_ptr, problem.positives[rows], problem.rows[rows], max_candidates, rng
            )

        return LevelTraining(
            self.encoder, CandidateHead(weights, biases), self.tokens, candidates,
            mean_candidates(problem.child_ptr, problem.rows[read], self.settings.max_candidates), read,
            self.validation_rows, self.row_weights, self._n_steps(number), self.settings,
            seed=int(self._rng(2, number).integers(2**31)), processes=self.processes,
        )  # fmt: skip

    def _rng(self, *key):
        return np.random.default_rng([self.seed, *key])


class TrainedLevel:
    """What a level takes from the one before: embeddings, scorers, a matcher.

    Parameters
    ----------
    curriculum : Curriculum
    level : int
        0 where nothing is trained yet.
    head : CandidateHead or None
        None for level 0.
    read, solved : ndarray of int
        Rows that the next level reads, and those that its linear models are solved on.
    """

    def __init__(self, curriculum, level, head, read, solved):
        self.curriculum, self.level, self.head = curriculum, level, head
        self.read, self.solved = read, solved
        self._is_embedded = np.zeros(curriculum.n_samples, dtype=bool)
        self._vectors = np.empty((curriculum.n_samples, curriculum.encoder.n_dims), dtype=np.float32)

    def embeddings(self, rows):
        """Of some rows, ndarray of shape (n_rows, n_dims); each is encoded once."""
        outer = self.curriculum
        missing = rows[~self._is_embedded[rows]]
        if missing.size:
            self._vectors[missing] = outer.processes.embed(outer.encoder, outer.tokens, missing)
            self._is_embedded[missing] = True
        return self._vectors[rows]

    def match(self):
        """Nodes that a linear model on features and embeddings finds, (n_samples, n_matched), -1 padded.

        For rows that the next level looks at; others have none.
        """
        outer = self.curriculum
        rows = np.unique(np.concatenate([self.read, self.solved, outer.validation_rows]))
        n_nodes = outer.tree.n_nodes[self.level]
        if outer.params.n_matched >= n_nodes:  # all of them, whatever the embeddings are
            nodes = np.full((outer.n_samples, n_nodes), -1, dtype=np.int32)
            nodes[rows] = np.arange(n_nodes)
            return nodes
        self.embeddings(rows)  # all processes encode, before the first goes on alone
        return outer.processes.on_first(lambda: self._match(rows, n_nodes))

    def _match(self, rows, n_nodes):
        outer, k = self.curriculum, self.curriculum.params.n_matched
        nodes = np.full((outer.n_samples, k), -1, dtype=np.int32)
        positives = pattern_of(outer.positives[self.level])[self.solved]
        if positives.nnz == 0:  # few rows, none with a label: nothing to find them by
            return nodes
        tree = LabelTree(outer.tree.child_ptr[: self.level], np.arange(n_nodes))
        X = None if outer.X is None else outer.X[rows]
        features = join_features(X, self.embeddings(rows), outer.params.embedding_weight)
        learnt = features[np.searchsorted(rows, self.solved)]
        matcher = XRLinearClassifier(indexer=tree, beam_width=max(k, 10), random_state=outer.seed)
        matcher.fit(learnt, positives, outer.row_weights[self.solved])
        nodes[rows] = matcher.predict_topk(features, k)[0]
        return nodes


def chosen_levels(tree, fine_tuning, max_nodes):
    """Numbers of the tree levels to train on: those of at most `max_nodes` nodes, the first at least."""
    levels = [t for t in range(1, tree.n_levels + 1) if tree.n_nodes[t] <= max_nodes or t == 1]
    return levels[-1:] if fine_tuning == "single" else levels


def epochs_of_levels(n_epochs, n_levels):
    """One number of epochs for each level.

    Raises
    ------
    ValueError
        If a list has another length than there are levels, or an entry is no positive, finite number.
    """
    epochs = [n_epochs] * n_levels if np.ndim(n_epochs) == 0 else list(n_epochs)
    if len(epochs) != n_levels:
        raise ValueError(
            f"n_epochs must be one number or one per fine-tuned level, got {len(epochs)} for {n_levels} "
            "level(s)."
        )
    if not all(isinstance(number, Real) and 0 < number < np.inf for number in epochs):
        raise ValueError(f"n_epochs must be positive, finite numbers, got {n_epochs!r}.")
    return epochs


def tree_of_checkpoint(tensors):
    """The preliminary tree that an interrupted fit went by.

    Made anew it might be another one: embeddings, where it is made of these, are rounded otherwise by other
    numbers of processes.
    """
    n_levels = sum(name.startswith("tree.child_ptr.") for name in tensors)
    child_ptr = [tensors[f"tree.child_ptr.{t}"].numpy() for t in range(n_levels)]
    return LabelTree(child_ptr, tensors["tree.slot_labels"].numpy())


def _arrays_of_tree(tree):
    """Copies, because torch takes no arrays that cannot be written to."""
    levels = {f"tree.child_ptr.{t}": ptr.copy() for t, ptr in enumerate(tree.child_ptr)}
    return {**levels, "tree.slot_labels": tree.slot_labels.copy()}


def _arrays_of(matrix):
    """A CSR matrix as it stands in a checkpoint."""
    shape = np.array(matrix.shape)
    return {
        "rows.data": matrix.data, "rows.indices": matrix.indices, "rows.indptr": matrix.indptr,
        "rows.shape": shape,
    }  # fmt: skip


def _csr_of(tensors):
    data, indices, indptr, shape = (
        tensors[f"rows.{name}"].numpy() for name in ("data", "indices", "indptr", "shape")
    )
    return sp.csr_array((data, indices, indptr), shape=tuple(shape))
