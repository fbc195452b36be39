"""Reliability curve of the k best labels."""

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.metrics._calibration import calibration_curve_at_k, expected_calibration_error
from sklearn_xmr.metrics._scorer import label_probabilities, predict_ranking
from sklearn_xmr.metrics._topk import topk
from sklearn_xmr.utils._plotting import add_legend, check_axes, name_of_estimator
from sklearn_xmr.utils._sparse_entries import contains_entries
from sklearn_xmr.utils._validation import check_label_matrix, check_positive_int, to_read_again


class ReliabilityDisplay:
    """Share of true labels against predicted probability, for the k best labels of each row.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`. A calibrated model lies on the
    diagonal; below it, the model is too sure of itself.

    Parameters
    ----------
    curve : CalibrationCurve
        As :func:`calibration_curve_at_k` returns it.
    ece : float
        Expected calibration error, shown in the legend.
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
    expected_calibration_error : The mean distance from the diagonal.
    sklearn.calibration.CalibrationDisplay : For one binary target.

    Examples
    --------
    >>> from sklearn_xmr.metrics import ReliabilityDisplay, calibration_curve_at_k
    >>> curve = calibration_curve_at_k([[1, 0], [0, 1]], [[0.9, 0.2], [0.6, 0.7]], k=2, n_bins=2)
    >>> display = ReliabilityDisplay(curve=curve, ece=0.15, name="mine")
    >>> display.curve.prob_true.tolist()
    [0.0, 1.0]
    """

    def __init__(self, *, curve, ece, name=None):
        self.curve = curve
        self.ece = ece
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, k=5, n_bins=15, strategy="quantile", name=None, ax=None, **kwargs
    ):
        """Estimate the probabilities of X and draw their reliability.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict_proba``; a `Pipeline` will do. Which labels are the best ones says its
            ``predict_topk``, where it has that.
        X : array-like, sparse matrix or list of texts, of n_samples rows
            Test rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        k : int, default=5
            Number of labels of each row that count.
        n_bins : int, default=15
            Number of bins.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equally many predictions or of equal width.
        name : str, default=None
            Name in the legend; None takes the class of the estimator.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : ReliabilityDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator has no ``predict_proba``.
        """
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"estimator must have predict_proba, which {type(estimator).__name__} has not; "
                "CalibratedXMRClassifier turns scores into probabilities."
            )
        y = check_label_matrix(y)
        y_proba = _ranked_probabilities(estimator, X, min(check_positive_int(k, "k"), y.shape[1]))
        name = name_of_estimator(estimator, name)
        return cls.from_predictions(
            y, y_proba, k=k, n_bins=n_bins, strategy=strategy, name=name, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls, y_true, y_proba, *, k=5, n_bins=15, strategy="quantile", name=None, ax=None, **kwargs
    ):
        """Draw the reliability of given probabilities.

        Parameters
        ----------
        y_true : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels.
        y_proba : tuple (labels, scores) or {array-like, sparse matrix, sparse array}
            Probabilities as a ranked pair or a matrix, see :func:`calibration_curve_at_k`.
        k : int, default=5
            Number of labels of each row that count.
        n_bins : int, default=15
            Number of bins.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins of equally many predictions or of equal width.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : ReliabilityDisplay
            The display, drawn.
        """
        binning = {"k": k, "n_bins": n_bins, "strategy": strategy}
        curve = calibration_curve_at_k(y_true, y_proba, **binning)
        ece = expected_calibration_error(y_true, y_proba, **binning)
        return cls(curve=curve, ece=ece, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve and, once on the axes, the diagonal.

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
        display : ReliabilityDisplay
            The display, drawn.
        """
        ax = check_axes(ax)
        name = self.name if name is None else name
        label = f"ECE = {self.ece:.3f}" if name is None else f"{name} (ECE = {self.ece:.3f})"
        diagonal = "Perfectly calibrated"
        if diagonal not in ax.get_legend_handles_labels()[1]:
            ax.plot([0, 1], [0, 1], "k:", label=diagonal)
        style = {"marker": "o", "label": label, **kwargs}
        (self.line_,) = ax.plot(self.curve.prob_pred, self.curve.prob_true, **style)
        ax.set(
            xlabel="Mean predicted probability", ylabel="Share of true labels", aspect="equal",
            xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
        )  # fmt: skip
        ax.grid(alpha=0.3)
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _ranked_probabilities(estimator, X, k):
    """The k best labels of each row and their probabilities.

    Probabilities may be equal where ``predict_topk`` tells labels apart, and these are then what it says.
    """
    X = to_read_again(X)
    ranking = predict_ranking(estimator, X, k, want_probabilities=True)
    if not isinstance(ranking, tuple):
        return topk(ranking, k)
    labels, probabilities = ranking[0], label_probabilities(estimator, X)
    rows = np.arange(labels.shape[0])[:, None]
    found = labels >= 0
    if sp.issparse(probabilities):
        probabilities = sp.csr_array(probabilities)
        found = contains_entries(probabilities, rows, labels)
    values = probabilities[rows, np.maximum(labels, 0)]
    values = values.toarray() if sp.issparse(values) else values
    return np.where(found, labels, -1), np.where(found, values, -np.inf)
