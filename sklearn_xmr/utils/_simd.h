/* Which instruction set the kernels use, and the pragmas that compile one source for several.
 *
 * A kernel header is included once per variant, between XMR_TARGET_BEGIN_<variant> and
 * XMR_TARGET_END. Everything it defines is static and carries the variant in its name. */
#ifndef XMR_SIMD_H
#define XMR_SIMD_H

enum { XMR_BASELINE = 0, XMR_AVX2 = 1, XMR_AVX512 = 2, XMR_N_VARIANTS = 3 };

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define XMR_X86_VARIANTS 1
#include <immintrin.h>
#define XMR_PRAGMA(x) _Pragma(#x)
#ifdef __clang__
#define XMR_TARGET_BEGIN_AVX2 \
    XMR_PRAGMA(clang attribute push(__attribute__((target("avx2,popcnt"))), apply_to = function))
#define XMR_TARGET_BEGIN_AVX512                                                          \
    XMR_PRAGMA(clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), \
                                    apply_to = function))
#define XMR_TARGET_END XMR_PRAGMA(clang attribute pop)
#else
#define XMR_TARGET_BEGIN_AVX2 XMR_PRAGMA(GCC push_options) XMR_PRAGMA(GCC target("avx2,popcnt"))
#define XMR_TARGET_BEGIN_AVX512 \
    XMR_PRAGMA(GCC push_options) \
    XMR_PRAGMA(GCC target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512"))
#define XMR_TARGET_END XMR_PRAGMA(GCC pop_options)
#endif

/* The best variant this processor runs. */
static inline int xmr_best_variant(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return XMR_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return XMR_AVX2;
    return XMR_BASELINE;
}
#else
#define XMR_X86_VARIANTS 0
static inline int xmr_best_variant(void) { return XMR_BASELINE; }
#endif

#define XMR_CAT_(a, b) a##_##b
#define XMR_CAT(a, b) XMR_CAT_(a, b)
#endif
