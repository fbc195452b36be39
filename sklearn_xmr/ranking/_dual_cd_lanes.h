/* Dual coordinate descent for 16 labels at once (Hsieh et al., ICML 2008; logistic loss: Yu, Huang and
 * Lin, 2011). Included by _dual_cd.h once per precision (REAL, INT) and instruction set (VBYTES,
 * VARIANT).
 *
 * For each lane:  min_w  1/2 |w|^2 + sum_i C_i loss(y_i w.x_i),  x_i with the constant feature appended,
 * through its dual over 0 <= alpha_i <= U_i. A lane's coordinate that has left the active set is marked
 * inside alpha itself, so a row costs one more cache line and no more:
 *   alpha >= 0    active
 *   AT_ZERO       shrunk at 0, comes back when the lane is checked against all rows
 *   AT_UPPER      shrunk at U (hinge), likewise
 *   DROPPED       never part of the lane's problem */

#define FN(name) XMR_CAT(name, VARIANT)
#define V FN(vec)
#define M FN(mask)
#define NV ((int)(XMR_LANES * sizeof(REAL) / VBYTES))
#define PER_V ((int)(VBYTES / sizeof(REAL)))
#define AHEAD 8
/* Weights that do not fit into the second level cache are asked for one row ahead, in three portions between
 * the steps of a row: a core takes few requests at a time, and waits beyond that. A long row has enough of
 * them under way by itself. */
#define FAR_BYTES ((size_t)1 << 20)
#define SHORT_ROW 64
#define AT_ZERO ((REAL)-1)
#define AT_UPPER ((REAL)-2)
#define DROPPED ((REAL)-3)
#define EACH(v) for (int v = 0; v < NV; v++)
#define INLINE static inline __attribute__((always_inline))
#define GATHERED_OFFSET(j) x[j].offset
#define GATHERED_VALUE(j) x[j].value
#define DIRECT_OFFSET(j) ((size_t)x_features[j] * XMR_LANES)
#define DIRECT_VALUE(j) x_values[j]
/* the dense block follows the row's n other nonzeros */
#define DENSE_OFFSET(j) ((size_t)(first_dense + (j) - n) * XMR_LANES)
#define DENSE_VALUE(j) block[(j) - n]

typedef REAL V __attribute__((vector_size(VBYTES), may_alias));
typedef INT M __attribute__((vector_size(VBYTES)));

INLINE V FN(select)(M m, V a, V b) { return (V)((m & (M)a) | (~m & (M)b)); }
INLINE V FN(splat)(REAL x) { return x - (V){0}; }

/* One bit a lane of the mask. */
INLINE unsigned FN(bits)(M m) {
#if XMR_X86_VARIANTS && VBYTES == 16 && REAL_BITS == 32
    return (unsigned)_mm_movemask_ps((__m128)m);
#elif XMR_X86_VARIANTS && VBYTES == 16
    return (unsigned)_mm_movemask_pd((__m128d)m);
#elif XMR_X86_VARIANTS && VBYTES == 32 && REAL_BITS == 32
    return (unsigned)_mm256_movemask_ps((__m256)m);
#elif XMR_X86_VARIANTS && VBYTES == 32
    return (unsigned)_mm256_movemask_pd((__m256d)m);
#elif XMR_X86_VARIANTS && VBYTES == 64 && REAL_BITS == 32
    return (unsigned)_mm512_movepi32_mask((__m512i)m);
#elif XMR_X86_VARIANTS && VBYTES == 64
    return (unsigned)_mm512_movepi64_mask((__m512i)m);
#else
    unsigned bits = 0;
    for (int k = 0; k < PER_V; k++) bits |= (unsigned)(m[k] != 0) << k;
    return bits;
#endif
}

/* Whether any lane of the mask is set. */
INLINE int FN(any)(M m) { return FN(bits)(m) != 0; }

/* Lane masks from one bit a lane. */
INLINE void FN(expand)(unsigned bits, M *out) {
    EACH(v) {
        M lane;
        for (int k = 0; k < PER_V; k++) lane[k] = (INT)1 << (v * PER_V + k);
        out[v] = ((lane & (INT)bits) != 0);
    }
}

