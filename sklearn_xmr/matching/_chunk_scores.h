/* Scores of a node's children, and which of them matter: the product of a query with a chunk of weights, its
 * transform, the candidates.
 *
 * One function per instruction set, and of the products per pair of entry types, chosen when a level is opened.
 * All products add in the order of the query's features, so they give the same bits. */
#ifndef XMR_CHUNK_SCORES_H
#define XMR_CHUNK_SCORES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../utils/_ordered_keys.h"
#include "../utils/_prefetch.h"
#include "../utils/_simd.h"

struct xmr_chunks;

/* margins[child] = intercept + sum over the query's features; margins has room for twice the children. */
typedef void (*xmr_adder)(const struct xmr_chunks *level, int64_t chunk, const int32_t *indices, const float *data,
                          int64_t n, float *margins);
typedef void (*xmr_transformer)(const struct xmr_chunks *level, float path, float *margins, int64_t n);
/* A score that at least `width` of the children reach, -inf for want of a better one. */
typedef float (*xmr_bounder)(const float *scores, int64_t n, int64_t width);
/* Append the keys of the n children from `first` that score at least `floor`, and not -inf; returns how many keys
 * there are then. */
typedef int64_t (*xmr_gatherer)(const struct xmr_chunks *level, const float *scores, int64_t first, int64_t n,
                                float floor, uint64_t *keys, int64_t n_keys);

/* A level of ChunkedWeights; see that class for the layout. */
typedef struct xmr_chunks {
    const int64_t *child_ptr;
    const int64_t *entry_ptr;
    const uint8_t *entries;
    const float *scales;
    const float *intercepts;
    const int64_t *word_ptr;
    const uint64_t *words;
    const uint8_t *word_shift; /* a word stands for 1 << shift features */
    const int32_t *identifiers; /* label of each child, NULL: its own number */
    int64_t max_fan_out;
    int64_t n_children;
    int kind;        /* score transform */
    float parameter; /* slope of a sigmoid, power of a hinge */
    xmr_adder add;
    xmr_transformer transform;
    xmr_gatherer gather;
    xmr_bounder bound;
} xmr_chunks;

/* Words of this shift are bitmaps of their features; the bits of others stand for several features each. */
#define XMR_BITMAP_SHIFT 5

/* Query features looked up together, so that their weights are on the way while others are added. */
#define XMR_BATCH 64
/* Bytes of a cache line. */
#define XMR_LINE 64

/* Rows are packed: nothing in them is aligned. */
typedef uint8_t xmr_u8;
typedef uint16_t xmr_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t xmr_u32 __attribute__((aligned(1), may_alias));
typedef int8_t xmr_i8;
typedef int16_t xmr_i16 __attribute__((aligned(1), may_alias));
typedef float xmr_f32 __attribute__((aligned(1), may_alias));

#define XMR_ADD_ROW(SLOT, VALUE, SUMS, START, END, X)                                              \
    const VALUE *value = (const VALUE *)(entries + (START));                                       \
    const int64_t size = (int64_t)(END) - (START);                                                 \
    if (size == fan_out * (int64_t)sizeof(VALUE)) { /* lists all children in order */              \
        for (int64_t i = 0; i < fan_out; i++) (SUMS)[i] += (X) * (float)value[i];                  \
    } else {                                                                                       \
        const int64_t length = size / (int64_t)(sizeof(VALUE) + sizeof(SLOT));                     \
        const SLOT *slot = (const SLOT *)(value + length);                                         \
        for (int64_t i = 0; i < length; i++) (SUMS)[slot[i]] += (X) * (float)value[i];             \
    }

