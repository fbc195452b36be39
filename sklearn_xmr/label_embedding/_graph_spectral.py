"""GraphSpectralEmbedding: spectral co-clustering coordinates of the label graph."""

import numbers

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array

from sklearn_xmr.label_embedding._base import BaseLabelEmbedding, label_indicator
from sklearn_xmr.utils._sklearn_private import Interval
from sklearn_xmr.utils._validation import check_sparse_structure

DEFAULT_N_DIMS = 24
# Up to this many samples or labels a dense eigenproblem is as fast as an iterative one.
MAX_DENSE_SIZE = 128
# Singular values are found through those of the Gram matrix, so below the square root of the precision
# they cannot be told from zero. The largest is 1.
ZERO_SINGULAR_VALUE = 1e-6
# Rows are stored in single precision; where singular values lie closer together than this the vectors
# are not determined anyway, and the solver would spend most of its time on telling them apart.
SOLVER_TOLERANCE = 1e-5
# Entries of singular vectors below this are taken for zero.
ROUNDING = 1e-9


class GraphSpectralEmbedding(BaseLabelEmbedding):
    r"""Embed labels by spectral co-clustering of instances and labels.

    The indicator matrix, or a given label graph, is taken as the adjacency matrix A of a bipartite graph.
    With the degrees :math:`D_1 = \mathrm{diag}(A\mathbf{1})` and
    :math:`D_2 = \mathrm{diag}(A^\top\mathbf{1})`, zeros replaced by 1, and the singular value
    decomposition :math:`D_1^{-1/2} A D_2^{-1/2} = U \Sigma V^\top`, the embedding is
    :math:`D_2^{-1/2} V` for the ``n_dims`` largest singular values after the trivial pair, its rows
    scaled to unit length. Labels that share instances, directly or through other labels, come close.
    No features are needed.

    Read more in the :ref:`User Guide <label_embedding>`.

    Parameters
    ----------
    n_dims : int, default=None
        Number of dimensions, smaller than the number of labels and than the number of instances. None
        takes 24, or as many as there can be if that is less.
    graph : {array-like, sparse matrix} of shape (n_labels, n_labels), default=None
        Symmetric, non-negative weights between labels, used in place of y: relations known beforehand,
        co-purchases, a taxonomy. y may then be left out.
    random_state : int, RandomState instance or None, default=None
        Determines the starting vector of the iterative solver, and the rotation of the dimensions that
        tell connected components apart.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_labels, n_dims), dtype float32
        One row per label, of unit l2 norm; zero for a label without an edge. In each singular vector the
        entry of largest absolute value is positive.
    has_embedding_ : ndarray of shape (n_labels,), dtype bool
        False for the zero rows.

    See Also
    --------
    PII : The indicator matrix itself; sparse and as wide as there are instances.
    PIFA : Sums the features of the instances that carry a label.

    Notes
    -----
    The trivial pair, :math:`D_1^{1/2}\mathbf{1}` and :math:`D_2^{1/2}\mathbf{1}`, has singular value 1 and
    is the one dropped. A graph with c connected components has c singular values of 1; the c - 1 dimensions
    left of them, in a rotation that `random_state` determines, tell the components apart and nothing else.
    Where most labels have few instances, c may exceed `n_dims`; then prefer another embedding.

    Dimensions whose singular value is zero hold no information and are set to zero. So labels that all
    have the same instances get zero rows.

    References
    ----------
    .. [1] I. S. Dhillon, "Co-clustering documents and words using bipartite spectral graph partitioning",
       KDD 2001, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_xmr import GraphSpectralEmbedding
    >>> Y = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    >>> GraphSpectralEmbedding(n_dims=1).fit_transform(None, Y).ravel()
    array([-1., -1.,  1.,  1.], dtype=float32)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_dims": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "graph": ["array-like", "sparse matrix", None],
        "random_state": ["random_state"],
    }

    def __init__(self, n_dims=None, *, graph=None, random_state=None):
        self.n_dims = n_dims
        self.graph = graph
        self.random_state = random_state

    def _embed(self, X, y):
        A = self._adjacency(X, y)
        n_dims = self._check_n_dims(A.shape)
        V = _right_singular_vectors(A, n_dims, check_random_state(self.random_state))
        largest = np.argmax(np.abs(V), axis=0)
        V *= np.where(V[largest, np.arange(n_dims)] < 0, -1, 1)
        V[np.abs(V) < ROUNDING] = 0  # else a label at the origin becomes a unit row of noise
        V *= _inverse_sqrt(A.sum(axis=0))[:, np.newaxis]
        return V.astype(np.float32), {}

    def _adjacency(self, X, y):
        name = type(self).__name__
        if self.graph is None:
            return label_indicator(X, y, name=name).astype(np.float64)
        graph = _check_graph(self.graph)
        if y is not None:
            n_labels = label_indicator(X, y, name=name, need_positive=False).shape[1]
            if graph.shape[0] != n_labels:
                raise ValueError(
                    f"graph must have one row per label, got shape {graph.shape} and {n_labels} label(s) "
                    "in y."
                )
        return graph

    def _check_n_dims(self, shape):
        most = min(shape) - 1
        if most < 1:
            raise ValueError(
                f"{type(self).__name__} needs at least two samples and two labels, got "
                f"n_samples={shape[0]} and n_labels={shape[1]}."
            )
        if self.n_dims is None:
            return min(DEFAULT_N_DIMS, most)
        if self.n_dims > most:
            raise ValueError(
                f"n_dims must be smaller than the number of samples and of labels, got n_dims="
                f"{self.n_dims} for a matrix of shape {tuple(shape)}; n_dims=None takes as many as there "
                f"can be, up to {DEFAULT_N_DIMS}."
            )
        return int(self.n_dims)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # X is only counted, so it may be anything, texts included
        tags.target_tags.required = self.graph is None
        return tags


def _check_graph(graph):
    check_sparse_structure(graph, "graph")
    graph = sp.csr_array(
        check_array(graph, accept_sparse="csr", dtype=np.float64, copy=True, input_name="graph")
    )
    if graph.shape[0] != graph.shape[1]:
        raise ValueError(f"graph must be square, got shape {graph.shape}.")
    graph.sum_duplicates()
    if graph.min() < 0:
        raise ValueError(f"graph must not have negative weights, got {graph.min():g}.")
    if not graph.sum() > 0:
        raise ValueError(f"graph must have at least one edge, got none in shape {graph.shape}.")
    asymmetry = abs(graph - graph.T).max()
    if asymmetry > 1e-6 * graph.max():
        raise ValueError(f"graph must be symmetric, got weights that differ by up to {asymmetry:g}.")
    graph.data /= graph.data.max()  # the scale does not matter; no sum or product leaves the range
    return graph


def _inverse_sqrt(degrees):
    return 1 / np.sqrt(np.where(degrees > 0, degrees, 1))


def _right_singular_vectors(A, n_dims, random_state):
    """Leading right singular vectors of the scaled adjacency matrix after the trivial one.

    Parameters
    ----------
    A : csr_array of shape (n_rows, n_labels), dtype float64
        Adjacency matrix, without scaling.
    n_dims : int
        Number of vectors, smaller than both dimensions.
    random_state : RandomState
        Source of the rotation of the first vectors and of the solver's starting vector.

    Returns
    -------
    V : ndarray of shape (n_labels, n_dims)
        By descending singular value; zero where the singular value or the degree of the label is.
    """
    # The c components span the vectors of singular value 1. Iterative solvers are slow and not
    # reproducible on such a multiple value, so these vectors are written down.
    rows, labels, shares = _component_vectors(A)
    n_between = min(n_dims, shares.size - 1)
    basis = np.column_stack([np.sqrt(shares), random_state.standard_normal((shares.size, n_between))])
    between = labels @ np.linalg.qr(basis)[0][:, 1:]
    if n_between == n_dims:
        return between
    scaled = sp.diags_array(_inverse_sqrt(A.sum(axis=1))) @ A @ sp.diags_array(_inverse_sqrt(A.sum(axis=0)))
    s, within = _leading_pairs(sp.csr_array(scaled), rows, labels, n_dims - n_between, random_state)
    within = np.where(s > ZERO_SINGULAR_VALUE, within, 0)[:, np.argsort(-s, kind="stable")]
    return np.hstack([between, within])


def _component_vectors(A):
    """Orthonormal singular vectors of value 1, one pair per component, and the share of its edge weight."""
    n_labels = A.shape[1]
    # labels first: components are numbered by their first label, whatever the order of the rows
    _, component = connected_components(sp.block_array([[None, A.T], [A, None]]), directed=False)
    weights = np.bincount(component[:n_labels], weights=A.sum(axis=0), minlength=component.max() + 1)
    number = np.cumsum(weights > 0) - 1  # isolated rows and labels are components without weight

    def vectors(degrees, component):
        linked = np.flatnonzero(degrees > 0)
        component = component[linked]
        values = np.sqrt(degrees[linked] / weights[component])
        return sp.csr_array((values, (linked, number[component])), shape=(degrees.size, number[-1] + 1))

    return (
        vectors(A.sum(axis=1), component[n_labels:]),
        vectors(A.sum(axis=0), component[:n_labels]),
        weights[weights > 0] / weights.sum(),
    )


def _leading_pairs(A, rows, labels, k, random_state):
    """The k largest singular values of A - rows @ labels.T, and the right vectors, in any order."""

    def product(x):
        return A @ x - rows @ (labels.T @ x)

    def transposed_product(x):
        return A.T @ x - labels @ (rows.T @ x)

    size = min(A.shape)
    if size <= max(MAX_DENSE_SIZE, 2 * k):
        wide = A.shape[0] < A.shape[1]
        gram = A @ A.T - rows @ rows.T if wide else A.T @ A - labels @ labels.T
        squares, V = scipy.linalg.eigh(gram.toarray(), subset_by_index=[size - k, size - 1])
        s = np.sqrt(np.maximum(squares, 0))
        return s, transposed_product(V) / np.maximum(s, ZERO_SINGULAR_VALUE) if wide else V
    operator = LinearOperator(
        A.shape, product, transposed_product, matmat=product, rmatmat=transposed_product, dtype=A.dtype
    )
    _, s, Vt = svds(
        operator,
        k=k,
        ncv=min(size, max(20, 4 * k)),  # wider than the default: label graphs have crowded spectra
        tol=SOLVER_TOLERANCE,
        v0=random_state.uniform(-1, 1, size),
        solver="arpack",
        return_singular_vectors="vh",
    )
    return s, Vt.T
