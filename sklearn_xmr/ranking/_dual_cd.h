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
    int64_t start; /* of its entries */
    int32_t n;
    float cost;
    float step_pos, step_neg; /* 1 / Q_ii of the hinge losses, for either class */
} xmr_row;

/* The rows of one cluster and 16 of its labels. */
typedef struct {
    int64_t n_rows;
    int64_t n_features;        /* local; W has one row more, for the constant feature */
    const xmr_row *rows;
    const xmr_entry *entries;
    const double *sq_norms;    /* (n_rows) with the constant feature */
    const int32_t *features;   /* (n_features) their numbers in X, ascending */
    const uint8_t *member;     /* (n_rows), or NULL for ones; 0: the row counts only where positive */
    const uint16_t *positive;  /* (n_rows) one bit a lane */
    int n_lanes;               /* lanes in use, the first ones */
    int loss;
    int max_iter;
    double cost_positive, cost_negative, bias;
    double tol;          /* a lane stops here */
    double accepted_tol; /* a lane that max_iter stops beyond this counts as unconverged */
    double threshold;    /* smaller weights are dropped */
    uint64_t seed;
    int (*should_stop)(void);  /* asked once a pass; the result is then of no use */
} xmr_problem;

/* Scratch of the caller, aligned to 64 bytes; W is the result. */
typedef struct {
    void *weights;   /* (n_features + 1, 16) float32 or float64 */
    void *alpha;     /* (n_rows, 16) */
    int32_t *order;  /* (n_rows) */
} xmr_workspace;

typedef struct {
    int n_iter;
    int n_unconverged; /* lanes that max_iter stopped */
} xmr_outcome;

/* Weights that survive pruning. */
typedef struct {
    int32_t *features;
    int32_t *lanes;
    float *values;
} xmr_weights;

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

typedef xmr_outcome (*xmr_solver)(const xmr_problem *, xmr_workspace *);
typedef int64_t (*xmr_collector)(const xmr_problem *, const void *, xmr_weights *);

#if XMR_X86_VARIANTS
static const xmr_solver XMR_SOLVERS[2][XMR_N_VARIANTS] = {
    {solve_f32_baseline, solve_f32_avx2, solve_f32_avx512}, {solve_f64_baseline, solve_f64_avx2, solve_f64_avx512}};
static const xmr_collector XMR_COLLECTORS[2][XMR_N_VARIANTS] = {
    {collect_f32_baseline, collect_f32_avx2, collect_f32_avx512},
    {collect_f64_baseline, collect_f64_avx2, collect_f64_avx512}};
#else
static const xmr_solver XMR_SOLVERS[2][1] = {{solve_f32_baseline}, {solve_f64_baseline}};
static const xmr_collector XMR_COLLECTORS[2][1] = {{collect_f32_baseline}, {collect_f64_baseline}};
#endif

static inline xmr_outcome xmr_solve(const xmr_problem *p, xmr_workspace *ws, int variant, int is_double) {
    return XMR_SOLVERS[is_double][variant](p, ws);
}

static inline int64_t xmr_collect(const xmr_problem *p, const xmr_workspace *ws, xmr_weights *out, int variant,
                                  int is_double) {
    return XMR_COLLECTORS[is_double][variant](p, ws->weights, out);
}

#endif