#define XMR_DEFINE_ADDER(NAME, SLOT, START, VALUE)                                                  \
    static void NAME(const xmr_chunks *level, int64_t chunk, const int32_t *indices,                \
                     const float *data, int64_t n, float *margins) {                                \
        const int64_t first = level->child_ptr[chunk];                                              \
        const uint8_t *entries = level->entries + level->entry_ptr[chunk];                          \
        const float scale = level->scales[chunk];                                                   \
        const int64_t fan_out = level->child_ptr[chunk + 1] - first;                                \
        const uint64_t *words = level->words + level->word_ptr[chunk];                              \
        const int shift = level->word_shift[chunk];                                                 \
        /* two sums a child, for a child's additions would wait for each other */                   \
        float *odd = margins + fan_out;                                                             \
        uint32_t place = 0, walked = UINT32_MAX;                                                    \
        int32_t last = 0;                                                                           \
        memcpy(margins, level->intercepts + first, (size_t)fan_out * sizeof(float));                \
        memset(odd, 0, (size_t)fan_out * sizeof(float));                                            \
        for (int64_t start = 0; start < n; start += XMR_BATCH) {                                    \
            const int64_t end = n - start < XMR_BATCH ? n : start + XMR_BATCH;                      \
            uint32_t rows[XMR_BATCH], ends[XMR_BATCH];                                              \
            float xs[XMR_BATCH];                                                                    \
            int n_hits = 0;                                                                         \
            if (shift == XMR_BITMAP_SHIFT) {                                                        \
                for (int64_t j = start; j < end; j++) { /* no branch: hits are hard to foretell */  \
                    uint64_t word = words[indices[j] >> XMR_BITMAP_SHIFT];                          \
                    int bit = indices[j] & 31;                                                      \
                    uint32_t below = (uint32_t)word & (((uint32_t)1 << bit) - 1);                   \
                    rows[n_hits] = (uint32_t)(word >> 32);                                          \
                    ends[n_hits] = (uint32_t)sizeof(START) * (uint32_t)__builtin_popcount(below);   \
                    xs[n_hits] = data[j] * scale;                                                   \
                    n_hits += (int)(word >> bit & 1);                                               \
                }                                                                                   \
                for (int h = 0; h < n_hits; h++) XMR_PREFETCH(entries + rows[h] + ends[h]);         \
                for (int h = 0; h < n_hits; h++) {                                                  \
                    const START *starts = (const START *)(entries + rows[h] + ends[h]);             \
                    ends[h] = rows[h] + starts[1];                                                  \
                    rows[h] += starts[0];                                                           \
                    XMR_PREFETCH(entries + rows[h]);                                                \
                    XMR_PREFETCH(entries + ends[h] - 1);                                            \
                }                                                                                   \
            } else {                                                                                \
                int32_t asked[XMR_BATCH];                                                           \
                int n_found = 0;                                                                    \
                for (int64_t j = start; j < end; j++) { /* no branch here, either */                \
                    const uint64_t *word = words + (indices[j] >> shift);                           \
                    rows[n_hits] = (uint32_t)(word[0] >> 32);                                       \
                    ends[n_hits] = (uint32_t)(word[1] >> 32);                                       \
                    xs[n_hits] = data[j] * scale;                                                   \
                    asked[n_hits] = indices[j];                                                     \
                    n_hits += (int)(word[0] >> (indices[j] >> (shift - XMR_BITMAP_SHIFT) & 31) & 1);\
                }                                                                                   \
                for (int h = 0; h < n_hits; h++) {                                                  \
                    XMR_PREFETCH(entries + rows[h]);                                                \
                    XMR_PREFETCH(entries + ends[h] - 1);                                            \
                }                                                                                   \
                for (int h = 0; h < n_hits; h++) {                                                  \
                    const uint16_t low = (uint16_t)asked[h];                                        \
                    /* features of one crowded word, such as a dense block, take one walk together */\
                    place = rows[h] == walked && asked[h] >= last ? place : rows[h];                \
                    walked = rows[h];                                                               \
                    last = asked[h];                                                                \
                    while (place < ends[h] && *(const xmr_u16 *)(entries + place) < low)            \
                        place += 2 + (uint32_t)sizeof(START) + *(const START *)(entries + place + 2);\
                    if (place >= ends[h] || *(const xmr_u16 *)(entries + place) != low) continue;   \
                    rows[n_found] = place + 2 + (uint32_t)sizeof(START);                            \
                    ends[n_found] = rows[n_found] + *(const START *)(entries + place + 2);          \
                    xs[n_found++] = xs[h];                                                          \
                }                                                                                   \
                n_hits = n_found;                                                                   \
            }                                                                                       \
            for (int h = 0; h < n_hits; h++) {                                                      \
                float *restrict sums = h & 1 ? odd : margins;                                       \
                XMR_ADD_ROW(SLOT, VALUE, sums, rows[h], ends[h], xs[h])                             \
            }                                                                                       \
        }                                                                                           \
        for (int64_t i = 0; i < fan_out; i++) margins[i] += odd[i];                                 \
    }

/* Ask for what a product with this chunk will read first: the intercepts, and the words of the query's features. */
static inline void xmr_prefetch_chunk(const xmr_chunks *level, int64_t chunk, const int32_t *indices, int64_t n) {
    const uint64_t *words = level->words + level->word_ptr[chunk];
    const int shift = level->word_shift[chunk];
    for (int64_t i = level->child_ptr[chunk]; i < level->child_ptr[chunk + 1]; i += XMR_LINE / sizeof(float))
        XMR_PREFETCH(level->intercepts + i);
    for (int64_t j = 0; j < n && j < XMR_BATCH; j++) XMR_PREFETCH(words + (indices[j] >> shift));
}

