"""Train the one-vs-rest problems of a label tree, cluster by cluster, 16 sibling labels at a time.

A task is a cluster with some or all of its children. Its rows are gathered once into a small matrix whose
columns are the features that occur in them. Its children then pass through the 16 lanes of the solver
(`_dual_cd_lanes.h`): where some have converged, the next ones take their lanes. Tasks of all levels run in
one parallel loop, the dearest first, each on one thread, so the result does not depend on the number of
threads. The last task of a cluster merges the weights of all into the chunk that beam search reads.
"""

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

import numpy as np

from sklearn_xmr.ranking._chunked_weights_fast cimport (
    Block, Chunk, build_chunk, free_block, free_chunk, join_chunks)
from sklearn_xmr.utils._interrupt cimport Watch, should_stop, start_watch
from sklearn_xmr.utils._sort cimport sort_indices

from sklearn_xmr.utils._simd import SIMD_VARIANT


cdef extern from "_dual_cd.h" nogil:
    int XMR_LANES
    double XMR_DUST
    int SQUARED_HINGE "XMR_SQUARED_HINGE"
    int LOG_LOSS "XMR_LOG_LOSS"
    ctypedef struct xmr_entry:
        int32_t offset
        float value
    ctypedef struct xmr_row:
        int64_t start
        int64_t block
        int32_t n
        float cost
        float step_pos
        float step_neg
    ctypedef struct xmr_problem:
        int64_t n_rows
        int64_t n_features
        int64_t n_dense
        const xmr_row* rows
        const xmr_entry* entries
        const int32_t* indices
        const float* data
        const double* sq_norms
        const uint8_t* member
        int loss
        int max_iter
        double cost_positive
        double cost_negative
        double bias
        double tol
        double accepted_tol
        double min_progress
        double threshold
        int (*should_stop)(void*) noexcept
        void* watch
    ctypedef struct xmr_lanes:
        void* weights
        void* alpha
        uint16_t* positive
        void* relevance
        int32_t* order
        uint64_t random
        int n_iter[16]
    ctypedef struct xmr_weight:
        int32_t feature
        int32_t lane
        float value
    ctypedef struct xmr_solver:
        void (*begin)(const xmr_problem*, xmr_lanes*) noexcept nogil
        void (*load)(const xmr_problem*, xmr_lanes*, unsigned) noexcept nogil
        unsigned (*run)(const xmr_problem*, xmr_lanes*, int, int*) noexcept nogil
        int64_t (*collect)(
            const xmr_problem*, const xmr_lanes*, unsigned, int64_t, int64_t, xmr_weight*) noexcept nogil
    const xmr_solver XMR_SOLVERS[2][3]
    uint64_t xmr_splitmix64(uint64_t*)


cdef struct Level:
    const int64_t* row_ptr       # rows of each parent
    const int32_t* rows
    const uint8_t* members       # parallel to rows; NULL: all ones
    const int64_t* positive_ptr  # positive rows of each child
    const int32_t* positives
    const float* relevance       # parallel to positives; NULL: all ones
    const int32_t* child_order   # children in the order of their tasks
    const int64_t* child_ptr     # first child of each parent
    const int64_t* task_ptr      # tasks of each parent
    int64_t n_parents
    int32_t* n_left              # tasks of each parent that are not done
    Chunk* chunks                # of each parent
    float* intercepts            # of each child


cdef extern from *:
    """
    #define XMR_COUNT_DOWN(counter) __atomic_sub_fetch(counter, 1, __ATOMIC_ACQ_REL)
    #ifdef __GLIBC__
    #include <malloc.h>
    #define XMR_RETURN_MEMORY() malloc_trim(0)
    #else
    #define XMR_RETURN_MEMORY() ((void) 0)
    #endif
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    /* Memory that is read at random: in large pages where it takes several of them. */
    static void* xmr_allocate(size_t size) {
    #ifdef MADV_HUGEPAGE
        const size_t page = (size_t) 1 << 21;
        void* memory;
        if (size >= 2 * page && posix_memalign(&memory, page, size) == 0) {
            madvise(memory, size, MADV_HUGEPAGE);
            return memory;
        }
    #endif
        return malloc(size);
    }
    """
    void* xmr_allocate(size_t size) noexcept nogil
    int32_t XMR_COUNT_DOWN(int32_t*) noexcept nogil
    void XMR_RETURN_MEMORY() noexcept nogil


