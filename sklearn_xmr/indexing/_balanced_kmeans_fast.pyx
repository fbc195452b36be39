"""Recursive balanced 2-means of label vectors.

Sums of vectors are held in fixed point (int64). Integer addition is exact in any order, so labels that
change sides are moved from one sum to the other without drift, threads may add up in any order, and the
tree is the same for every number of threads.
"""

from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from sklearn_xmr.utils._interrupt cimport Watch, should_stop, start_watch
from sklearn_xmr.utils._openmp_helpers cimport omp_get_thread_num
from sklearn_xmr.utils._ordered_keys cimport key_identifier, pack_key, select_largest


# Fewer stored values than this are walked faster than a second thread wakes up.
cdef int64_t MIN_PARALLEL_NNZ = 1 << 16
# Subtrees that a thread gets on average: more even out, fewer are larger.
cdef int64_t NODES_PER_THREAD = 8
# Most labels per label of a sample.
cdef int64_t MAX_PER_SAMPLED = 16


cdef extern from "../utils/_prefetch.h" nogil:
    void XMR_PREFETCH(const void*) noexcept


# Labels between the one whose row is read and the one whose row is asked for.
cdef int AHEAD = 4
# Label vectors: CSR, or dense rows where `indices` is NULL. Row l counts as factors[l] * data[row l].
cdef struct Rows:
    const int64_t* indptr
    const int32_t* indices
    const float* data
    const double* factors
    int64_t n_columns
    double scale  # of the fixed-point sums


# The binary tree under construction; layer by layer, a layer of n nodes begins at n - 1.
cdef struct Tree:
    const int64_t* leaf_ptr
    int64_t n_leaves
    const int64_t* seeds
    int32_t* members      # in the order of the leaves, as far as these are known
    int32_t* buffer       # parallel to members, as keys are
    uint64_t* keys
    uint8_t* sides        # of each label
    uint8_t* best_sides
    int32_t* n_passes     # of each node


# Working memory of one thread. All zero between nodes; a node with few nonzeros cleans up after itself
# by its list of touched columns, so deep nodes cost no more than their own nonzeros.
cdef struct Scratch:
    float* direction     # (n_columns,)
    int64_t* sums        # (n_columns, 2): sums of the left and of the right half
    int32_t* touched     # (n_columns,)
    uint8_t* seen        # (n_columns,)
    int64_t n_touched


# How a node is halved, see split_labels.
cdef struct Settings:
    bint spherical
    int max_iter
    double tol
    int n_init
    int64_t sample_size
    Watch* watch


cdef inline double project_row(const Rows* rows, int64_t label, const float* direction) noexcept nogil:
    """<direction, row>, in fixed lanes so that the compiler may keep several sums in flight."""
    cdef int64_t p = rows.indptr[label], end = rows.indptr[label + 1], j
    cdef const float* x = rows.data + p
    cdef const int32_t* column
    cdef float lane[8]
    cdef float a = 0, b = 0, c = 0, d = 0
    cdef int64_t n = end - p
    if rows.indices != NULL:
        column = rows.indices + p
        for j in range(0, n - 3, 4):
            a += x[j] * direction[column[j]]
            b += x[j + 1] * direction[column[j + 1]]
            c += x[j + 2] * direction[column[j + 2]]
            d += x[j + 3] * direction[column[j + 3]]
        for j in range(n - n % 4, n):
            a += x[j] * direction[column[j]]
    else:
        memset(lane, 0, sizeof(lane))
        for j in range(0, n - 7, 8):
            lane[0] += x[j] * direction[j]
            lane[1] += x[j + 1] * direction[j + 1]
            lane[2] += x[j + 2] * direction[j + 2]
            lane[3] += x[j + 3] * direction[j + 3]
            lane[4] += x[j + 4] * direction[j + 4]
            lane[5] += x[j + 5] * direction[j + 5]
            lane[6] += x[j + 6] * direction[j + 6]
            lane[7] += x[j + 7] * direction[j + 7]
        for j in range(n - n % 8, n):
            a += x[j] * direction[j]
        a += lane[0] + lane[4]
        b = lane[1] + lane[5]
        c = lane[2] + lane[6]
        d = lane[3] + lane[7]
    return ((a + b) + (c + d)) * rows.factors[label]