/* Score transforms, see ranking/_score_transform.py. */
enum { XMR_IDENTITY = 0, XMR_SIGMOID = 1, XMR_HINGE_POWER = 2 };

/* Factors stay this side of float32's range however large a margin is, so that only children without any
 * weights (intercept -inf) score -inf. A margin that is no number, inf - inf, counts as the worst. */
#define XMR_MAX_SLACK 1e9f
#define XMR_MIN_LOG -1e37f

static inline float xmr_log_sigmoid(float margin) {
    margin = margin >= XMR_MIN_LOG ? margin : XMR_MIN_LOG;
    return (margin < 0 ? margin : 0) - log1pf(expf(-fabsf(margin)));
}

/* Margins to path scores in log space, in place; the identity forgets the path. */
#define XMR_TRANSFORM_LOOP(FACTOR)                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                               \
        float margin = margins[i];                                                                  \
        float slack = margin >= 1 ? 0 : 1 - margin < XMR_MAX_SLACK ? 1 - margin : XMR_MAX_SLACK;    \
        margins[i] = margin == -INFINITY ? -INFINITY : path - (FACTOR);                             \
    }                                                                                               \
    return;

#define XMR_DEFINE_TRANSFORM(NAME)                                                                  \
    static void NAME(const xmr_chunks *level, float path, float *margins, int64_t n) {              \
        if (level->kind == XMR_IDENTITY) return;                                                    \
        if (level->kind == XMR_SIGMOID) {                                                           \
            for (int64_t i = 0; i < n; i++)                                                         \
                margins[i] = margins[i] == -INFINITY                                                \
                                 ? -INFINITY                                                        \
                                 : path + xmr_log_sigmoid(level->parameter * margins[i]);           \
            return;                                                                                 \
        }                                                                                           \
        switch ((int)level->parameter) {                                                            \
            case 1: XMR_TRANSFORM_LOOP(slack)                                                       \
            case 2: XMR_TRANSFORM_LOOP(slack * slack)                                               \
            case 3: XMR_TRANSFORM_LOOP(slack * slack * slack)                                       \
            default: XMR_TRANSFORM_LOOP(slack * slack * slack * slack)                              \
        }                                                                                           \
    }

/* The bits of a block of children are found without a branch; most blocks have none. */
#define XMR_BLOCK 32

#define XMR_DEFINE_GATHERER(NAME)                                                                   \
    static int64_t NAME(const xmr_chunks *level, const float *scores, int64_t first, int64_t n,     \
                        float floor, uint64_t *keys, int64_t n_keys) {                              \
        for (int64_t start = 0; start < n; start += XMR_BLOCK) {                                    \
            const int64_t length = n - start < XMR_BLOCK ? n - start : XMR_BLOCK;                   \
            const float *block = scores + start;                                                    \
            uint32_t bits = 0;                                                                      \
            if (length == XMR_BLOCK)                                                                \
                for (int i = 0; i < XMR_BLOCK; i++) bits |= (uint32_t)(block[i] >= floor) << i;     \
            else                                                                                    \
                for (int i = 0; i < length; i++) bits |= (uint32_t)(block[i] >= floor) << i;        \
            for (; bits; bits &= bits - 1) {                                                        \
                const int i = __builtin_ctz(bits);                                                  \
                const int64_t child = first + start + i;                                            \
                const uint32_t identifier =                                                         \
                    (uint32_t)(level->identifiers ? level->identifiers[child] : child);             \
                keys[n_keys] = xmr_pack_key(block[i], identifier);                                  \
                n_keys += block[i] != -INFINITY;                                                    \
            }                                                                                       \
        }                                                                                           \
        return n_keys;                                                                              \
    }

/* The children are dealt to 16 hands. The best of each hand are 16 children, of which `width` reach the answer. */
#define XMR_HANDS 16

