"""Precision and recall of tail, torso and head labels."""

from itertools import pairwise

import numpy as np

from sklearn_xmr.metrics._frequency import precision_recall_by_frequency
from sklearn_xmr.metrics._scorer import predict_ranking
from sklearn_xmr.utils._plotting import check_axes, name_of_estimator
from sklearn_xmr.utils._validation import check_label_matrix, check_positive_int


class LabelFrequencyDisplay:
    """Precision and recall at k of labels, grouped by their training frequency.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    bins : FrequencyBins
        As :func:`precision_recall_by_frequency` returns it.
    k : int
        Number of predictions that count.
    name : str, default=None
        Title of the drawing.

    Attributes
    ----------
    precision_bars_, recall_bars_ : matplotlib BarContainer
        The bars.
    ax_ : matplotlib Axes
        What they are drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    precision_recall_by_frequency : The figures behind it.

    Examples
    --------
    >>> from sklearn_xmr.metrics import LabelFrequencyDisplay, precision_recall_by_frequency
    >>> y_train = [[1, 1], [1, 0], [1, 0]]
    >>> bins = precision_recall_by_frequency([[1, 0]], [[0.9, 0.1]], y_train=y_train, k=1, edges=[1])
    >>> display = LabelFrequencyDisplay(bins=bins, k=1)
    >>> display.bin_names()
    ['0-1', '> 1']
    """

    def __init__(self, *, bins, k, name=None):
        self.bins = bins
        self.k = k
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, y_train, k=5, edges=(10, 100), name=None, ax=None, **kwargs
    ):
        """Rank the labels of X and draw precision and recall by frequency.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict_topk``, ``decision_function`` or ``predict_proba``; a `Pipeline` will
            do.
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Test rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        y_train : {array-like, sparse matrix} of shape (n_train, n_labels)
            Training labels, from which frequencies are counted.
        k : int, default=5
            Number of predictions that count.
        edges : array-like of int, default=(10, 100)
            Largest training frequency of each group but the last.
        name : str, default=None
            Title; None takes the class of the estimator.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.bar``.

        Returns
        -------
        display : LabelFrequencyDisplay
            The display, drawn.
        """
        y = check_label_matrix(y)
        y_pred = predict_ranking(estimator, X, min(check_positive_int(k, "k"), y.shape[1]))
        name = name_of_estimator(estimator, name)
        return cls.from_predictions(
            y, y_pred, y_train=y_train, k=k, edges=edges, name=name, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, *, y_train, k=5, edges=(10, 100), name=None, ax=None, **kwargs
    ):
        """Draw precision and recall of given predictions by frequency.

        Parameters
        ----------
        y_true : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
            Ranked pair or scores, see :func:`precision_at_k`.
        y_train : {array-like, sparse matrix} of shape (n_train, n_labels)
            Training labels, from which frequencies are counted.
        k : int, default=5
            Number of predictions that count.
        edges : array-like of int, default=(10, 100)
            Largest training frequency of each group but the last.
        name : str, default=None
            Title.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.bar``.

        Returns
        -------
        display : LabelFrequencyDisplay
            The display, drawn.
        """
        bins = precision_recall_by_frequency(y_true, y_pred, y_train=y_train, k=k, edges=edges)
        return cls(bins=bins, k=k, name=name).plot(ax=ax, **kwargs)

    def bin_names(self):
        """Write out the range of training frequencies of each group.

        Returns
        -------
        names : list of str
            Rare labels first.
        """
        lowest = self.bins.lowest
        ranges = [f"{low}-{high - 1}" if high - 1 > low else f"{low}" for low, high in pairwise(lowest)]
        return [*ranges, f"> {lowest[-1] - 1}"]

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw a pair of bars for each group.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        name : str, default=None
            Title; None takes that of the display.
        **kwargs : dict
            Passed to ``ax.bar``, for both bars of a pair.

        Returns
        -------
        display : LabelFrequencyDisplay
            The display, drawn.
        """
        ax = check_axes(ax)
        name = self.name if name is None else name
        positions = np.arange(len(self.bins.lowest))
        style = {"width": 0.38, **kwargs}
        half = np.asarray(style["width"]) / 2
        self.precision_bars_ = ax.bar(
            positions - half, self.bins.precision, **{"label": f"precision at {self.k}", **style}
        )
        self.recall_bars_ = ax.bar(
            positions + half, self.bins.recall, **{"label": f"recall at {self.k}", **style}
        )
        for bars in (self.precision_bars_, self.recall_bars_):
            ax.bar_label(bars, fmt="%.2f", padding=2, fontsize="small")
        ticks = [
            f"{range_}\n{n_labels:,} labels\n{n_true:,} true pairs"
            for range_, n_labels, n_true in zip(
                self.bin_names(), self.bins.n_labels, self.bins.n_true, strict=True
            )
        ]
        ax.set_xticks(positions, ticks)
        highest = max(self.bins.precision.max(), self.bins.recall.max())
        ax.set(xlabel="Training rows of a label", ylabel="Share", ylim=(0, min(1.3 * highest + 0.05, 1.2)))
        if name is not None:
            ax.set_title(name)
        ax.legend(loc="upper left", ncols=2)
        self.ax_, self.figure_ = ax, ax.figure
        return self
