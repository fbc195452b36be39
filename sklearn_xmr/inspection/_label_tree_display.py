"""A label tree as a drawing."""

from sklearn_xmr.inspection._describe_tree import describe_tree
from sklearn_xmr.utils._plotting import check_axes

LARGEST_MARKER = 18
INCHES_PER_LINE = 0.32


class LabelTreeDisplay:
    """Drawing of a label tree: the root on the left, a line of text for each node.

    The area of a node's disc is the number of labels below it; beside it stand its strongest features
    or, in a tree without weights, some of its labels. Make it by :meth:`from_estimator`.

    Parameters
    ----------
    description : TreeDescription
        As :func:`describe_tree` returns it.
    name : str, default=None
        Title of the drawing.

    Attributes
    ----------
    nodes_ : matplotlib PathCollection
        The discs.
    lines_ : list of matplotlib Line2D
        The edges.
    texts_ : list of matplotlib Text
        The texts.
    ax_ : matplotlib Axes
        What they are drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    describe_tree : The same as text.

    Examples
    --------
    >>> from sklearn_xmr import LabelTree
    >>> from sklearn_xmr.inspection import LabelTreeDisplay, describe_tree
    >>> tree = LabelTree.from_paths([("law",), ("law",), ("food",)])
    >>> display = LabelTreeDisplay(description=describe_tree(tree))
    >>> len(display.description.nodes)
    3
    """

    def __init__(self, *, description, name=None):
        self.description = description
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, *, max_depth=None, max_children=8, n_labels=3, n_features=3, label_names=None,
        feature_names=None, label_counts=None, name=None, ax=None, **kwargs,
    ):  # fmt: skip
        """Describe a label tree and draw it.

        Parameters
        ----------
        estimator : XRLinearClassifier or LabelTree
            A fitted classifier, or a tree alone, whose nodes then have no features.
        max_depth : int, default=None
            Lowest level drawn. None stops at the leaves.
        max_children : int, default=8
            Children drawn of each node, those with most labels first.
        n_labels : int, default=3
            Labels named for each node of a tree without weights.
        n_features : int, default=3
            Features named for each node.
        label_names : array-like of str of shape (n_labels,), default=None
            Names of the labels.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features.
        label_counts : array-like of shape (n_labels,) or (1, n_labels), default=None
            Frequency of each label: the most frequent ones are named.
        name : str, default=None
            Title.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure as high as the tree needs.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        display : LabelTreeDisplay
            The display, drawn.
        """
        description = describe_tree(
            estimator, max_depth=max_depth, max_children=max_children, n_labels=n_labels,
            n_features=n_features, label_names=label_names, feature_names=feature_names,
            label_counts=label_counts,
        )  # fmt: skip
        return cls(description=description, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the tree.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure as high as the tree needs.
        name : str, default=None
            Title; None takes that of the display.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        display : LabelTreeDisplay
            The display, drawn.
        """
        nodes = self.description.nodes
        own_figure = ax is None
        ax = check_axes(ax)
        if own_figure:
            ax.figure.set_size_inches(8, max(2.5, INCHES_PER_LINE * (len(nodes) + 2)))
        # a line of text per node, children below their parent, as in a table of contents
        across = [node.level for node in nodes]
        down = list(range(len(nodes)))
        line_of = {(node.level, node.node): i for i, node in enumerate(nodes)}
        self.lines_ = []
        for i, node in enumerate(nodes):
            if node.parent is not None:
                above = line_of[node.level - 1, node.parent]
                corner = ([across[above], across[above], across[i]], [down[above], down[i], down[i]])
                self.lines_ += ax.plot(*corner, color="0.7", linewidth=1, zorder=1)
        largest = max(node.n_labels for node in nodes)
        sizes = [max(LARGEST_MARKER**2 * node.n_labels / largest, 12) for node in nodes]
        self.nodes_ = ax.scatter(across, down, **{"s": sizes, "zorder": 2, **kwargs})
        has_features = any(node.features for node in nodes)
        self.texts_ = [
            ax.annotate(
                _text(node, has_features), (node.level, line), xytext=(13, 0), textcoords="offset points",
                va="center", fontsize="small", annotation_clip=False, parse_math=False,
            )
            for node, line in zip(nodes, down, strict=True)
        ]  # fmt: skip
        ax.set(xlim=(-0.15, max(across) + 1.6), ylim=(len(nodes) - 0.3, -0.8))
        ax.set_axis_off()
        name = self.name if name is None else name
        if name is not None:
            ax.set_title(name)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _text(node, has_features):
    words = ", ".join(node.features if has_features else node.labels)
    more = f"  (+ {node.n_hidden_children} more below)" if node.n_hidden_children else ""
    plural = "" if node.n_labels == 1 else "s"
    return f"{node.n_labels:,} label{plural}{': ' if words else ''}{words}{more}"