cdef inline void prefetch_row(const Rows* rows, int64_t label) noexcept nogil:
    """Ask for the stored values of a row: rows of a node lie anywhere."""
    cdef int64_t p
    for p in range(rows.indptr[label], rows.indptr[label + 1], 16):
        XMR_PREFETCH(rows.data + p)
        if rows.indices != NULL:
            XMR_PREFETCH(rows.indices + p)


cdef void project_members(
    const Rows* rows, const float* direction, const int32_t* members, uint64_t* keys, int64_t begin,
    int64_t end,
) noexcept nogil:
    """Keys whose largest are the members for the left half: smallest projection, then smallest label."""
    cdef int64_t i
    for i in range(begin, end):
        if i + AHEAD < end:
            prefetch_row(rows, members[i + AHEAD])
        keys[i] = pack_key(<float> -project_row(rows, members[i], direction), <uint32_t> members[i])


cdef inline void touch(Scratch* scratch, int64_t column) noexcept nogil:
    """Note a column that is to be cleared."""
    if not scratch.seen[column]:
        scratch.seen[column] = 1
        scratch.touched[scratch.n_touched] = <int32_t> column
        scratch.n_touched += 1


cdef void add_to_direction(
    const Rows* rows, Scratch* scratch, int64_t label, double sign, bint sweep
) noexcept nogil:
    cdef int64_t p, column, first = rows.indptr[label]
    for p in range(first, rows.indptr[label + 1]):
        column = rows.indices[p] if rows.indices != NULL else p - first
        scratch.direction[column] += <float> (sign * rows.factors[label] * rows.data[p])
        if not sweep:
            touch(scratch, column)


cdef int64_t count_changes(
    const uint64_t* keys, const uint8_t* sides, int64_t n, int64_t n_left
) noexcept nogil:
    cdef int64_t i, n_changed = 0
    for i in range(n):
        n_changed += sides[key_identifier(keys[i])] != (i >= n_left)
    return n_changed


cdef void set_sides(const uint64_t* keys, uint8_t* sides, int64_t n, int64_t n_left) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        sides[key_identifier(keys[i])] = i >= n_left


cdef void update_sums(
    const Rows* rows, Scratch* scratch, const uint64_t* keys, uint8_t* sides, int64_t n_left,
    int64_t begin, int64_t end, bint fresh, bint sweep,
) noexcept nogil:
    """Put the labels of keys[begin:end] on their new sides.

    On `fresh` sums every label is added, else only those that changed sides are moved.
    """
    cdef int64_t i, p, first, column, value, label
    cdef uint8_t side
    cdef double factor
    cdef int64_t* sums = scratch.sums
    for i in range(begin, end):
        if fresh and i + AHEAD < end:
            prefetch_row(rows, key_identifier(keys[i + AHEAD]))
        label = key_identifier(keys[i])
        side = i >= n_left
        if not fresh and sides[label] == side:
            continue
        sides[label] = side
        first = rows.indptr[label]
        factor = rows.factors[label] * rows.scale
        for p in range(first, rows.indptr[label + 1]):
            column = rows.indices[p] if rows.indices != NULL else p - first
            value = <int64_t> (rows.data[p] * factor)
            sums[2 * column + side] += value
            if not fresh:
                sums[2 * column + 1 - side] -= value
            elif not sweep:
                touch(scratch, column)


cdef void merge_sums(Scratch* scratch, int64_t n_columns, int n_threads) noexcept nogil:
    """Add the sums of the other threads to those of the first, and clear them."""
    cdef int64_t j
    cdef int t
    for j in prange(2 * n_columns, schedule="static", num_threads=n_threads):
        for t in range(1, n_threads):
            scratch[0].sums[j] += scratch[t].sums[j]
            scratch[t].sums[j] = 0


cdef double update_direction(
    Scratch* scratch, double unit, int64_t n_left, int64_t n_right, bint spherical, bint sweep
) noexcept nogil:
    """Direction from the left to the right centre; return the objective, to be maximised."""
    cdef int64_t i, j
    cdef double left = 0, right = 0, weight_left, weight_right, value
    for i in range(scratch.n_touched):
        j = i if sweep else scratch.touched[i]
        value = scratch.sums[2 * j] * unit
        left += value * value
        value = scratch.sums[2 * j + 1] * unit
        right += value * value
    if spherical:
        left, right = sqrt(left), sqrt(right)
        weight_left = 1 / left if left > 0 else 0
        weight_right = 1 / right if right > 0 else 0
    else:
        weight_left, weight_right = 1.0 / n_left, 1.0 / n_right
        left, right = left * weight_left, right * weight_right
    weight_left, weight_right = weight_left * unit, weight_right * unit
    for i in range(scratch.n_touched):
        j = i if sweep else scratch.touched[i]
        scratch.direction[j] = <float> (
            scratch.sums[2 * j + 1] * weight_right - scratch.sums[2 * j] * weight_left
        )
    return left + right


