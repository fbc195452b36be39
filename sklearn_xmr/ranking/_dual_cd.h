/* One-vs-rest problems of 16 sibling labels, solved side by side: types and run-time dispatch.
 *
 * The solver itself is _dual_cd_lanes.h, compiled here for every instruction set and for float32 and
 * float64. Labels are SIMD lanes: each lane keeps its own order of summation, so all variants give
 * the same bits (the build switches contraction into fused multiply-adds off). */
#ifndef XMR_DUAL_CD_H
#define XMR_DUAL_CD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../utils/_prefetch.h"
#include "../utils/_simd.h"

#define XMR_LANES 16

/* Rounding errors of many updates stay below this; where such weights are kept, they are computed afresh. */
#define XMR_DUST 1e-3

enum { XMR_SQUARED_HINGE = 0, XMR_HINGE = 1, XMR_LOG_LOSS = 2 };

/* A nonzero of a row: where the feature's 16 weights start, and its value. */
typedef struct {
    int32_t offset; /* 16 * local feature */
    float value;
} xmr_entry;

/* What a visit needs of a row, on one cache line. */
typedef struct {
    int64_t start; /* of its nonzeros outside the dense block */
    int64_t block; /* of its dense block within data, -1: all its nonzeros are outside */
    int32_t n;
    float cost;
    float step_pos, step_neg; /* 1 / Q_ii of the hinge losses, for either class */
} xmr_row;

/* The rows of one cluster. */
typedef struct {
    int64_t n_rows;
    int64_t n_features;        /* local; W has one row more, for the constant feature */
    int64_t n_dense;           /* the last features, which most rows have all of: their dense block */
    const xmr_row *rows;
    const xmr_entry *entries;  /* or NULL: X itself, features as in X */
    const int32_t *indices;
    const float *data;
    const double *sq_norms;    /* (n_rows) with the constant feature */
    const uint8_t *member;     /* (n_rows), or NULL for ones; 0: the row counts only where positive */
    int loss;
    int max_iter;
    double cost_positive, cost_negative, bias;
    double tol;          /* a lane stops where no projected gradient exceeds this */
    double min_progress; /* or where a pass adds less than this share to its dual objective; hinge losses */
    double accepted_tol; /* a lane that max_iter stops beyond this counts as unconverged */
    double threshold;    /* smaller weights are dropped */
    int (*should_stop)(void *); /* asked once a pass, with `watch`; the result is then of no use */
    void *watch;
} xmr_problem;

/* Up to 16 labels in training, one a lane. Sets of lanes are integers, one bit a lane. The pointers are
 * the caller's, aligned to 64 bytes. */
typedef struct {
    void *weights;      /* (n_features + 1, 16) float32 or float64 */
    void *alpha;        /* (n_rows, 16) */
    uint16_t *positive; /* (n_rows) the lanes whose label the row has */
    void *relevance;    /* (n_rows, 16) factor of a positive's cost, of use where it is one; NULL: ones */
    int32_t *order;     /* (n_rows) the first n_active have a coordinate that may move */
    int64_t n_active;
    uint64_t random;
    unsigned live;      /* in training */
    unsigned waiting;   /* converged on their active set, to be checked against all rows */
    unsigned shrunk;    /* some coordinate has left the active set */
    int n_iter[XMR_LANES];
    double bound_max[XMR_LANES], bound_min[XMR_LANES]; /* a coordinate beyond leaves the active set */
    double gain[XMR_LANES], objective[XMR_LANES];      /* of the dual: by the last pass, by all (from below) */
    double pg_max[XMR_LANES], pg_min[XMR_LANES];       /* projected gradients of the last pass */
} xmr_lanes;

/* A weight that survives pruning. */
typedef struct {
    int32_t feature; /* local */
    int32_t lane;
    float value;
} xmr_weight;

static inline uint64_t xmr_splitmix64(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static inline void xmr_shuffle(int32_t *order, int64_t n, uint64_t *state) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(((xmr_splitmix64(state) >> 32) * (uint64_t)(i + 1)) >> 32);
        int32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

#define REAL float
#define INT int32_t
#define REAL_BITS 32
#define VBYTES 16
#define VARIANT f32_baseline
#include "_dual_cd_lanes.h"
#if XMR_X86_VARIANTS
XMR_TARGET_BEGIN_AVX2
#define VBYTES 32
#define VARIANT f32_avx2
#include "_dual_cd_lanes.h"
XMR_TARGET_END
XMR_TARGET_BEGIN_AVX512
#define VBYTES 64
#define VARIANT f32_avx512
#include "_dual_cd_lanes.h"
XMR_TARGET_END
#endif
#undef REAL
#undef INT
#undef REAL_BITS

#define REAL double
#define INT int64_t
#define REAL_BITS 64
#define XMR_WITH_LOG_LOSS 1
#define VBYTES 16
#define VARIANT f64_baseline
#include "_dual_cd_lanes.h"
#if XMR_X86_VARIANTS
XMR_TARGET_BEGIN_AVX2
#define VBYTES 32
#define VARIANT f64_avx2
#include "_dual_cd_lanes.h"
XMR_TARGET_END
XMR_TARGET_BEGIN_AVX512
#define VBYTES 64
#define VARIANT f64_avx512
#include "_dual_cd_lanes.h"
XMR_TARGET_END
#endif
#undef REAL
#undef INT
#undef REAL_BITS
#undef XMR_WITH_LOG_LOSS

typedef struct {
    void (*begin)(const xmr_problem *, xmr_lanes *);
    void (*load)(const xmr_problem *, xmr_lanes *, unsigned);
    unsigned (*run)(const xmr_problem *, xmr_lanes *, int, int *);
    int64_t (*collect)(const xmr_problem *, const xmr_lanes *, unsigned, int64_t, int64_t, xmr_weight *);
} xmr_solver;

#define XMR_SOLVER(variant) \
    {XMR_CAT(begin, variant), XMR_CAT(load, variant), XMR_CAT(run, variant), XMR_CAT(collect, variant)}
static const xmr_solver XMR_SOLVERS[2][XMR_N_VARIANTS] = {
#if XMR_X86_VARIANTS
    {XMR_SOLVER(f32_baseline), XMR_SOLVER(f32_avx2), XMR_SOLVER(f32_avx512)},
    {XMR_SOLVER(f64_baseline), XMR_SOLVER(f64_avx2), XMR_SOLVER(f64_avx512)},
#else
    {XMR_SOLVER(f32_baseline)},
    {XMR_SOLVER(f64_baseline)},
#endif
};

#endif
