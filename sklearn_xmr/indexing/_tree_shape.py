"""The shape of a balanced tree: how many nodes and how large, whatever the label vectors are."""

import numpy as np

from sklearn_xmr._label_tree import LabelTree


def binary_depth(n_labels, max_leaf_size):
    """Fewest halvings after which no leaf exceeds `max_leaf_size` (at least 2); 0 for a flat tree.

    As ``2 ** (depth - 1) * max_leaf_size < n_labels``, there are fewer leaves than labels.
    """
    return max(0, int(-(-n_labels // max_leaf_size) - 1).bit_length())


def halve(n_members, depth):
    """Boundaries of the leaves and sizes of the inner nodes when ranges are halved `depth` times.

    Returns
    -------
    leaf_ptr : ndarray of shape (2 ** depth + 1,), dtype int64
        A range from s to e is cut at (s + e) // 2, so sizes of a layer differ by at most one.
    node_sizes : ndarray of shape (2 ** depth - 1,), dtype int64
        Node by node from the root down.
    """
    bounds = np.array([0, n_members], dtype=np.int64)
    node_sizes = []
    for _ in range(depth):
        node_sizes.append(np.diff(bounds))
        halved = np.empty(2 * bounds.size - 1, dtype=np.int64)
        halved[::2] = bounds
        halved[1::2] = (bounds[:-1] + bounds[1:]) // 2
        bounds = halved
    return bounds, np.concatenate(node_sizes)


def draw_seeds(node_sizes, n_init, random_state):
    """Two distinct members for each node and start, as positions, node by node from the root down.

    Returns
    -------
    seeds : ndarray of shape (n_nodes, n_init, 2), dtype int64
    """
    sizes = np.repeat(node_sizes[:, None], n_init, axis=1)
    first = random_state.randint(0, sizes)
    second = (first + random_state.randint(1, sizes)) % sizes
    return np.stack([first, second], axis=2).astype(np.int64)


def smallest_leaves(leaf_sizes, n_more):
    """Leaves that `n_more` labels go to, one by one, each to the leaf that is smallest by then.

    `leaf_sizes` differ by at most one; ties go to the smaller leaf id.
    """
    short = np.flatnonzero(leaf_sizes < leaf_sizes.max())
    n_rounds = -(-max(0, n_more - short.size) // leaf_sizes.size)
    return np.concatenate([short, np.tile(np.arange(leaf_sizes.size), n_rounds)])[:n_more]


def fan_outs(depth, branching_factor=None):
    """Fan-outs of the wide levels, root first, that `depth` binary levels are collapsed into.

    As few levels as `branching_factor` allows, with the binary levels spread evenly over them:
    9 binary levels at 16 children a node become 8 * 8 * 8 and not 2 * 16 * 16. What does not divide
    evenly goes to the top. None is 128 where that makes a single level, else 64.
    """
    if branching_factor is None:
        branching_factor = 128 if depth <= 7 else 64
    most = int(branching_factor).bit_length() - 1  # NumPy's integers have no such method
    n_levels = -(-depth // most)
    return [2 ** (depth // n_levels + (t < depth % n_levels)) for t in range(n_levels)]


def wide_tree(leaves, depth, branching_factor):
    """LabelTree over the ``2 ** depth`` leaves; ``leaves[l]`` is the leaf of label l."""
    if depth == 0:
        return LabelTree.flat(leaves.size)
    child_ptr, n_nodes = [], 1
    for fan_out in fan_outs(depth, branching_factor):
        child_ptr.append(np.arange(0, n_nodes * fan_out + 1, fan_out))
        n_nodes *= fan_out
    child_ptr.append(np.concatenate([[0], np.cumsum(np.bincount(leaves, minlength=n_nodes))]))
    return LabelTree(child_ptr, np.argsort(leaves, kind="stable"))