#define XMR_DEFINE_BOUNDER(NAME)                                                                    \
    static float NAME(const float *scores, int64_t n, int64_t width) {                              \
        float best[XMR_HANDS], bound = INFINITY;                                                    \
        if (width > XMR_HANDS || n < XMR_HANDS) return -INFINITY;                                   \
        for (int i = 0; i < XMR_HANDS; i++) best[i] = scores[i];                                    \
        for (int64_t start = XMR_HANDS; start + XMR_HANDS <= n; start += XMR_HANDS)                 \
            for (int i = 0; i < XMR_HANDS; i++)                                                     \
                best[i] = scores[start + i] > best[i] ? scores[start + i] : best[i];                \
        for (int i = 0; i < XMR_HANDS; i++) {                                                       \
            int32_t n_better = 0;                                                                   \
            for (int j = 0; j < XMR_HANDS; j++) n_better += best[j] > best[i];                      \
            bound = n_better < width && best[i] < bound ? best[i] : bound;                          \
        }                                                                                           \
        return bound;                                                                               \
    }

#define XMR_DEFINE_ADDERS(VARIANT)                                       \
    XMR_DEFINE_ADDER(add_u8_i8_##VARIANT, xmr_u8, xmr_u16, xmr_i8)       \
    XMR_DEFINE_ADDER(add_u16_i8_##VARIANT, xmr_u16, xmr_u32, xmr_i8)     \
    XMR_DEFINE_ADDER(add_u32_i8_##VARIANT, xmr_u32, xmr_u32, xmr_i8)     \
    XMR_DEFINE_ADDER(add_u8_i16_##VARIANT, xmr_u8, xmr_u16, xmr_i16)     \
    XMR_DEFINE_ADDER(add_u16_i16_##VARIANT, xmr_u16, xmr_u32, xmr_i16)   \
    XMR_DEFINE_ADDER(add_u32_i16_##VARIANT, xmr_u32, xmr_u32, xmr_i16)   \
    XMR_DEFINE_ADDER(add_u8_f32_##VARIANT, xmr_u8, xmr_u16, xmr_f32)     \
    XMR_DEFINE_ADDER(add_u16_f32_##VARIANT, xmr_u16, xmr_u32, xmr_f32)   \
    XMR_DEFINE_ADDER(add_u32_f32_##VARIANT, xmr_u32, xmr_u32, xmr_f32)   \
    XMR_DEFINE_TRANSFORM(transform_##VARIANT)                            \
    XMR_DEFINE_BOUNDER(bound_##VARIANT)                                  \
    XMR_DEFINE_GATHERER(gather_##VARIANT)

#define XMR_ADDER_ROW(VARIANT)                                                             \
    {                                                                                      \
        {add_u8_i8_##VARIANT, add_u16_i8_##VARIANT, add_u32_i8_##VARIANT},                 \
            {add_u8_i16_##VARIANT, add_u16_i16_##VARIANT, add_u32_i16_##VARIANT},          \
            {add_u8_f32_##VARIANT, add_u16_f32_##VARIANT, add_u32_f32_##VARIANT},          \
    }

XMR_DEFINE_ADDERS(baseline)
#if XMR_X86_VARIANTS
XMR_TARGET_BEGIN_AVX2
XMR_DEFINE_ADDERS(avx2)
XMR_TARGET_END
/* Look-ups and short scattered adds gain nothing from wider vectors. */
static const xmr_adder XMR_ADDERS[XMR_N_VARIANTS][3][3] = {XMR_ADDER_ROW(baseline), XMR_ADDER_ROW(avx2),
                                                           XMR_ADDER_ROW(avx2)};
static const xmr_transformer XMR_TRANSFORMERS[XMR_N_VARIANTS] = {transform_baseline, transform_avx2,
                                                                 transform_avx2};
static const xmr_gatherer XMR_GATHERERS[XMR_N_VARIANTS] = {gather_baseline, gather_avx2, gather_avx2};
static const xmr_bounder XMR_BOUNDERS[XMR_N_VARIANTS] = {bound_baseline, bound_avx2, bound_avx2};
#else
static const xmr_adder XMR_ADDERS[1][3][3] = {XMR_ADDER_ROW(baseline)};
static const xmr_transformer XMR_TRANSFORMERS[1] = {transform_baseline};
static const xmr_gatherer XMR_GATHERERS[1] = {gather_baseline};
static const xmr_bounder XMR_BOUNDERS[1] = {bound_baseline};
#endif

/* Take the functions for values of 1, 2 or 4 bytes and slots of 1, 2 or 4 bytes. */
static inline void xmr_choose_functions(xmr_chunks *level, int variant, int value_size, int slot_size) {
    level->add = XMR_ADDERS[variant][value_size >> 1][slot_size >> 1];
    level->transform = XMR_TRANSFORMERS[variant];
    level->gather = XMR_GATHERERS[variant];
    level->bound = XMR_BOUNDERS[variant];
}

#endif
