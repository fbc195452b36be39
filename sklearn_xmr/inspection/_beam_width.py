"""What a wider beam buys, and what it costs."""

import time
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sklearn_xmr.inspection._names import check_classifier
from sklearn_xmr.metrics import precision_at_k
from sklearn_xmr.utils._plotting import add_legend, check_axes, name_of_estimator
from sklearn_xmr.utils._targets import check_truth
from sklearn_xmr.utils._validation import check_positive_int, check_positive_ints

DEFAULT_WIDTHS = (1, 2, 5, 10, 20, 50)


class BeamWidthCurve(NamedTuple):
    """Precision and time by beam width.

    Attributes
    ----------
    beam_width : ndarray of shape (n_widths,)
        As asked for.
    precision : ndarray of shape (n_widths,)
        Precision at k.
    seconds_per_row : ndarray of shape (n_widths,)
        Median time of ranking all rows at once, divided by their number.
    """

    beam_width: np.ndarray
    precision: np.ndarray
    seconds_per_row: np.ndarray


def beam_width_curve(classifier, X, y, *, beam_widths=DEFAULT_WIDTHS, k=5, n_repeats=3):
    """Measure precision at k and prediction time for several beam widths.

    The classifier is fitted once and not changed: the beam width is an argument of prediction.

    Parameters
    ----------
    classifier : XRLinearClassifier
        Fitted. Of a `Pipeline`, pass ``pipe[-1]`` and ``pipe[:-1].transform(X)``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Test rows.
    y : {array-like, sparse matrix} of shape (n_samples, n_labels)
        True labels, as an indicator.
    beam_widths : array-like of int, default=(1, 2, 5, 10, 20, 50)
        Widths to try.
    k : int, default=5
        Number of predictions that count.
    n_repeats : int, default=3
        Timed runs of each width, of which the median counts.

    Returns
    -------
    curve : BeamWidthCurve
        Named tuple of the arrays beam_width, precision and seconds_per_row.

    Raises
    ------
    TypeError
        If the classifier is not one of this library, or a width is not an integer.
    ValueError
        If a width is below 1, there is none, or X and y do not match.

    See Also
    --------
    BeamWidthDisplay : The curve drawn.

    Examples
    --------
    >>> from sklearn_xmr import HierarchicalKMeans, XRLinearClassifier
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> from sklearn_xmr.inspection import beam_width_curve
    >>> X, Y = make_xmc_classification(200, 100, 50, random_state=0)
    >>> indexer = HierarchicalKMeans(branching_factor=4, max_leaf_size=5)
    >>> classifier = XRLinearClassifier(indexer=indexer, random_state=0).fit(X, Y)
    >>> curve = beam_width_curve(classifier, X, Y, beam_widths=[1, 10], n_repeats=1)
    >>> bool(curve.precision[0] < curve.precision[1])
    True
    """
    check_classifier(classifier)
    widths = check_positive_ints(beam_widths, "beam_widths")
    k, n_repeats = check_positive_int(k, "k"), check_positive_int(n_repeats, "n_repeats")
    n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
    y = check_truth(y, n_samples, classifier.classes_.size)
    X = X.tocsr() if sp.issparse(X) else X  # other formats do not all give their first row
    classifier.predict_topk(X[:1], k=k)  # checks X, and starts threads
    rankings, seconds = [None] * len(widths), np.empty((n_repeats, len(widths)))
    for repeat in range(n_repeats):  # widths in turn, so that a busy moment of the machine meets all
        for i, width in enumerate(widths):
            start = time.perf_counter()
            rankings[i] = classifier.predict_topk(X, k=k, beam_width=width)
            seconds[repeat, i] = time.perf_counter() - start
    precision = np.array([precision_at_k(y, ranked, k=k) for ranked in rankings])
    return BeamWidthCurve(np.array(widths), precision, np.median(seconds, axis=0) / y.shape[0])


class BeamWidthDisplay:
    """Precision at k against prediction time, a point for each beam width.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    curve : BeamWidthCurve
        As :func:`beam_width_curve` returns it.
    k : int
        Number of predictions that count.
    name : str, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    texts_ : list of matplotlib Annotation
        The beam width of each point, where time is on the axis.
    ax_ : matplotlib Axes
        What they are drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    beam_width_curve : The measurement.

    Examples
    --------
    >>> from sklearn_xmr.inspection import BeamWidthDisplay
    >>> from sklearn_xmr.inspection import beam_width_curve
    >>> from sklearn_xmr import XRLinearClassifier
    >>> from sklearn_xmr.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(200, 100, 50, random_state=0)
    >>> classifier = XRLinearClassifier(random_state=0).fit(X, Y)
    >>> display = BeamWidthDisplay(curve=beam_width_curve(classifier, X, Y, beam_widths=[1, 2]), k=5)
    >>> display.curve.beam_width.tolist()
    [1, 2]
    """

    def __init__(self, *, curve, k, name=None):
        self.curve = curve
        self.k = k
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, beam_widths=DEFAULT_WIDTHS, k=5, n_repeats=3, x="time", name=None,
        ax=None, **kwargs,
    ):  # fmt: skip
        """Measure and draw.

        Parameters
        ----------
        estimator : XRLinearClassifier
            Fitted. Of a `Pipeline`, pass ``pipe[-1]`` and ``pipe[:-1].transform(X)``.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test rows.
        y : {array-like, sparse matrix} of shape (n_samples, n_labels)
            True labels, as an indicator.
        beam_widths : array-like of int, default=(1, 2, 5, 10, 20, 50)
            Widths to try.
        k : int, default=5
            Number of predictions that count.
        n_repeats : int, default=3
            Timed runs of each width, of which the median counts.
        x : {"time", "beam_width"}, default="time"
            What the horizontal axis shows.
        name : str, default=None
            Name in the legend; None takes the class of the estimator.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : BeamWidthDisplay
            The display, drawn.
        """
        curve = beam_width_curve(estimator, X, y, beam_widths=beam_widths, k=k, n_repeats=n_repeats)
        name = name_of_estimator(estimator, name)
        return cls(curve=curve, k=k, name=name).plot(ax=ax, x=x, **kwargs)

    def plot(self, ax=None, *, x="time", name=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        x : {"time", "beam_width"}, default="time"
            What the horizontal axis shows. With time, each point is annotated by its beam width.
        name : str, default=None
            Name in the legend; None takes that of the display.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : BeamWidthDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If x is neither.
        """
        if x not in ("time", "beam_width"):
            raise ValueError(f"x must be 'time' or 'beam_width', got {x!r}.")
        ax = check_axes(ax)
        name = self.name if name is None else name
        across = self.curve.beam_width if x == "beam_width" else 1e6 * self.curve.seconds_per_row
        style = {"marker": "o", "label": name, **kwargs}
        (self.line_,) = ax.plot(across, self.curve.precision, **style)
        self.texts_ = []
        if x == "time":
            self.texts_ = [
                ax.annotate(
                    f"{width}", (along, high), xytext=(5, -3), textcoords="offset points", va="top",
                    fontsize="small", color=self.line_.get_color(),
                )
                for width, along, high in zip(
                    self.curve.beam_width, across, self.curve.precision, strict=True
                )
            ]  # fmt: skip
            ax.set(xlabel="Time per row, µs (points: beam width)")
        else:
            ax.set(xlabel="Beam width")
            ax.set_xscale("log")
            ax.set_xticks(across, [f"{width}" for width in across])
            ax.minorticks_off()
        ax.set(ylabel=f"Precision at {self.k}")
        ax.margins(y=0.12)
        ax.grid(alpha=0.3)
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
