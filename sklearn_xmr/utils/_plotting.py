"""What displays share."""

from sklearn_xmr.utils._optional import import_optional


def check_axes(ax):
    """The axes to draw on, new ones where `ax` is None.

    Parameters
    ----------
    ax : matplotlib Axes or None

    Returns
    -------
    ax : matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is missing; says how to install it.
    """
    pyplot = import_optional("matplotlib.pyplot")
    return pyplot.subplots(layout="constrained")[1] if ax is None else ax


def add_legend(ax):
    """A legend, if anything drawn has a name."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def name_of_estimator(estimator, name):
    """The name given, or that of the class; of a Pipeline, the class of its last step."""
    if name is not None:
        return name
    return type(estimator[-1] if hasattr(estimator, "steps") else estimator).__name__