cdef void clear_sums(Scratch* scratch, int64_t n_columns, bint sweep) noexcept nogil:
    cdef int64_t i, j
    if sweep:
        memset(scratch.sums, 0, 2 * n_columns * sizeof(int64_t))
    else:
        for i in range(scratch.n_touched):
            j = scratch.touched[i]
            scratch.sums[2 * j] = scratch.sums[2 * j + 1] = 0


cdef void clear_direction(Scratch* scratch, int64_t n_columns, bint sweep) noexcept nogil:
    """And the list of touched columns."""
    cdef int64_t i, j
    if sweep:
        memset(scratch.direction, 0, n_columns * sizeof(float))
    else:
        for i in range(scratch.n_touched):
            j = scratch.touched[i]
            scratch.direction[j] = 0
            scratch.seen[j] = 0
    scratch.n_touched = 0


cdef int move_centers(
    const Rows* rows, Scratch* scratch, const int32_t* members, int64_t n, int64_t n_left, uint64_t* keys,
    uint8_t* sides, double mean_nnz, bint sweep, const Settings* settings, int max_iter,
    bint sides_only, int n_threads, double* objective,
) noexcept nogil:
    """Lloyd's algorithm from the direction in `scratch` to the one it ends with; return the passes.

    With `sides_only` the last pass leaves the direction and the objective as they were before it.
    """
    cdef int64_t n_changed, n_blocks = 1
    cdef int n_pass = 0
    cdef int block
    if n_threads > 1 and sweep and n * mean_nnz >= MIN_PARALLEL_NNZ:
        n_blocks = min(n, 16 * n_threads)
    while n_pass < max_iter and not should_stop(settings.watch):
        if n_blocks == 1:
            project_members(rows, scratch.direction, members, keys, 0, n)
        else:
            for block in prange(n_blocks, schedule="dynamic", num_threads=n_threads):
                project_members(
                    rows, scratch.direction, members, keys, block * n // n_blocks,
                    (block + 1) * n // n_blocks,
                )
        select_largest(keys, n, n_left)
        n_pass += 1
        n_changed = n + 1 if n_pass == 1 else count_changes(keys, sides, n, n_left)
        if n_changed <= settings.tol * n:
            break
        if n_pass == max_iter and sides_only:
            set_sides(keys, sides, n, n_left)
            break
        if n_blocks == 1 or n_changed * mean_nnz < MIN_PARALLEL_NNZ:
            update_sums(rows, scratch, keys, sides, n_left, 0, n, n_pass == 1, sweep)
        else:
            for block in prange(n_blocks, schedule="dynamic", num_threads=n_threads):
                update_sums(
                    rows, scratch + omp_get_thread_num(), keys, sides, n_left,
                    block * n // n_blocks, (block + 1) * n // n_blocks, n_pass == 1, sweep,
                )
            merge_sums(scratch, rows.n_columns, n_threads)
        objective[0] = update_direction(
            scratch, 1 / rows.scale, n_left, n - n_left, settings.spherical, sweep
        )
    clear_sums(scratch, rows.n_columns, sweep)
    return n_pass