cdef struct Task:
    int32_t level
    int32_t parent
    int64_t first      # position of the first child in child_order
    int32_t n_children


# Lanes that must be free before the next labels are loaded: loading sweeps over the weights.
cdef int REFILL = 6
# Features whose weights are collected at once: room is made for all of them.
cdef int COLLECTED = 1024
# Bytes from which a buffer, or a whole fit, gives back what it does not need.
cdef size_t LARGE = 1 << 20
# Nonzeros per feature of X above which a cluster's rows are read in place.
cdef int IN_PLACE = 16


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
    double min_progress
    double threshold
    uint64_t seed


cdef struct Matrix:
    int64_t n_rows
    int64_t n_columns
    int64_t n_dense        # last columns, which most rows store all of
    const int64_t* indptr
    const int32_t* indices  # NULL: every row stores every column
    const float* data
    const float* row_cost  # NULL: ones
    const double* sq_norms


cdef struct Buffer:
    # Contents are not kept. `data` is aligned to a cache line.
    void* base
    void* data
    size_t size


cdef struct Scratch:
    int32_t* feature_map  # global feature -> local, -1 elsewhere
    int32_t* row_map      # global row -> local, -1 elsewhere
    Buffer rows, entries, sq_norms, features, member, positive, relevance, order, alpha, weights
    Buffer sort, counts
    xmr_weight* found     # of the current task
    int64_t n_found, room
    const int32_t* local_features  # of the current task; NULL: those of X


