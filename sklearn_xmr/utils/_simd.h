/* Which instruction set the kernels use, and the pragmas that compile one source for several.
 *
 * A kernel header is included once per variant, between XMR_TARGET_BEGIN_<variant> and
 * XMR_TARGET_END. Everything it defines is static and carries the variant in its name. */
#ifndef XMR_SIMD_H
#define XMR_SIMD_H

enum { XMR_BASELINE = 0, XMR_AVX2 = 1, XMR_AVX512 = 2, XMR_N_VARIANTS = 3 };

/* clang-cl, Clang for Windows, does not define __GNUC__. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define XMR_X86_VARIANTS 1
#include <cpuid.h>
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

/* The best variant that the processor runs and for which the operating system saves the registers. Not by
 * __builtin_cpu_supports: it needs a library that clang-cl does not link. */
static inline int xmr_best_variant(void) {
    const unsigned popcnt_osxsave = 1u << 23 | 1u << 27;                       /* leaf 1, ecx */
    const unsigned avx2 = 1u << 5;                                             /* leaf 7, ebx */
    const unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const unsigned ymm = 0x6, zmm = 0xe6;                                      /* what the system saves */
    unsigned a, b, c, d, features, saved;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & popcnt_osxsave) != popcnt_osxsave) return XMR_BASELINE;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &features, &c, &d) || (saved & ymm) != ymm || !(features & avx2))
        return XMR_BASELINE;
    if ((saved & zmm) != zmm || (features & avx512_f_dq_bw_vl) != avx512_f_dq_bw_vl) return XMR_AVX2;
    return XMR_AVX512;
}
#else
#define XMR_X86_VARIANTS 0
static inline int xmr_best_variant(void) { return XMR_BASELINE; }
#endif

#define XMR_CAT_(a, b) a##_##b
#define XMR_CAT(a, b) XMR_CAT_(a, b)
#endif