cdef void split_node(
    const Rows* rows, Scratch* scratch, const Tree* tree, int64_t n_nodes, int64_t node,
    const Settings* settings, int n_threads,
) noexcept nogil:
    """Reorder the members of a node of the layer of n_nodes: the left half first, each half by label."""
    cdef int64_t step = tree.n_leaves // n_nodes, begin = tree.leaf_ptr[node * step]
    cdef int64_t n = tree.leaf_ptr[(node + 1) * step] - begin
    cdef int64_t n_left = tree.leaf_ptr[node * step + step // 2] - begin
    cdef int32_t* members = tree.members + begin
    cdef int32_t* buffer = tree.buffer + begin
    cdef uint64_t* keys = tree.keys + begin
    cdef uint8_t* sides = tree.sides
    cdef const int64_t* seeds = tree.seeds + 2 * settings.n_init * (n_nodes - 1 + node)
    cdef int64_t i, nnz = 0, n_sampled = max(settings.sample_size, n // MAX_PER_SAMPLED)
    cdef bint sweep
    cdef bint sampled = settings.sample_size > 0 and n >= 2 * settings.sample_size
    cdef int start, most = 0, n_after = settings.max_iter
    cdef double objective = 0, best = 0, mean_nnz
    for i in range(n):
        nnz += rows.indptr[members[i] + 1] - rows.indptr[members[i]]
    sweep = nnz >= rows.n_columns
    mean_nnz = <double> nnz / n
    for start in range(settings.n_init):
        add_to_direction(rows, scratch, members[seeds[2 * start]], 1, sweep)
        add_to_direction(rows, scratch, members[seeds[2 * start + 1]], -1, sweep)
        if sweep:
            scratch.n_touched = rows.n_columns
        if sampled:
            for i in range(n_sampled):
                buffer[i] = members[i * n // n_sampled]
            most = max(most, move_centers(
                rows, scratch, buffer, n_sampled, max(1, n_sampled * n_left // n), keys, sides, mean_nnz,
                sweep, settings, settings.max_iter, False, n_threads, &objective,
            ))
            n_after = 1
        most = max(most, move_centers(
            rows, scratch, members, n, n_left, keys, sides, mean_nnz, sweep, settings, n_after,
            settings.n_init == 1, n_threads, &objective,
        ))
        clear_direction(scratch, rows.n_columns, sweep)
        if settings.watch.interrupted:  # sides are of no use
            return
        if settings.n_init > 1 and (start == 0 or objective > best):
            best = objective
            for i in range(n):
                tree.best_sides[members[i]] = sides[members[i]]
    order_halves(members, n, n_left, tree.best_sides if settings.n_init > 1 else sides, buffer)
    tree.n_passes[n_nodes - 1 + node] = most


cdef void split_below(
    const Rows* rows, Scratch* scratch, const Tree* tree, int64_t n_nodes, int64_t node,
    const Settings* settings,
) noexcept nogil:
    """Split a node, and then each half down to the leaves, while its rows are in the cache."""
    if n_nodes == tree.n_leaves or settings.watch.interrupted:
        return
    split_node(rows, scratch, tree, n_nodes, node, settings, 1)
    split_below(rows, scratch, tree, 2 * n_nodes, 2 * node, settings)
    split_below(rows, scratch, tree, 2 * n_nodes, 2 * node + 1, settings)


cdef void order_halves(
    int32_t* members, int64_t n, int64_t n_left, const uint8_t* sides, int32_t* buffer
) noexcept nogil:
    """Stable partition: the order by label survives in each half."""
    cdef int64_t i, left = 0, right = n_left
    for i in range(n):
        if sides[members[i]]:
            buffer[right] = members[i]
            right += 1
        else:
            buffer[left] = members[i]
            left += 1
    memcpy(members, buffer, n * sizeof(int32_t))


def split_labels(
    const int64_t[::1] indptr,
    const int32_t[::1] indices,
    const float[::1] data,
    const double[::1] factors,
    double scale,
    int64_t n_columns,
    const int64_t[::1] leaf_ptr,
    const int64_t[:, :, ::1] seeds,
    bint spherical,
    int max_iter,
    double tol,
    int64_t sample_size,
    int32_t[::1] members,
    int n_threads,
):
    """Halve the members again and again until the leaves are reached.

    A node of n members is halved by Lloyd's algorithm under the constraint of balance: members are
    ordered by (<direction, row>, label), the first half goes left, and the direction becomes the
    difference of the two centres; it starts as the difference of two member rows.

    Parameters
    ----------
    indptr, indices, data : arrays of a CSR matrix of shape (n_labels, n_columns)
        For dense rows `indices` is empty, `data` the flattened matrix and `indptr` steps by n_columns.
    factors : array of shape (n_labels,)
        Row l counts as ``factors[l] * row``.
    scale : float
        Factor of the fixed-point sums, a power of two; the absolute sum over all labels of a column
        times `scale` must stay below 2 ** 63.
    n_columns : int
    leaf_ptr : array of shape (2 ** depth + 1,)
        Leaf k gets the members at ``leaf_ptr[k]`` to ``leaf_ptr[k + 1] - 1``.
    seeds : array of shape (2 ** depth - 1, n_init, 2)
        Positions among the members of the two starting rows, node by node from the root down.
    spherical : bool
        Whether centres are sums of unit length, else means.
    max_iter : int
        Most passes over the members of a node.
    tol : float
        A node is done when a pass would move no more than this share of its members.
    sample_size : int
        A node of at least twice as many members takes its passes on a sample, every n-th member, of this
        size or a sixteenth of the node if that is more, and then one pass on all. 0: no samples.
    members : array of shape (leaf_ptr[-1],)
        Labels in ascending order; on return in the order of the leaves, ascending within each.
    n_threads : int
        Most threads; small problems take one.

    Returns
    -------
    n_passes : ndarray of shape (2 ** depth - 1,), dtype int32
        Passes of each node (of its longest start).
    """
    cdef int64_t n_nodes = 1
    if data.shape[0] < MIN_PARALLEL_NNZ:
        n_threads = 1
    direction = np.zeros((n_threads, n_columns), dtype=np.float32)
    sums = np.zeros((n_threads, n_columns, 2), dtype=np.int64)
    touched = np.empty((n_threads, n_columns), dtype=np.int32)
    seen = np.zeros((n_threads, n_columns), dtype=np.uint8)
    cdef float[:, ::1] direction_view = direction
    cdef int64_t[:, :, ::1] sums_view = sums
    cdef int32_t[:, ::1] touched_view = touched
    cdef uint8_t[:, ::1] seen_view = seen
    cdef uint8_t[::1] scratch_memory = np.zeros(n_threads * sizeof(Scratch), dtype=np.uint8)
    cdef uint64_t[::1] keys = np.empty(members.shape[0], dtype=np.uint64)
    cdef int32_t[::1] buffer = np.empty(members.shape[0], dtype=np.int32)
    cdef uint8_t[:, ::1] sides = np.empty((2, factors.shape[0]), dtype=np.uint8)
    n_passes = np.zeros(leaf_ptr.shape[0] - 2, dtype=np.int32)
    cdef int32_t[::1] n_passes_view = n_passes
    cdef Scratch* scratch = <Scratch*> &scratch_memory[0]
    cdef Rows rows
    cdef Settings settings
    cdef Tree tree
    cdef Watch watch
    cdef list errors = []
    cdef int64_t node
    cdef int t
    rows.indptr = &indptr[0]
    rows.indices = &indices[0] if indices.shape[0] > 0 else NULL
    rows.data = &data[0]
    rows.factors = &factors[0]
    rows.n_columns = n_columns
    rows.scale = scale
    settings.spherical = spherical
    settings.max_iter = max_iter
    settings.tol = tol
    settings.n_init = <int> seeds.shape[1]
    settings.sample_size = sample_size
    settings.watch = &watch
    start_watch(&watch, errors)
    for t in range(n_threads):
        scratch[t].direction = &direction_view[t, 0]
        scratch[t].sums = &sums_view[t, 0, 0]
        scratch[t].touched = &touched_view[t, 0]
        scratch[t].seen = &seen_view[t, 0]
        scratch[t].n_touched = 0
    tree.leaf_ptr = &leaf_ptr[0]
    tree.n_leaves = leaf_ptr.shape[0] - 1
    tree.seeds = &seeds[0, 0, 0]
    tree.members = &members[0]
    tree.buffer = &buffer[0]
    tree.keys = &keys[0]
    tree.sides = &sides[0, 0]
    tree.best_sides = &sides[1, 0]
    tree.n_passes = &n_passes_view[0]
    with nogil:
        # layer by layer, until there are nodes enough to share out
        while n_nodes < min(tree.n_leaves, NODES_PER_THREAD * n_threads):
            if n_nodes < n_threads:  # share out the members of each
                for node in range(n_nodes):
                    split_node(&rows, scratch, &tree, n_nodes, node, &settings, n_threads)
            else:
                for node in prange(n_nodes, schedule="dynamic", num_threads=n_threads):
                    split_node(&rows, scratch + omp_get_thread_num(), &tree, n_nodes, node, &settings, 1)
            n_nodes *= 2
        for node in prange(n_nodes, schedule="dynamic", num_threads=n_threads):
            split_below(&rows, scratch + omp_get_thread_num(), &tree, n_nodes, node, &settings)
    if watch.interrupted:
        raise errors[0]
    return n_passes