/* sum += value w for all lanes. */
INLINE void FN(add)(V *sum, REAL value, const REAL *w) { EACH(v) sum[v] += value * ((const V *)w)[v]; }

/* z += W' x for all lanes, in four interleaved sums: a single one would wait for itself at every feature.
 * They go round from the other nonzeros into the dense block, so that the result does not depend on it. */
#define TERM(SOURCE, j) SOURCE##_VALUE(j), W + SOURCE##_OFFSET(j)
#define ADD4(T0, T1, T2, T3) FN(add)(z, T0), FN(add)(z1, T1), FN(add)(z2, T2), FN(add)(z3, T3), j += 4
#define DOT(SOURCE)                                                                                       \
    while (j + 4 <= n)                                                                                    \
        ADD4(TERM(SOURCE, j), TERM(SOURCE, j + 1), TERM(SOURCE, j + 2), TERM(SOURCE, j + 3));             \
    if (!block)                                                                                           \
        for (; j < n; j++) FN(add)(z, TERM(SOURCE, j));                                                   \
    else if (j + 1 == n)                                                                                  \
        ADD4(TERM(SOURCE, j), TERM(DENSE, j + 1), TERM(DENSE, j + 2), TERM(DENSE, j + 3));                \
    else if (j + 2 == n)                                                                                  \
        ADD4(TERM(SOURCE, j), TERM(SOURCE, j + 1), TERM(DENSE, j + 2), TERM(DENSE, j + 3));               \
    else if (j + 3 == n)                                                                                  \
        ADD4(TERM(SOURCE, j), TERM(SOURCE, j + 1), TERM(SOURCE, j + 2), TERM(DENSE, j + 3));

INLINE void FN(dot)(const xmr_problem *p, const REAL *W, const xmr_row *row, V *z) {
    V z1[NV], z2[NV], z3[NV];
    const int64_t n = row->n, end = n + p->n_dense;
    const float *block = row->block < 0 ? NULL : p->data + row->block;
    const int64_t first_dense = p->n_features - p->n_dense;
    int64_t j = 0;
    EACH(v) z1[v] = z2[v] = z3[v] = (V){0};
    if (p->entries) {
        const xmr_entry *x = p->entries + row->start;
        DOT(GATHERED)
    } else {
        const int32_t *x_features = p->indices + row->start;
        const float *x_values = p->data + row->start;
        DOT(DIRECT)
    }
    if (block) {
        while (j + 4 <= end) ADD4(TERM(DENSE, j), TERM(DENSE, j + 1), TERM(DENSE, j + 2), TERM(DENSE, j + 3));
        for (; j < end; j++) FN(add)(z, TERM(DENSE, j));
    }
    EACH(v) z[v] = (z[v] + z1[v]) + (z2[v] + z3[v]);
}

