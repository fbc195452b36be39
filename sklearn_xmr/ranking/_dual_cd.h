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

enum { XMR_SQUARED_HINGE = 0, XMR_HINGE = 1, XMR_LOG_LOSS = 2 };

/* The rows of one cluster and 16 of its labels. */
typedef struct {
    int64_t n_rows;
    int64_t n_features;        /* local; W has one row more, for the constant feature */
    const int64_t *indptr;     /* (n_rows + 1) */
    const int32_t *indices;
    const float *data;
    const double *sq_norms;    /* (n_rows) squared norm with the constant feature */
    const float *row_cost;     /* (n_rows), or NULL for ones */
    const uint8_t *member;     /* (n_rows), or NULL for ones; 0: the row counts only where positive */
    const uint16_t *positive;  /* (n_rows) one bit a lane */
    int n_lanes;               /* lanes in use, the first ones */
    int loss;
    int max_iter;
    double cost_positive, cost_negative, bias;
    double tol;          /* a lane stops here */
    double accepted_tol; /* a lane that max_iter stops beyond this counts as unconverged */
    uint64_t seed;
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

#define REAL double
#define INT int64_t
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
#undef XMR_WITH_LOG_LOSS

static inline xmr_outcome xmr_solve(const xmr_problem *p, xmr_workspace *ws, int variant, int is_double) {
#if XMR_X86_VARIANTS
    if (variant == XMR_AVX512) return is_double ? solve_f64_avx512(p, ws) : solve_f32_avx512(p, ws);
    if (variant == XMR_AVX2) return is_double ? solve_f64_avx2(p, ws) : solve_f32_avx2(p, ws);
#endif
    (void)variant;
    return is_double ? solve_f64_baseline(p, ws) : solve_f32_baseline(p, ws);
}

#endif
