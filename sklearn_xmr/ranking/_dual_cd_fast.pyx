"""Train the one-vs-rest problems of a label tree, cluster by cluster, 16 sibling labels at a time.

A task is a cluster with up to 128 of its children. Its rows are gathered once into a small matrix whose
columns are the features that occur in them; then its blocks of 16 children are solved one after the
other (`_dual_cd_lanes.h`). Tasks of all levels run in one parallel loop, the dearest first, each on one
thread, so the result does not depend on the number of threads. Afterwards the blocks of a cluster are
merged into the chunk that beam search reads.
"""

from cython.parallel cimport parallel, prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t
from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from libc.time cimport CLOCKS_PER_SEC, clock

import numpy as np

from sklearn_xmr.ranking._chunked_weights_fast cimport Block, assemble_chunks
from sklearn_xmr.utils._openmp_helpers cimport omp_get_thread_num
from sklearn_xmr.utils._sort cimport sort_indices

from sklearn_xmr.utils._simd import SIMD_VARIANT


cdef extern from "_dual_cd.h" nogil:
    int XMR_LANES
    int SQUARED_HINGE "XMR_SQUARED_HINGE"
    ctypedef struct xmr_entry:
        int32_t offset
        float value
    ctypedef struct xmr_row:
        int64_t start
        int32_t n
        float cost
        float step_pos
        float step_neg
    ctypedef struct xmr_problem:
        int64_t n_rows
        int64_t n_features
        const xmr_row* rows
        const xmr_entry* entries
        const double* sq_norms
        const int32_t* features
        const uint8_t* member
        const uint16_t* positive
        int n_lanes
        int loss
        int max_iter
        double cost_positive
        double cost_negative
        double bias
        double tol
        double accepted_tol
        double threshold
        uint64_t seed
        int (*should_stop)() noexcept
    ctypedef struct xmr_workspace:
        void* weights
        void* alpha
        int32_t* order
    ctypedef struct xmr_outcome:
        int n_iter
        int n_unconverged
    ctypedef struct xmr_weights:
        int32_t* features
        int32_t* lanes
        float* values
    xmr_outcome xmr_solve(const xmr_problem*, xmr_workspace*, int, int)
    int64_t xmr_collect(const xmr_problem*, const xmr_workspace*, xmr_weights*, int, int)
    uint64_t xmr_splitmix64(uint64_t*)


cdef struct Level:
    const int64_t* row_ptr       # rows of each parent
    const int32_t* rows
    const uint8_t* members       # parallel to rows; NULL: all ones
    const int64_t* positive_ptr  # positive rows of each child
    const int32_t* positives
    const int32_t* child_order   # children in the order of their blocks
    const int64_t* child_ptr     # first child of each parent


cdef struct Task:
    int32_t level
    int32_t parent
    int64_t first      # position of the first child in child_order
    int32_t n_children


cdef struct Settings:
    int loss
    int max_iter
    int is_double
    int simd
    double cost_positive
    double cost_negative
    double bias
    double tol
    double accepted_tol
    double threshold
    uint64_t seed


cdef struct Matrix:
    int64_t n_rows
    int64_t n_columns
    const int64_t* indptr
    const int32_t* indices
    const float* data
    const float* row_cost  # NULL: ones
    const double* sq_norms


cdef struct Buffer:
    # Grows, never shrinks; contents are not kept. `data` is aligned to a cache line.
    void* base
    void* data
    size_t size


cdef struct Scratch:
    int32_t* feature_map  # global feature -> local, -1 elsewhere
    int32_t* row_map      # global row -> local, -1 elsewhere
    Buffer rows, entries, sq_norms, features, member, positive, order, alpha, weights
    Buffer sort