/* W += x delta' for all lanes. */
#define AXPY(SOURCE)                                 \
    for (; j < n; j++) {                             \
        V *w = (V *)(W + SOURCE##_OFFSET(j));        \
        REAL value = SOURCE##_VALUE(j);              \
        EACH(v) w[v] += value * change[v];           \
    }

INLINE void FN(axpy)(const xmr_problem *p, REAL *W, const xmr_row *row, const V *delta) {
    /* copies: W might be anything to the compiler, which would read again what it has in registers */
    const float *block = row->block < 0 ? NULL : p->data + row->block;
    const int64_t n_dense = p->n_dense, n = row->n;
    V *dense = (V *)(W + (size_t)(p->n_features - n_dense) * XMR_LANES);
    V change[NV];
    int64_t j = 0;
    EACH(v) change[v] = delta[v];
    if (p->entries) {
        const xmr_entry *x = p->entries + row->start;
        AXPY(GATHERED)
    } else {
        const int32_t *x_features = p->indices + row->start;
        const float *x_values = p->data + row->start;
        AXPY(DIRECT)
    }
    if (!block) return;
    for (j = 0; j < n_dense; j++, dense += NV) {
        REAL value = block[j];
        EACH(v) dense[v] += value * change[v];
    }
}

/* Fetch the weights of a row's features from `first` to `last`. */
INLINE void FN(prefetch)(const xmr_problem *p, const REAL *W, const xmr_row *row, int32_t first, int32_t last) {
    if (p->entries) {
        const xmr_entry *x = p->entries + row->start;
        for (int32_t j = first; j < last; j++) XMR_PREFETCH(W + GATHERED_OFFSET(j));
    } else {
        const int32_t *x_features = p->indices + row->start;
        for (int32_t j = first; j < last; j++) XMR_PREFETCH(W + DIRECT_OFFSET(j));
    }
}

/* Costs of a row's positives, lane by lane. */
INLINE V FN(positive_cost)(const xmr_problem *p, const xmr_lanes *s, int64_t r, int v) {
    V cost = FN(splat)((REAL)(p->cost_positive * p->rows[r].cost));
    if (s->relevance) cost *= ((const V *)((const REAL *)s->relevance + r * XMR_LANES))[v];
    return cost;
}

/* Bring the marked coordinates of the given lanes back. */
static void FN(restore)(const xmr_problem *p, xmr_lanes *s, unsigned lanes) {
    M mask[NV];
    FN(expand)(lanes, mask);
    for (int64_t r = 0; r < p->n_rows; r++) {
        V *a = (V *)((REAL *)s->alpha + r * XMR_LANES);
        REAL cost = p->rows[r].cost;
        M positive[NV];
        FN(expand)(s->positive[r], positive);
        EACH(v) {
            V upper = FN(select)(positive[v], FN(positive_cost)(p, s, r, v), FN(splat)(p->cost_negative * cost));
            a[v] = FN(select)(mask[v] & (a[v] == AT_ZERO), (V){0}, a[v]);
            a[v] = FN(select)(mask[v] & (a[v] == AT_UPPER), upper, a[v]);
        }
    }
    s->shrunk &= ~lanes;
    s->n_active = p->n_rows;
}

/* W from alpha alone: free of the rounding dust of many updates, so that what is zero is exactly so. */
static void FN(rebuild)(const xmr_problem *p, xmr_lanes *s) {
    REAL *W = (REAL *)s->weights;
    memset(W, 0, (size_t)(p->n_features + 1) * XMR_LANES * sizeof(REAL));
    V *w_bias = (V *)(W + (size_t)p->n_features * XMR_LANES);
    for (int64_t r = 0; r < p->n_rows; r++) {
        const V *a = (const V *)((const REAL *)s->alpha + r * XMR_LANES);
        M positive[NV], some = {0};
        V delta[NV];
        FN(expand)(s->positive[r], positive);
        EACH(v) {
            V step = FN(select)(a[v] > 0, a[v], (V){0});
            delta[v] = FN(select)(positive[v], step, -step);
            some |= (delta[v] != 0);
        }
        if (!FN(any)(some)) continue;
        FN(axpy)(p, W, p->rows + r, delta);
        EACH(v) w_bias[v] += (REAL)p->bias * delta[v];
    }
}

/* One pass of squared hinge or hinge loss over the active rows. */
static void FN(hinge_pass)(const xmr_problem *p, xmr_lanes *ws) {
    REAL *W = (REAL *)ws->weights, *alpha = (REAL *)ws->alpha;
    int64_t n_active = ws->n_active;
    const int is_hinge = p->loss == XMR_HINGE;
    const int is_far = (size_t)p->n_features * XMR_LANES * sizeof(REAL) > FAR_BYTES;
    const REAL bias = (REAL)p->bias;
    const REAL d_pos = is_hinge ? 0 : (REAL)(0.5 / p->cost_positive);
    const REAL d_neg = is_hinge ? 0 : (REAL)(0.5 / p->cost_negative);
    V *w_bias = (V *)(W + (size_t)p->n_features * XMR_LANES);
    V intercept[NV], hi[NV], lo[NV], upper_bound[NV], lower_bound[NV];
    V gain[NV];
    M live[NV], shrunk[NV];
    FN(expand)(ws->live, live);
    EACH(v) {
        intercept[v] = w_bias[v];
        hi[v] = FN(splat)(-INFINITY);
        lo[v] = FN(splat)(INFINITY);
        shrunk[v] = (M){0};
        gain[v] = (V){0};
        for (int k = 0; k < PER_V; k++) {
            upper_bound[v][k] = (REAL)ws->bound_max[v * PER_V + k];
            lower_bound[v][k] = (REAL)ws->bound_min[v * PER_V + k];
        }
    }
    for (int64_t s = 0; s < n_active; s++) {
        int32_t r = ws->order[s];
        if (s + AHEAD < n_active) {
            int32_t next = ws->order[s + AHEAD];
            XMR_PREFETCH(alpha + (size_t)next * XMR_LANES);
            XMR_PREFETCH(p->rows + next);
            next = ws->order[s + AHEAD / 2];
            const xmr_row *soon = p->rows + next;
            const int32_t n_soon = is_far ? soon->n : 1;
            if (p->entries) {
                for (int32_t j = 0; j < n_soon; j += 8) XMR_PREFETCH(p->entries + soon->start + j);
            } else {
                for (int32_t j = 0; j < n_soon; j += 16) {
                    XMR_PREFETCH(p->indices + soon->start + j);
                    XMR_PREFETCH(p->data + soon->start + j);
                }
            }
            if (p->n_dense && p->rows[next].block >= 0) XMR_PREFETCH(p->data + p->rows[next].block);
        }
        const xmr_row *following = p->rows + ws->order[is_far && s + 1 < n_active ? s + 1 : s];
        const int32_t n_following = is_far && following->n <= SHORT_ROW ? following->n : 0;
        FN(prefetch)(p, W, following, 0, n_following / 3);
        V *a = (V *)(alpha + (size_t)r * XMR_LANES);
        M active[NV], some = {0};
        EACH(v) {
            active[v] = live[v] & (a[v] >= 0);
            some |= active[v];
        }
        if (!FN(any)(some)) {
            n_active--;
            ws->order[s] = ws->order[n_active];
            ws->order[n_active] = r;
            s--;
            continue;
        }
        const xmr_row *row = p->rows + r;
        const REAL inv_cost = 1 / (REAL)row->cost;
        V z[NV], delta[NV], y[NV], step[NV], diagonal[NV];
        EACH(v) {
            z[v] = bias * intercept[v];
            y[v] = FN(splat)(-1);
            step[v] = FN(splat)(row->step_neg);
            diagonal[v] = FN(splat)(d_neg * inv_cost);
        }
        FN(dot)(p, W, row, z);
        FN(prefetch)(p, W, following, n_following / 3, 2 * n_following / 3);
        unsigned positive = ws->positive[r];
        if (positive) { /* most rows are positive for none of the lanes */
            M pos[NV];
            FN(expand)(positive, pos);
            EACH(v) {
                y[v] = FN(select)(pos[v], FN(splat)(1), y[v]);
                if (ws->relevance && !is_hinge) { /* 1 / Q_ii and D_ii differ from lane to lane */
                    V d = (REAL)0.5 / FN(positive_cost)(p, ws, r, v);
                    step[v] = FN(select)(pos[v], 1 / ((REAL)p->sq_norms[r] + d), step[v]);
                    diagonal[v] = FN(select)(pos[v], d, diagonal[v]);
                    continue;
                }
                step[v] = FN(select)(pos[v], FN(splat)(row->step_pos), step[v]);
                diagonal[v] = FN(select)(pos[v], FN(splat)(d_pos * inv_cost), diagonal[v]);
            }
        }
        FN(prefetch)(p, W, following, 2 * n_following / 3, n_following);
        some = (M){0};
        EACH(v) {
            V av = a[v];
            V gradient = y[v] * z[v] - 1 + diagonal[v] * av;
            M at_zero = av == 0;
            M shrink = active[v] & at_zero & (gradient > upper_bound[v]);
            V projected = FN(select)(at_zero & (gradient > 0), (V){0}, gradient);
            V next = av - gradient * step[v];
            next = FN(select)(next < 0, (V){0}, next);
            V marked = FN(splat)(AT_ZERO);
            if (is_hinge) {
                V u = FN(select)(y[v] > 0, FN(positive_cost)(p, ws, r, v), FN(splat)(p->cost_negative * row->cost));
                M at_upper = av >= u;
                M shrink_upper = active[v] & at_upper & (gradient < lower_bound[v]);
                projected = FN(select)(at_upper & (gradient < 0), (V){0}, projected);
                next = FN(select)(next > u, u, next);
                marked = FN(select)(shrink_upper, FN(splat)(AT_UPPER), marked);
                shrink |= shrink_upper;
            }
            shrunk[v] |= shrink;
            M kept = active[v] & ~shrink;
            hi[v] = FN(select)(kept & (projected > hi[v]), projected, hi[v]);
            lo[v] = FN(select)(kept & (projected < lo[v]), projected, lo[v]);
            M move = kept & ((projected > (REAL)1e-12) | (projected < (REAL)-1e-12));
            V change = FN(select)(move, next - av, (V){0});
            gain[v] -= change * gradient;
            delta[v] = change * y[v];
            some |= (delta[v] != 0);
            av = FN(select)(move, next, av);
            a[v] = FN(select)(shrink, marked, av);
        }
        if (!FN(any)(some)) continue;
        FN(axpy)(p, W, row, delta);
        EACH(v) intercept[v] += bias * delta[v];
    }
    EACH(v) {
        w_bias[v] = intercept[v];
        for (int k = 0; k < PER_V; k++) {
            ws->pg_max[v * PER_V + k] = hi[v][k];
            ws->pg_min[v * PER_V + k] = lo[v][k];
            ws->gain[v * PER_V + k] = 0.5 * gain[v][k];
        }
        ws->shrunk |= FN(bits)(shrunk[v]) << (v * PER_V);
    }
    ws->n_active = n_active;
}

#ifdef XMR_WITH_LOG_LOSS
/* Minimise the one-variable dual of logistic loss by Newton's method; returns the new alpha. */
static REAL FN(log_loss_step)(REAL a, REAL upper, REAL q, REAL margin, REAL inner_tol, REAL *gradient) {
    /* Work on alpha or on U - alpha, whichever is the smaller at the minimum (Yu et al., Alg. 5). */
    REAL other = upper - a;
    int flip = (REAL)0.5 * q * (other - a) + margin < 0;
    REAL old = flip ? other : a, sign = flip ? -1 : 1, z = old;
    /* Only alpha is stored: nearer to U, U - alpha is zero, and its logarithm infinite. */
    const REAL rounding = (REAL)2.3e-16 * upper, most = upper * (1 - (REAL)1e-15);
    if (upper - z < (REAL)0.5 * upper) z *= (REAL)0.1;
    z = z > rounding ? z : rounding;
    REAL g = q * (z - old) + sign * margin + log(z / (upper - z));
    *gradient = sign * margin + log(old / (upper - old));
    if (old <= 2 * rounding && *gradient > 0) *gradient = 0; /* there is no smaller one */
    if (flip && fabs(*gradient) * old <= rounding) *gradient = 0; /* nor can it be told from zero */
    for (int step = 0; step < 100 && fabs(g) >= inner_tol; step++) {
        REAL h = q + upper / ((upper - z) * z);
        REAL next = z - g / h;
        next = next <= 0 ? z * (REAL)0.1 : next;
        next = next < rounding ? rounding : next > most ? most : next;
        if (next == z) break;
        z = next;
        g = q * (z - old) + sign * margin + log(z / (upper - z));
    }
    return flip ? upper - z : z;
}

static REAL FN(cost)(const xmr_problem *p, const xmr_lanes *s, int64_t r, int k) {
    if (s->positive[r] >> k & 1) return FN(positive_cost)(p, s, r, k / PER_V)[k % PER_V];
    return (REAL)p->cost_negative * p->rows[r].cost;
}

/* One pass of logistic loss over all rows. */
static void FN(log_loss_pass)(const xmr_problem *p, xmr_lanes *ws) {
    REAL *W = (REAL *)ws->weights, *alpha = (REAL *)ws->alpha;
    V *w_bias = (V *)(W + (size_t)p->n_features * XMR_LANES);
    const REAL bias = (REAL)p->bias, inner_tol = (REAL)(0.1 * p->tol);
    for (int k = 0; k < XMR_LANES; k++) ws->pg_max[k] = ws->pg_min[k] = 0;
    for (int64_t s = 0; s < p->n_rows; s++) {
        int32_t r = ws->order[s];
        const xmr_row *row = p->rows + r;
        V z[NV], delta[NV];
        EACH(v) {
            z[v] = bias * w_bias[v];
            delta[v] = (V){0};
        }
        FN(dot)(p, W, row, z);
        REAL q = (REAL)p->sq_norms[r];
        for (unsigned lanes = ws->live; lanes; lanes &= lanes - 1) {
            int k = __builtin_ctz(lanes);
            REAL *a = alpha + (size_t)r * XMR_LANES + k;
            if (*a == DROPPED) continue;
            int positive = ws->positive[r] >> k & 1;
            REAL y = positive ? 1 : -1;
            REAL upper = FN(cost)(p, ws, r, k);
            REAL gradient, margin = y * z[k / PER_V][k % PER_V];
            REAL next = FN(log_loss_step)(*a, upper, q, margin, inner_tol, &gradient);
            if (!(fabs(gradient) <= ws->pg_max[k])) ws->pg_max[k] = fabs(gradient);
            delta[k / PER_V][k % PER_V] = (next - *a) * y;
            *a = next;
        }
        FN(axpy)(p, W, row, delta);
        EACH(v) w_bias[v] += bias * delta[v];
    }
}

/* Start values of the given lanes; Yu et al. */
static void FN(start_log_loss)(const xmr_problem *p, xmr_lanes *s, unsigned lanes) {
    for (int64_t r = 0; r < p->n_rows; r++) {
        REAL *a = (REAL *)s->alpha + r * XMR_LANES;
        for (unsigned left = lanes; left; left &= left - 1) {
            int k = __builtin_ctz(left);
            REAL upper = FN(cost)(p, s, r, k);
            REAL start = (REAL)0.001 * upper;
            if (a[k] != DROPPED) a[k] = start < (REAL)1e-8 ? start : (REAL)1e-8;
        }
    }
    FN(rebuild)(p, s);
}
#endif

/* Write the given lanes' weights of the features from `first` to `last` that survive pruning; returns their
 * number. */
static int64_t FN(collect)(const xmr_problem *p, const xmr_lanes *s, unsigned lanes, int64_t first, int64_t last,
                           xmr_weight *out) {
    const V *w = (const V *)s->weights + first * NV;
    const V bound = FN(splat)((REAL)p->threshold);
    int64_t n = 0;
    for (int64_t f = first; f < last; f++, w += NV) {
        unsigned bits = 0;
        EACH(v) {
            V size = FN(select)(w[v] < 0, -w[v], w[v]);
            bits |= FN(bits)((size >= bound) & (size > 0)) << (v * PER_V);
        }
        for (bits &= lanes; bits; bits &= bits - 1) {
            int k = __builtin_ctz(bits);
            out[n++] = (xmr_weight){(int32_t)f, k, (float)w[k / PER_V][k % PER_V]};
        }
    }
    return n;
}

static void FN(begin)(const xmr_problem *p, xmr_lanes *s) {
    V *alpha = (V *)s->alpha;
    memset(s->weights, 0, (size_t)(p->n_features + 1) * XMR_LANES * sizeof(REAL));
    memset(s->positive, 0, (size_t)p->n_rows * sizeof(uint16_t));
    for (int64_t r = 0; r < p->n_rows; r++, alpha += NV) {
        s->order[r] = (int32_t)r;
        EACH(v) alpha[v] = FN(splat)(DROPPED);
    }
    s->live = s->waiting = s->shrunk = 0;
}

/* Lanes that converged on a shrunk set are checked against all rows. */
static void FN(check_waiting)(const xmr_problem *p, xmr_lanes *s) {
    if (!s->waiting) return;
    FN(restore)(p, s, s->waiting);
    for (unsigned left = s->waiting; left; left &= left - 1) {
        int k = __builtin_ctz(left);
        s->bound_max[k] = INFINITY;
        s->bound_min[k] = -INFINITY;
    }
    s->live |= s->waiting;
    s->waiting = 0;
}

/* Put new labels, whose positives are marked, into the given lanes. */
static void FN(load)(const xmr_problem *p, xmr_lanes *s, unsigned lanes) {
    V *w = (V *)s->weights, *a = (V *)s->alpha;
    M fresh[NV], mask[NV];
    FN(expand)(lanes, fresh);
    for (int64_t f = 0; f <= p->n_features; f++, w += NV) EACH(v) w[v] = FN(select)(fresh[v], (V){0}, w[v]);
    for (int64_t r = 0; r < p->n_rows; r++, a += NV) {
        unsigned dropped = p->member && !p->member[r] ? ~(unsigned)s->positive[r] : 0;
        FN(expand)(dropped, mask);
        EACH(v) a[v] = FN(select)(fresh[v], FN(select)(mask[v], FN(splat)(DROPPED), (V){0}), a[v]);
    }
    for (unsigned left = lanes; left; left &= left - 1) {
        int k = __builtin_ctz(left);
        s->n_iter[k] = 0;
        s->objective[k] = 0;
        s->bound_max[k] = INFINITY;
        s->bound_min[k] = -INFINITY;
    }
    s->shrunk &= ~lanes;
    FN(check_waiting)(p, s); /* all rows are visited now, whether or not they wait */
    s->live |= lanes;
    s->n_active = p->n_rows;
#ifdef XMR_WITH_LOG_LOSS
    if (p->loss == XMR_LOG_LOSS) FN(start_log_loss)(p, s, lanes);
#endif
}

/* Train until at least `n_wanted` lanes are through, or all; returns them. */
static unsigned FN(run)(const xmr_problem *p, xmr_lanes *s, int n_wanted, int *n_unconverged) {
    unsigned finished = 0;
    while (__builtin_popcount(finished) < n_wanted && (s->live | s->waiting) && !p->should_stop(p->watch)) {
        if (!s->live || s->n_active * 8 > p->n_rows * 7) FN(check_waiting)(p, s);
        xmr_shuffle(s->order, s->n_active, &s->random);
#ifdef XMR_WITH_LOG_LOSS
        if (p->loss == XMR_LOG_LOSS) FN(log_loss_pass)(p, s);
        else
#endif
            FN(hinge_pass)(p, s);
        for (unsigned left = s->live; left; left &= left - 1) {
            int k = __builtin_ctz(left);
            unsigned bit = 1u << k;
            double hi = s->pg_max[k], lo = s->pg_min[k], violation = fmax(fabs(hi), fabs(lo));
            int nothing_active = hi < lo, small = hi - lo <= p->tol && violation <= p->tol;
            int stalls = 0;
            s->n_iter[k]++;
            if (p->loss != XMR_LOG_LOSS) {
                s->objective[k] += s->gain[k];
                stalls = p->min_progress >= 0 && s->n_iter[k] > 1 && s->gain[k] <= p->min_progress * s->objective[k];
            }
            if (stalls || (!nothing_active && !isfinite(violation))) { /* overflow: nothing to wait for */
                finished |= bit;
            } else if (nothing_active || small) {
                if (s->shrunk & bit) s->waiting |= bit;
                else finished |= bit;
            } else {
                s->bound_max[k] = hi <= 0 ? INFINITY : hi;
                s->bound_min[k] = lo >= 0 ? -INFINITY : lo;
            }
            if (s->n_iter[k] >= p->max_iter && !(finished & bit)) {
                finished |= bit;
                *n_unconverged += !nothing_active && violation > p->accepted_tol;
            }
        }
        s->waiting &= ~finished;
        s->live &= ~(finished | s->waiting);
    }
    if (p->threshold < XMR_DUST && finished) {
        FN(restore)(p, s, 0xffff);
        FN(rebuild)(p, s);
    }
    return finished;
}

#undef FN
#undef V
#undef M
#undef NV
#undef PER_V
#undef AHEAD
#undef FAR_BYTES
#undef SHORT_ROW
#undef AT_ZERO
#undef AT_UPPER
#undef DROPPED
#undef EACH
#undef TERM
#undef ADD4
#undef DOT
#undef AXPY
#undef GATHERED_OFFSET
#undef GATHERED_VALUE
#undef DIRECT_OFFSET
#undef DIRECT_VALUE
#undef DENSE_OFFSET
#undef DENSE_VALUE
#undef INLINE
#undef VBYTES
#undef VARIANT