cdef int reserve(Buffer* buffer, size_t size) noexcept nogil:
    """Make room for `size` bytes, whatever the buffer holds; returns 0, or -1 without memory.

    Tasks come by falling cost: what the first ones needed is given back, for the chunks that add up.
    """
    if buffer.size >= size and (buffer.size < LARGE or buffer.size // 4 < size):
        return 0
    free(buffer.base)
    buffer.size = 0
    buffer.base = xmr_allocate(size + size // 16 + 64)
    if buffer.base == NULL:
        return -1
    buffer.data = <void*> ((<uintptr_t> buffer.base + 63) & ~(<uintptr_t> 63))
    buffer.size = size + size // 16
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
    free(s.relevance.base)
    free(s.order.base)
    free(s.alpha.base)
    free(s.weights.base)
    free(s.sort.base)
    free(s.found)
    free(s.counts.base)
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


cdef float hinge_step(double q, const Settings* settings, double cost) noexcept nogil:
    """1 / Q_ii: the length of a Newton step in one coordinate of the dual; q is the squared norm."""
    if settings.loss == SQUARED_HINGE:
        q += 0.5 / cost
    # an empty row without constant feature is always wrong: its alpha goes to its bound at once
    return <float> (1 / q) if q > 0 else INFINITY


cdef int take_rows(
    const Matrix* X, const Level* level, int32_t parent, const Settings* settings, Scratch* s,
    xmr_problem* p,
) noexcept nogil:
    """Rows of a cluster: gathered, with columns renumbered to the features that occur in them, or in place.

    A cluster with so many nonzeros that it uses most features anyway is read from X: a copy would double
    the memory of the fit, and its weights would hardly be fewer. Dense blocks are read from X always.
    Returns 0, or -1 without memory.
    """
    cdef int64_t start = level.row_ptr[parent], n = level.row_ptr[parent + 1] - start, nnz = 0, i
    cdef int32_t row
    if (reserve(&s.rows, (n + 1) * sizeof(xmr_row)) or reserve(&s.member, n)
            or reserve(&s.sq_norms, n * sizeof(double))):
        return -1
    cdef xmr_row* rows = <xmr_row*> s.rows.data
    cdef uint8_t* member = <uint8_t*> s.member.data
    cdef double* sq_norms = <double*> s.sq_norms.data
    for i in range(n):
        row = level.rows[start + i]
        rows[i].start = X.indptr[row]
        rows[i].n = <int32_t> (X.indptr[row + 1] - X.indptr[row])
        rows[i].block = -1
        if has_dense_block(X, row):
            rows[i].n -= <int32_t> X.n_dense
            rows[i].block = rows[i].start + rows[i].n
        rows[i].cost = X.row_cost[row] if X.row_cost != NULL else 1
        rows[i].step_pos = hinge_step(X.sq_norms[row], settings, settings.cost_positive * rows[i].cost)
        rows[i].step_neg = hinge_step(X.sq_norms[row], settings, settings.cost_negative * rows[i].cost)
        nnz += rows[i].n
        sq_norms[i] = X.sq_norms[row]
        s.row_map[row] = <int32_t> i
        if level.members != NULL:
            member[i] = level.members[start + i]
    p.n_rows = n
    p.rows = rows
    p.sq_norms = sq_norms
    p.member = member if level.members != NULL else NULL
    p.indices = X.indices
    p.data = X.data
    p.entries = NULL
    p.n_features = X.n_columns
    p.n_dense = X.n_dense
    s.local_features = NULL
    # offsets of gathered features are int32
    if (nnz >= IN_PLACE * (X.n_columns - X.n_dense)
            or min(nnz + X.n_dense, X.n_columns) > INT32_MAX // XMR_LANES):
        return 0
    return gather_rows(X, nnz, s, p)


cdef inline bint has_dense_block(const Matrix* X, int32_t row) noexcept nogil:
    cdef int64_t start = X.indptr[row], end = X.indptr[row + 1]
    if X.n_dense == 0 or end - start < X.n_dense:
        return False
    return X.indices == NULL or X.indices[end - X.n_dense] == X.n_columns - X.n_dense


cdef int gather_rows(const Matrix* X, int64_t nnz, Scratch* s, xmr_problem* p) noexcept nogil:
    """Copy the rows, their columns renumbered, in ascending order; returns 0, or -1 without memory.

    The columns of the dense block come last, all of them.
    """
    cdef int64_t i, j, n_features = 0, position = 0
    if (reserve(&s.entries, nnz * sizeof(xmr_entry))
            or reserve(&s.features, min(nnz + X.n_dense, X.n_columns) * sizeof(int32_t))):
        return -1
    cdef xmr_row* rows = <xmr_row*> s.rows.data
    cdef xmr_entry* entries = <xmr_entry*> s.entries.data
    cdef int32_t* features = <int32_t*> s.features.data
    for i in range(X.n_columns - X.n_dense, X.n_columns):
        s.feature_map[i] = 0
        features[n_features] = <int32_t> i
        n_features += 1
    for i in range(p.n_rows):
        for j in range(rows[i].start, rows[i].start + rows[i].n):
            if s.feature_map[X.indices[j]] < 0:
                s.feature_map[X.indices[j]] = 0
                features[n_features] = X.indices[j]
                n_features += 1
    if reserve(&s.sort, n_features * sizeof(int32_t)):
        return -1
    sort_indices(features, <int32_t*> s.sort.data, n_features)
    for i in range(n_features):
        s.feature_map[features[i]] = <int32_t> (XMR_LANES * i)
    for i in range(p.n_rows):
        j = rows[i].start
        rows[i].start = position
        for j in range(j, j + rows[i].n):
            entries[position].offset = s.feature_map[X.indices[j]]
            entries[position].value = X.data[j]
            position += 1
    for i in range(n_features):
        s.feature_map[features[i]] = -1
    p.n_features = n_features
    p.entries = entries
    s.local_features = features
    return 0


cdef void forget_rows(const Level* level, int32_t parent, Scratch* s) noexcept nogil:
    cdef int64_t i
    for i in range(level.row_ptr[parent], level.row_ptr[parent + 1]):
        s.row_map[level.rows[i]] = -1


cdef int make_room(Scratch* s, int64_t n) noexcept nogil:
    """Room for n more found weights; returns 0, or -1 without memory."""
    cdef int64_t room = s.n_found + n
    cdef void* larger
    if room <= s.room:
        return 0
    room += s.n_found // 2
    larger = realloc(s.found, room * sizeof(xmr_weight))
    if larger == NULL:
        return -1
    s.found = <xmr_weight*> larger
    s.room = room
    return 0


cdef int keep_weights(
    const xmr_problem* p, const xmr_lanes* lanes, const xmr_solver* solver, unsigned finished,
    const int32_t* places, Scratch* s,
) noexcept nogil:
    """Append the weights of finished lanes that survive pruning; returns 0, or -1 without memory."""
    cdef int64_t first = 0, last, n, i
    cdef xmr_weight* found
    while first < p.n_features:
        last = min(first + COLLECTED, p.n_features)
        if make_room(s, (last - first) * XMR_LANES):
            return -1
        found = s.found + s.n_found
        n = solver.collect(p, lanes, finished, first, last, found)
        for i in range(n):
            found[i].lane = places[found[i].lane]
        s.n_found += n
        first = last
    return 0


cdef int write_block(const xmr_problem* p, Scratch* s, Block* block) noexcept nogil:
    """Order the task's weights by feature; returns 0, or -1 without memory."""
    cdef int64_t n = s.n_found, i, position, total = 0
    cdef const xmr_weight* found = s.found
    cdef const int32_t* features = s.local_features
    cdef int64_t* counts
    if reserve(&s.counts, (p.n_features + 1) * sizeof(int64_t)):
        return -1
    counts = <int64_t*> s.counts.data
    block.features = <int32_t*> malloc((n + 1) * sizeof(int32_t))
    block.places = <uint8_t*> malloc(n + 1)
    block.values = <float*> malloc((n + 1) * sizeof(float))
    if block.features == NULL or block.places == NULL or block.values == NULL:
        return -1
    memset(counts, 0, (p.n_features + 1) * sizeof(int64_t))
    for i in range(n):
        counts[found[i].feature] += 1
    for i in range(p.n_features):
        position = total
        total += counts[i]
        counts[i] = position
    for i in range(n):
        position = counts[found[i].feature]
        counts[found[i].feature] += 1
        block.features[position] = features[found[i].feature] if features != NULL else found[i].feature
        block.places[position] = <uint8_t> found[i].lane
        block.values[position] = found[i].value
    block.n_entries = n
    return 0


cdef void mark_positives(
    const Level* level, int32_t child, int lane, bint positive, bint is_double, Scratch* s,
) noexcept nogil:
    """Set or clear a lane's bit in the rows that have its label, and set their relevance."""
    cdef uint16_t* marks = <uint16_t*> s.positive.data
    cdef int64_t i, row
    for i in range(level.positive_ptr[child], level.positive_ptr[child + 1]):
        row = s.row_map[level.positives[i]]
        if positive and level.relevance != NULL:
            if is_double:
                (<double*> s.relevance.data)[row * XMR_LANES + lane] = level.relevance[i]
            else:
                (<float*> s.relevance.data)[row * XMR_LANES + lane] = level.relevance[i]
        if positive:
            marks[row] |= <uint16_t> (1 << lane)
        else:
            marks[row] &= <uint16_t> ~(1 << lane)


cdef int run_task(
    const Matrix* X, const Level* level, const Task* task, const Settings* settings, Watch* watch,
    Scratch* s, Block* block, int32_t* n_iter, int32_t* n_unconverged,
) noexcept nogil:
    """Solve a task; returns 0, or -1 without memory."""
    cdef xmr_problem p
    cdef xmr_lanes lanes
    cdef const xmr_solver* solver = &XMR_SOLVERS[settings.is_double][settings.simd]
    cdef int32_t children[16]
    cdef int32_t places[16]
    cdef int32_t n_loaded = 0
    cdef unsigned free_lanes = (1 << XMR_LANES) - 1, fresh, finished
    cdef int k, n_wanted, n_refill = REFILL, unconverged = 0
    cdef size_t real_size = sizeof(double) if settings.is_double else sizeof(float)
    cdef uint64_t seed
    cdef double intercept

    if take_rows(X, level, task.parent, settings, s, &p):
        return -1
    if (reserve(&s.positive, (p.n_rows + 1) * sizeof(uint16_t))
            or reserve(&s.order, (p.n_rows + 1) * sizeof(int32_t))
            or reserve(&s.alpha, (p.n_rows + 1) * XMR_LANES * real_size)
            or reserve(&s.weights, (p.n_features + 1) * XMR_LANES * real_size)):
        return -1
    lanes.relevance = NULL
    if level.relevance != NULL:
        if reserve(&s.relevance, (p.n_rows + 1) * XMR_LANES * real_size):
            return -1
        memset(s.relevance.data, 0, (p.n_rows + 1) * XMR_LANES * real_size)
        lanes.relevance = s.relevance.data
    lanes.weights = s.weights.data
    lanes.alpha = s.alpha.data
    lanes.positive = <uint16_t*> s.positive.data
    lanes.order = <int32_t*> s.order.data
    # the seed belongs to the task, whoever computes it
    seed = settings.seed ^ (<uint64_t> task.level << 56) ^ <uint64_t> task.first
    lanes.random = xmr_splitmix64(&seed)
    p.loss = settings.loss
    p.max_iter = settings.max_iter
    p.cost_positive = settings.cost_positive
    p.cost_negative = settings.cost_negative
    p.bias = settings.bias
    p.tol = settings.tol
    p.accepted_tol = settings.accepted_tol
    p.min_progress = settings.min_progress
    p.threshold = settings.threshold
    p.should_stop = should_stop
    p.watch = watch
    s.n_found = 0
    block.children = level.child_order + task.first
    block.first_child = level.child_ptr[task.parent]
    # small weights are rebuilt from alpha, for all lanes at once, and so is the start of log loss
    if settings.threshold < XMR_DUST or settings.loss == LOG_LOSS:
        n_refill = XMR_LANES

    solver.begin(&p, &lanes)
    while True:
        fresh = 0
        for k in range(XMR_LANES):
            if free_lanes >> k & 1 and n_loaded < task.n_children:
                children[k] = level.child_order[task.first + n_loaded]
                places[k] = n_loaded
                mark_positives(level, children[k], k, True, settings.is_double, s)
                fresh |= 1u << k
                n_loaded += 1
        if fresh:
            solver.load(&p, &lanes, fresh)
            free_lanes &= ~fresh
        if free_lanes == (1 << XMR_LANES) - 1:
            break
        n_wanted = n_refill if n_loaded < task.n_children else XMR_LANES
        finished = solver.run(&p, &lanes, n_wanted, &unconverged)
        if watch.interrupted:
            break
        if keep_weights(&p, &lanes, solver, finished, places, s):
            return -1
        for k in range(XMR_LANES):
            if finished >> k & 1:
                n_iter[0] = max(n_iter[0], lanes.n_iter[k])
                if settings.is_double:
                    intercept = (<double*> lanes.weights)[p.n_features * XMR_LANES + k]
                else:
                    intercept = (<float*> lanes.weights)[p.n_features * XMR_LANES + k]
                level.intercepts[children[k]] = <float> (settings.bias * intercept)
                mark_positives(level, children[k], k, False, settings.is_double, s)
        free_lanes |= finished
    n_unconverged[0] += unconverged
    forget_rows(level, task.parent, s)
    if write_block(&p, s, block):
        return -1
    if s.room * sizeof(xmr_weight) > LARGE:
        free(s.found)
        s.found = NULL
        s.room = 0
    return 0


cdef int run_and_merge(
    const Matrix* X, const Level* level, const Task* tasks, int64_t t, const Settings* settings,
    Watch* watch, Scratch* s, Block* blocks, int32_t* n_iter, int32_t* n_unconverged,
) noexcept nogil:
    """Solve task t; the last one of a cluster merges all of them. Returns 0 or what went wrong."""
    cdef int32_t parent = tasks[t].parent
    cdef int64_t first = level.task_ptr[parent]
    if run_task(X, level, tasks + t, settings, watch, s, blocks + t, n_iter + t, n_unconverged + t):
        return -1
    if watch.interrupted or XMR_COUNT_DOWN(level.n_left + parent):
        return 0
    return build_chunk(
        blocks + first, level.task_ptr[parent + 1] - first, X.n_columns, level.chunks + parent)


cdef const int64_t* pointer64(const int64_t[::1] array) noexcept:
    return &array[0] if array.shape[0] else NULL


cdef const int32_t* pointer32(const int32_t[::1] array) noexcept:
    return &array[0] if array.shape[0] else NULL


cdef int prepare_chunks(
    Level* level, const int64_t* task_ptr, int64_t n_parents, int slot_size, int value_size,
) except -1:
    cdef int64_t k
    level.task_ptr = task_ptr
    level.n_parents = n_parents
    level.n_left = <int32_t*> calloc(n_parents + 1, sizeof(int32_t))
    level.chunks = <Chunk*> calloc(n_parents + 1, sizeof(Chunk))
    if level.n_left == NULL or level.chunks == NULL:
        raise MemoryError
    for k in range(n_parents):
        level.n_left[k] = <int32_t> (task_ptr[k + 1] - task_ptr[k])
        level.chunks[k].fan_out = level.child_ptr[k + 1] - level.child_ptr[k]
        level.chunks[k].slot_size = slot_size
        level.chunks[k].value_size = value_size
    return 0


def solve_label_tree(
    const int64_t[::1] indptr,
    const int32_t[::1] indices,
    const float[::1] data,
    int64_t n_features,
    int64_t n_dense,
    const double[::1] sq_norms,
    const float[::1] row_cost,
    list levels,
    const int32_t[::1] task_level,
    const int32_t[::1] task_parent,
    const int64_t[::1] task_first,
    const int32_t[::1] task_size,
    const int64_t[::1] task_order,
    dict settings,
    int n_threads,
):
    """Solve every task and assemble the chunks of each level.

    Minimises for each node  1/2 |w|^2 + sum_i C_i loss(y_i w.x_i)  over the rows of its parent.

    Parameters
    ----------
    indptr, indices, data : CSR arrays of X, (n_samples + 1,), (nnz,) or (0,), (nnz,)
        Without indices, every row stores every column.
    n_features : int
        Columns of X.
    n_dense : int
        Last columns, 0, at least 4 or all of X, which most rows store all of, see `trailing_dense_columns`.
    sq_norms : (n_samples,)
        Squared norms of the rows, constant feature included.
    row_cost : (n_samples,) or None
        Positive weight of each row.
    levels : list of tuple
        For each level (row_ptr, rows, members or None, positive_ptr, positives, relevance or None,
        child_order, child_ptr, task_ptr, slot_size, value_size): task_ptr (n_parents + 1,) are the first
        tasks of the parents, the sizes are bytes.
    task_level, task_parent, task_first, task_size : (n_tasks,)
        Tasks by level, then parent, then position in `child_order`.
    task_order : (n_tasks,)
        Order in which the tasks start.
    settings : dict
        loss, max_iter, is_double, cost_positive, cost_negative, bias, tol, accepted_tol, min_progress,
        threshold, seed.
    n_threads : int

    Returns
    -------
    levels : list of dict
        For each level its arrays by their names in `ChunkedWeights`.
    n_iter : int
        Largest number of passes.
    n_unconverged : int
        Nodes stopped by max_iter.
    """
    cdef int64_t n_tasks = task_level.shape[0], n_levels = len(levels), t, b, i
    cdef Matrix X
    cdef Settings config
    cdef Level* level_table = <Level*> calloc(n_levels + 1, sizeof(Level))
    cdef Task* tasks = <Task*> calloc(n_tasks + 1, sizeof(Task))
    cdef Block* blocks = <Block*> calloc(n_tasks + 1, sizeof(Block))
    cdef int32_t[::1] n_iter = np.zeros(n_tasks + 1, dtype=np.int32)
    cdef int32_t[::1] n_unconverged = np.zeros(n_tasks + 1, dtype=np.int32)
    cdef int32_t* n_iter_p = &n_iter[0]
    cdef int32_t* n_unconverged_p = &n_unconverged[0]
    cdef float[::1] intercept_view
    cdef const uint8_t[::1] member_view
    cdef const float[::1] relevance_view
    cdef int failure = 0, status
    cdef int* failed = &failure  # through a pointer: an assigned variable is private to its thread
    cdef list errors = []
    cdef Watch own_watch
    cdef Watch* watch = &own_watch
    cdef Scratch* scratch

    X.n_rows = indptr.shape[0] - 1
    X.n_columns = n_features
    X.n_dense = n_dense
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
    config.min_progress = settings["min_progress"]
    config.threshold = settings["threshold"]
    config.seed = settings["seed"]
    start_watch(watch, errors)

    try:
        if level_table == NULL or tasks == NULL or blocks == NULL:
            raise MemoryError
        all_intercepts = []
        for i in range(n_levels):
            (row_ptr, rows, members, positive_ptr, positives, relevance, child_order, child_ptr, task_ptr,
             slot_size, value_size) = levels[i]
            level_table[i].row_ptr = pointer64(row_ptr)
            level_table[i].rows = pointer32(rows)
            if members is not None and len(members):
                member_view = members
                level_table[i].members = &member_view[0]
            level_table[i].positive_ptr = pointer64(positive_ptr)
            level_table[i].positives = pointer32(positives)
            if relevance is not None and len(relevance):
                relevance_view = relevance
                level_table[i].relevance = &relevance_view[0]
            level_table[i].child_order = pointer32(child_order)
            level_table[i].child_ptr = pointer64(child_ptr)
            prepare_chunks(&level_table[i], pointer64(task_ptr), len(child_ptr) - 1, slot_size, value_size)
            # nodes that no task trains have no positive row: they are never reached
            all_intercepts.append(np.full(len(positive_ptr) - 1, -np.inf, dtype=np.float32))
            intercept_view = all_intercepts[i]
            level_table[i].intercepts = &intercept_view[0]
        for t in range(n_tasks):
            tasks[t].level = task_level[t]
            tasks[t].parent = task_parent[t]
            tasks[t].first = task_first[t]
            tasks[t].n_children = task_size[t]

        with nogil, parallel(num_threads=n_threads):
            scratch = new_scratch(&X)
            for i in prange(n_tasks, schedule="dynamic", chunksize=1):
                if watch.interrupted:
                    pass
                elif scratch == NULL or failed[0]:
                    failed[0] = failed[0] or -1
                else:
                    status = run_and_merge(
                        &X, &level_table[tasks[task_order[i]].level], tasks, task_order[i], &config, watch,
                        scratch, blocks, n_iter_p, n_unconverged_p)
                    if status:
                        failed[0] = status
            if scratch != NULL:
                free_scratch(scratch)
        # glibc keeps what the threads have freed, and copying the chunks needs memory; but it looks through
        # all that the process has, which takes too long after a small fit
        if <size_t> X.n_rows * XMR_LANES * sizeof(float) > LARGE:
            XMR_RETURN_MEMORY()
        if watch.interrupted:
            raise errors[0]
        if failure == -2:
            raise ValueError(
                "The weights of a cluster take more than 4 GB; raise weight_threshold or branch more.")
        if failure:
            raise MemoryError("Not enough memory to train the rankers.")
        solved = [
            join_chunks(level_table[i].chunks, level_table[i].n_parents, n_features)
            | {"intercepts": all_intercepts[i]}
            for i in range(n_levels)
        ]
        return solved, int(np.max(n_iter)), int(np.sum(n_unconverged))
    finally:
        if blocks != NULL:
            for b in range(n_tasks):
                free_block(blocks + b)
        if level_table != NULL:
            for i in range(n_levels):
                if level_table[i].chunks != NULL:
                    for b in range(level_table[i].n_parents):
                        free_chunk(level_table[i].chunks + b)
                free(level_table[i].chunks)
                free(level_table[i].n_left)
        free(blocks)
        free(tasks)
        free(level_table)