cdef int reserve(Buffer* buffer, size_t size) noexcept nogil:
    """Make room for `size` bytes; returns 0, or -1 without memory."""
    if buffer.size >= size:
        return 0
    free(buffer.base)
    buffer.size = 0
    buffer.base = malloc(size + size // 4 + 64)
    if buffer.base == NULL:
        return -1
    buffer.data = <void*> ((<uintptr_t> buffer.base + 63) & ~(<uintptr_t> 63))
    buffer.size = size + size // 4
    return 0


cdef void free_scratch(Scratch* s) noexcept nogil:
    free(s.feature_map)
    free(s.row_map)
    free(s.rows.base)
    free(s.entries.base)
    free(s.sq_norms.base)
    free(s.features.base)
    free(s.member.base)
    free(s.positive.base)
    free(s.order.base)
    free(s.alpha.base)
    free(s.weights.base)
    free(s.sort.base)
    free(s)


cdef Scratch* new_scratch(const Matrix* X) noexcept nogil:
    cdef Scratch* s = <Scratch*> calloc(1, sizeof(Scratch))
    if s == NULL:
        return NULL
    s.feature_map = <int32_t*> malloc((X.n_columns + 1) * sizeof(int32_t))
    s.row_map = <int32_t*> malloc((X.n_rows + 1) * sizeof(int32_t))
    if s.feature_map == NULL or s.row_map == NULL:
        free_scratch(s)
        return NULL
    memset(s.feature_map, 0xff, (X.n_columns + 1) * sizeof(int32_t))
    memset(s.row_map, 0xff, (X.n_rows + 1) * sizeof(int32_t))
    return s


# Ctrl-C during a fit: the thread that called it looks for signals every SIGNAL_PERIOD seconds, the others
# see the flag. One flag serves all fits of a process, as a signal concerns all of them.
cdef double SIGNAL_PERIOD = 0.1
cdef int interrupted = 0
cdef double next_look = 0


cdef int look_for_signals() noexcept with gil:
    """Run pending signal handlers; whether one raised, which `solve_label_tree` then raises again."""
    global pending_error
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        pending_error = error
        return 1
    return 0


pending_error = None


cdef int should_stop() noexcept nogil:
    global interrupted, next_look
    cdef double now
    if interrupted or omp_get_thread_num() != 0:
        return interrupted
    now = <double> clock() / CLOCKS_PER_SEC
    if now >= next_look:
        next_look = now + SIGNAL_PERIOD
        interrupted = look_for_signals()
    return interrupted


cdef float hinge_step(double q, const Settings* settings, double cost) noexcept nogil:
    """1 / Q_ii: the length of a Newton step in one coordinate of the dual; q is the squared norm."""
    if settings.loss == SQUARED_HINGE:
        q += 0.5 / cost
    # an empty row without constant feature moves nothing, whatever its step
    return <float> (1 / q) if q > 0 else 0


cdef int gather_rows(
    const Matrix* X, const Level* level, int32_t parent, const Settings* settings, Scratch* s,
    xmr_problem* p,
) noexcept nogil:
    """Local matrix of a cluster's rows, its columns renumbered to the features that occur in them."""
    cdef int64_t start = level.row_ptr[parent], n = level.row_ptr[parent + 1] - start
    cdef int64_t nnz = 0, i, j, n_features = 0, position = 0
    cdef int32_t row
    for i in range(n):
        row = level.rows[start + i]
        nnz += X.indptr[row + 1] - X.indptr[row]
    if (reserve(&s.rows, (n + 1) * sizeof(xmr_row)) or reserve(&s.entries, nnz * sizeof(xmr_entry))
            or reserve(&s.member, n) or reserve(&s.sq_norms, n * sizeof(double))
            or reserve(&s.features, min(nnz, X.n_columns) * sizeof(int32_t))):
        return -1
    cdef xmr_row* local_row = <xmr_row*> s.rows.data
    cdef xmr_entry* entries = <xmr_entry*> s.entries.data
    cdef double* sq_norms = <double*> s.sq_norms.data
    cdef uint8_t* member = <uint8_t*> s.member.data
    cdef int32_t* features = <int32_t*> s.features.data
    for i in range(n):
        row = level.rows[start + i]
        for j in range(X.indptr[row], X.indptr[row + 1]):
            if s.feature_map[X.indices[j]] < 0:
                s.feature_map[X.indices[j]] = 0
                features[n_features] = X.indices[j]
                n_features += 1
    if reserve(&s.sort, n_features * sizeof(int32_t)):
        return -1
    sort_indices(features, <int32_t*> s.sort.data, n_features)
    for i in range(n_features):
        s.feature_map[features[i]] = <int32_t> (XMR_LANES * i)
    for i in range(n):
        row = level.rows[start + i]
        local_row.start = position
        for j in range(X.indptr[row], X.indptr[row + 1]):
            entries[position].offset = s.feature_map[X.indices[j]]
            entries[position].value = X.data[j]
            position += 1
        local_row.n = <int32_t> (position - local_row.start)
        local_row.cost = X.row_cost[row] if X.row_cost != NULL else 1
        local_row.step_pos = hinge_step(X.sq_norms[row], settings, settings.cost_positive * local_row.cost)
        local_row.step_neg = hinge_step(X.sq_norms[row], settings, settings.cost_negative * local_row.cost)
        sq_norms[i] = X.sq_norms[row]
        local_row += 1
        s.row_map[row] = <int32_t> i
        if level.members != NULL:
            member[i] = level.members[start + i]
    p.n_rows = n
    p.n_features = n_features
    p.rows = <xmr_row*> s.rows.data
    p.entries = entries
    p.sq_norms = sq_norms
    p.features = features
    p.member = member if level.members != NULL else NULL
    for i in range(n_features):
        s.feature_map[features[i]] = -1
    return 0


cdef void forget_rows(const Level* level, int32_t parent, Scratch* s) noexcept nogil:
    cdef int64_t i
    for i in range(level.row_ptr[parent], level.row_ptr[parent + 1]):
        s.row_map[level.rows[i]] = -1


cdef int keep_block(
    const xmr_problem* p, const xmr_workspace* workspace, const Settings* settings, const int32_t* slots,
    Block* block,
) noexcept nogil:
    """Copy the weights that survive pruning; returns 0, or -1 without memory."""
    cdef xmr_weights out
    cdef int64_t n, i
    memset(&out, 0, sizeof(out))
    n = xmr_collect(p, workspace, &out, settings.simd, settings.is_double)
    block.n_entries = n
    block.features = out.features = <int32_t*> malloc((n + 1) * sizeof(int32_t))
    block.slots = out.lanes = <int32_t*> malloc((n + 1) * sizeof(int32_t))
    block.values = out.values = <float*> malloc((n + 1) * sizeof(float))
    if block.features == NULL or block.slots == NULL or block.values == NULL:
        return -1
    xmr_collect(p, workspace, &out, settings.simd, settings.is_double)
    for i in range(n):
        block.slots[i] = slots[block.slots[i]]
    return 0


cdef int run_task(
    const Matrix* X, const Level* level, const Task* task, const Settings* settings, Scratch* s,
    Block* blocks, float* intercepts, int32_t* n_iter, int32_t* n_unconverged,
) noexcept nogil:
    """Solve a task's blocks; returns 0, or -1 without memory."""
    cdef xmr_problem p
    cdef xmr_workspace workspace
    cdef xmr_outcome outcome
    cdef int32_t slots[16]
    cdef int32_t child, row
    cdef int k, b
    cdef int64_t first, j
    cdef size_t real_size = sizeof(double) if settings.is_double else sizeof(float)
    cdef uint64_t seed = settings.seed
    cdef double intercept
    cdef uint16_t* positive

    if gather_rows(X, level, task.parent, settings, s, &p):
        return -1
    if (reserve(&s.positive, (p.n_rows + 1) * sizeof(uint16_t))
            or reserve(&s.order, (p.n_rows + 1) * sizeof(int32_t))
            or reserve(&s.alpha, (p.n_rows + 1) * XMR_LANES * real_size)
            or reserve(&s.weights, (p.n_features + 1) * XMR_LANES * real_size)):
        return -1
    positive = <uint16_t*> s.positive.data
    workspace.weights = s.weights.data
    workspace.alpha = s.alpha.data
    workspace.order = <int32_t*> s.order.data
    p.positive = positive
    p.loss = settings.loss
    p.max_iter = settings.max_iter
    p.cost_positive = settings.cost_positive
    p.cost_negative = settings.cost_negative
    p.bias = settings.bias
    p.tol = settings.tol
    p.accepted_tol = settings.accepted_tol
    p.threshold = settings.threshold
    p.should_stop = should_stop

    for b in range((task.n_children + XMR_LANES - 1) // XMR_LANES):
        first = task.first + b * XMR_LANES
        p.n_lanes = <int> min(XMR_LANES, task.first + task.n_children - first)
        memset(positive, 0, p.n_rows * sizeof(uint16_t))
        for k in range(p.n_lanes):
            child = level.child_order[first + k]
            slots[k] = <int32_t> (child - level.child_ptr[task.parent])
            for j in range(level.positive_ptr[child], level.positive_ptr[child + 1]):
                row = s.row_map[level.positives[j]]
                positive[row] |= <uint16_t> (1 << k)
        # the seed belongs to the block, whoever computes it
        seed = settings.seed ^ (<uint64_t> task.level << 56) ^ <uint64_t> first
        p.seed = xmr_splitmix64(&seed)
        outcome = xmr_solve(&p, &workspace, settings.simd, settings.is_double)
        n_iter[0] = max(n_iter[0], outcome.n_iter)
        n_unconverged[0] += outcome.n_unconverged
        if keep_block(&p, &workspace, settings, slots, &blocks[b]):
            return -1
        for k in range(p.n_lanes):
            if settings.is_double:
                intercept = (<double*> workspace.weights)[p.n_features * XMR_LANES + k]
            else:
                intercept = (<float*> workspace.weights)[p.n_features * XMR_LANES + k]
            intercepts[level.child_order[first + k]] = <float> (settings.bias * intercept)
    forget_rows(level, task.parent, s)
    return 0


cdef const int64_t* pointer64(const int64_t[::1] array) noexcept:
    return &array[0] if array.shape[0] else NULL


cdef const int32_t* pointer32(const int32_t[::1] array) noexcept:
    return &array[0] if array.shape[0] else NULL


def solve_label_tree(
    const int64_t[::1] indptr,
    const int32_t[::1] indices,
    const float[::1] data,
    int64_t n_features,
    const double[::1] sq_norms,
    const float[::1] row_cost,
    list levels,
    const int32_t[::1] task_level,
    const int32_t[::1] task_parent,
    const int64_t[::1] task_first,
    const int32_t[::1] task_size,
    const int64_t[::1] task_order,
    dict settings,
    slot_dtype,
    int64_t blocks_per_task,
    int n_threads,
):
    """Solve every task and assemble the chunks of each level.

    Minimises for each node  1/2 |w|^2 + sum_i C_i loss(y_i w.x_i)  over the rows of its parent.

    Parameters
    ----------
    indptr, indices, data : CSR arrays of X, (n_samples + 1,), (nnz,), (nnz,)
    n_features : int
        Columns of X.
    sq_norms : (n_samples,)
        Squared norms of the rows, constant feature included.
    row_cost : (n_samples,) or None
        Positive weight of each row.
    levels : list of tuple
        For each level (row_ptr, rows, members or None, positive_ptr, positives, child_order, child_ptr).
    task_level, task_parent, task_first, task_size : (n_tasks,)
        Tasks by level, then parent, then position in `child_order`.
    task_order : (n_tasks,)
        Order in which the tasks start.
    settings : dict
        loss, max_iter, is_double, cost_positive, cost_negative, bias, tol, accepted_tol, threshold, seed.
    slot_dtype : callable
        Dtype of child numbers for a largest fan-out.
    blocks_per_task : int
        Room for the results of a task; a block has 16 children.
    n_threads : int

    Returns
    -------
    chunks : list of tuple
        For each level (chunk_ptr, features, entry_ptr, row_ptr, slots, values, intercepts).
    n_iter : int
        Largest number of passes.
    n_unconverged : int
        Nodes stopped by max_iter.
    """
    global interrupted, pending_error
    cdef int64_t n_tasks = task_level.shape[0], n_levels = len(levels), t, b, i
    cdef Matrix X
    cdef Settings config
    cdef Level* level_table = <Level*> calloc(n_levels + 1, sizeof(Level))
    cdef Task* tasks = <Task*> calloc(n_tasks + 1, sizeof(Task))
    cdef Block* blocks = <Block*> calloc(n_tasks * blocks_per_task + 1, sizeof(Block))
    cdef float** intercept_table = <float**> calloc(n_levels + 1, sizeof(float*))
    cdef int32_t[::1] n_iter = np.zeros(n_tasks + 1, dtype=np.int32)
    cdef int32_t[::1] n_unconverged = np.zeros(n_tasks + 1, dtype=np.int32)
    cdef int32_t* n_iter_p = &n_iter[0]
    cdef int32_t* n_unconverged_p = &n_unconverged[0]
    cdef float[::1] intercept_view
    cdef const uint8_t[::1] member_view
    cdef int failure = 0
    cdef int* failed = &failure  # through a pointer: an assigned variable is private to its thread
    cdef Scratch* scratch

    X.n_rows = indptr.shape[0] - 1
    X.n_columns = n_features
    X.indptr = &indptr[0]
    X.indices = pointer32(indices)
    X.data = &data[0] if data.shape[0] else NULL
    X.row_cost = &row_cost[0] if row_cost is not None else NULL
    X.sq_norms = &sq_norms[0]
    config.loss = settings["loss"]
    config.max_iter = settings["max_iter"]
    config.is_double = settings["is_double"]
    config.simd = SIMD_VARIANT
    config.cost_positive = settings["cost_positive"]
    config.cost_negative = settings["cost_negative"]
    config.bias = settings["bias"]
    config.tol = settings["tol"]
    config.accepted_tol = settings["accepted_tol"]
    config.threshold = settings["threshold"]
    config.seed = settings["seed"]

    try:
        if level_table == NULL or tasks == NULL or blocks == NULL or intercept_table == NULL:
            raise MemoryError
        all_intercepts = []
        for i in range(n_levels):
            row_ptr, rows, members, positive_ptr, positives, child_order, child_ptr = levels[i]
            level_table[i].row_ptr = pointer64(row_ptr)
            level_table[i].rows = pointer32(rows)
            if members is not None and len(members):
                member_view = members
                level_table[i].members = &member_view[0]
            level_table[i].positive_ptr = pointer64(positive_ptr)
            level_table[i].positives = pointer32(positives)
            level_table[i].child_order = pointer32(child_order)
            level_table[i].child_ptr = pointer64(child_ptr)
            # nodes that no task trains have no positive row: they are never reached
            all_intercepts.append(np.full(len(positive_ptr) - 1, -np.inf, dtype=np.float32))
            intercept_view = all_intercepts[i]
            intercept_table[i] = &intercept_view[0]
        for t in range(n_tasks):
            tasks[t].level = task_level[t]
            tasks[t].parent = task_parent[t]
            tasks[t].first = task_first[t]
            tasks[t].n_children = task_size[t]

        with nogil, parallel(num_threads=n_threads):
            scratch = new_scratch(&X)
            for i in prange(n_tasks, schedule="dynamic", chunksize=1):
                if interrupted:
                    pass
                elif scratch == NULL or failed[0]:
                    failed[0] = 1
                elif run_task(&X, &level_table[tasks[task_order[i]].level], &tasks[task_order[i]], &config,
                              scratch, &blocks[task_order[i] * blocks_per_task],
                              intercept_table[tasks[task_order[i]].level],
                              &n_iter_p[task_order[i]], &n_unconverged_p[task_order[i]]):
                    failed[0] = 1
            if scratch != NULL:
                free_scratch(scratch)
        if interrupted:
            interrupted, error, pending_error = 0, pending_error, None
            raise error or KeyboardInterrupt
        if failure:
            raise MemoryError("Not enough memory to train the rankers.")

        chunks = []
        first_task = np.searchsorted(task_level, np.arange(n_levels + 1))
        for i in range(n_levels):
            n_parents = len(levels[i][6]) - 1
            parents = np.asarray(task_parent)[first_task[i]:first_task[i + 1]]
            task_ptr = first_task[i] + np.searchsorted(parents, np.arange(n_parents + 1))
            dtype = np.dtype(slot_dtype(np.diff(levels[i][6]).max()))
            chunk_ptr, features, entry_ptr, entry_rows, slots, values = assemble_chunks(
                blocks, blocks_per_task, task_ptr.astype(np.int64), levels[i][6], dtype.itemsize, n_threads)
            chunks.append(
                (chunk_ptr, features, entry_ptr, entry_rows, slots.view(dtype), values, all_intercepts[i]))
        return chunks, int(np.max(n_iter)), int(np.sum(n_unconverged))
    finally:
        if blocks != NULL:
            for b in range(n_tasks * blocks_per_task):
                free(blocks[b].features)
                free(blocks[b].slots)
                free(blocks[b].values)
        free(blocks)
        free(tasks)
        free(level_table)
        free(intercept_table)
