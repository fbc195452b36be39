"""Precision against k."""

import numpy as np

from sklearn_xmr.metrics._ranking import precision_at_k
from sklearn_xmr.metrics._scorer import predict_ranking
from sklearn_xmr.utils._optional import import_optional
from sklearn_xmr.utils._plotting import add_legend, check_axes, name_of_estimator
from sklearn_xmr.utils._validation import check_label_matrix, check_positive_ints


class PrecisionAtKDisplay:
    """Precision at k against k.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    k : array-like of int of shape (n_points,)
        Numbers of predictions that count.
    precision : array-like of shape (n_points,)
        Precision at each of them.
    name : str, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        What it is drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    precision_at_k : The metric.

    Examples
    --------
    >>> from sklearn_xmr.metrics import PrecisionAtKDisplay
    >>> display = PrecisionAtKDisplay(k=[1, 3, 5], precision=[0.9, 0.7, 0.5], name="mine")
    >>> display.k.tolist()
    [1, 3, 5]
    """

    def __init__(self, *, k, precision, name=None):
        self.k = np.asarray(k)
        self.precision = np.asarray(precision)
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, k=(1, 2, 3, 4, 5), sample_weight=None, name=None, ax=None, **kwargs
    ):
        """Rank the labels of X and draw the precision against k.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict_topk``, ``decision_function`` or ``predict_proba``; a `Pipeline` will
            do.
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Test rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        k : array-like of int, default=(1, 2, 3, 4, 5)
            Numbers of predictions that count.
        sample_weight : array-like of shape (n_samples,), default=None
            Row weights.
        name : str, default=None
            Name in the legend; None takes the class of the estimator.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : PrecisionAtKDisplay
            The display, drawn.
        """
        y, k = check_label_matrix(y), check_positive_ints(k, "k")
        y_pred = predict_ranking(estimator, X, min(max(k), y.shape[1]))
        name = name_of_estimator(estimator, name)
        return cls.from_predictions(y, y_pred, k=k, sample_weight=sample_weight, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, *, k=(1, 2, 3, 4, 5), sample_weight=None, name=None, ax=None, **kwargs
    ):
        """Draw the precision of given predictions against k.

        Parameters
        ----------
        y_true : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        y_pred : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
            Ranked pair or scores, see :func:`precision_at_k`.
        k : array-like of int, default=(1, 2, 3, 4, 5)
            Numbers of predictions that count.
        sample_weight : array-like of shape (n_samples,), default=None
            Row weights.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : PrecisionAtKDisplay
            The display, drawn.
        """
        k = check_positive_ints(k, "k")
        precision = [precision_at_k(y_true, y_pred, k=each, sample_weight=sample_weight) for each in k]
        return cls(k=k, precision=precision, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        name : str, default=None
            Name in the legend; None takes that of the display.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : PrecisionAtKDisplay
            The display, drawn.
        """
        ax = check_axes(ax)
        name = self.name if name is None else name
        (self.line_,) = ax.plot(self.k, self.precision, **{"marker": "o", "label": name, **kwargs})
        ax.set(xlabel="k", ylabel="Precision at k", ylim=(0, 1.02))
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, import_optional("matplotlib.ticker").MaxNLocator):
            locator.set_params(integer=True)  # others, such as of a log scale, know no such parameter
        ax.grid(alpha=0.3)
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
