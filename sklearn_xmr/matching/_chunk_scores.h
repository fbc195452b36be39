/* Scores of a node's children, and which of them matter: the product of a query with a chunk of weights, its
 * transform, the candidates.
 *
 * One function per instruction set, and of the products per pair of entry types, chosen when a level is opened.
 * All products add in the order of the query's features, so they give the same bits. */
#ifndef XMR_CHUNK_SCORES_H
#define XMR_CHUNK_SCORES_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../utils/_ordered_keys.h"
#include "../utils/_prefetch.h"
#include "../utils/_simd.h"

struct xmr_chunks;
struct xmr_hits;
struct xmr_walk;

/* Three stages of the product of a query with a chunk, see xmr_products. */
typedef void (*xmr_reader)(const struct xmr_chunks *level, int64_t chunk, const int32_t *indices, const float *data,
                           int64_t n, struct xmr_hits *hits);
typedef void (*xmr_finder)(const struct xmr_chunks *level, int64_t chunk, struct xmr_walk *walk,
                           struct xmr_hits *hits);
typedef void (*xmr_adder)(const struct xmr_chunks *level, int64_t chunk, const struct xmr_hits *hits, float *margins);
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
    float parameter; /* slope of a sigmoid, power of a hinge; 0 of an identity: answers are margins */
    xmr_reader read;
    xmr_finder find;
    xmr_adder add;
    xmr_transformer transform;
    xmr_gatherer gather;
    xmr_bounder bound;
} xmr_chunks;

/* Words of this shift are bitmaps of their features; the bits of others stand for several features each. */
#define XMR_BITMAP_SHIFT 5

/* Query features looked up together. */
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

/* Features of a query that a chunk has weights for: first where the rows of their words begin, then where their own do. */
typedef struct xmr_hits {
    int n;
    uint32_t rows[XMR_BATCH], ends[XMR_BATCH];
    float xs[XMR_BATCH];
    int32_t features[XMR_BATCH];
} xmr_hits;

/* How far the rows of a word have been searched; features of one crowded word, such as a dense block, take one walk
 * together. */
typedef struct xmr_walk {
    uint32_t word, place;
    int32_t feature;
} xmr_walk;

/* Read the words of features. There is no branch on what they say, as hits are hard to foretell. */
#define XMR_DEFINE_READER(NAME, START)                                                              \
    static void NAME(const xmr_chunks *level, int64_t chunk, const int32_t *indices,                \
                     const float *data, int64_t n, xmr_hits *hits) {                                \
        const uint8_t *entries = level->entries + level->entry_ptr[chunk];                          \
        const float scale = level->scales[chunk];                                                   \
        const uint64_t *words = level->words + level->word_ptr[chunk];                              \
        const int shift = level->word_shift[chunk];                                                 \
        int n_hits = 0;                                                                             \
        if (shift == XMR_BITMAP_SHIFT) {                                                            \
            for (int64_t j = 0; j < n; j++) {                                                       \
                uint64_t word = words[indices[j] >> XMR_BITMAP_SHIFT];                              \
                int bit = indices[j] & 31;                                                          \
                uint32_t below = (uint32_t)word & (((uint32_t)1 << bit) - 1);                       \
                /* for now the end says where behind the word's first byte its start and end stand */\
                hits->rows[n_hits] = (uint32_t)(word >> 32);                                        \
                hits->ends[n_hits] = (uint32_t)sizeof(START) * (uint32_t)__builtin_popcount(below); \
                hits->xs[n_hits] = data[j] * scale;                                                 \
                n_hits += (int)(word >> bit & 1);                                                   \
            }                                                                                       \
            for (int h = 0; h < n_hits; h++) XMR_PREFETCH(entries + hits->rows[h] + hits->ends[h]); \
        } else {                                                                                    \
            for (int64_t j = 0; j < n; j++) {                                                       \
                const uint64_t *word = words + (indices[j] >> shift);                               \
                hits->rows[n_hits] = (uint32_t)(word[0] >> 32);                                     \
                hits->ends[n_hits] = (uint32_t)(word[1] >> 32);                                     \
                hits->xs[n_hits] = data[j] * scale;                                                 \
                hits->features[n_hits] = indices[j];                                                \
                n_hits += (int)(word[0] >> (indices[j] >> (shift - XMR_BITMAP_SHIFT) & 31) & 1);    \
            }                                                                                       \
            for (int h = 0; h < n_hits; h++) {                                                      \
                XMR_PREFETCH(entries + hits->rows[h]);                                              \
                XMR_PREFETCH(entries + hits->ends[h] - 1);                                          \
            }                                                                                       \
        }                                                                                           \
        hits->n = n_hits;                                                                           \
    }

/* Find the rows of features in those of their words. */
#define XMR_DEFINE_FINDER(NAME, START)                                                              \
    static void NAME(const xmr_chunks *level, int64_t chunk, xmr_walk *walk, xmr_hits *hits) {      \
        const uint8_t *entries = level->entries + level->entry_ptr[chunk];                          \
        uint32_t *rows = hits->rows, *ends = hits->ends, place = walk->place;                       \
        int n_found = 0;                                                                            \
        if (level->word_shift[chunk] == XMR_BITMAP_SHIFT) {                                         \
            for (int h = 0; h < hits->n; h++) {                                                     \
                const START *starts = (const START *)(entries + rows[h] + ends[h]);                 \
                ends[h] = rows[h] + starts[1];                                                      \
                rows[h] += starts[0];                                                               \
                XMR_PREFETCH(entries + rows[h]);                                                    \
                XMR_PREFETCH(entries + ends[h] - 1);                                                \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        for (int h = 0; h < hits->n; h++) {                                                         \
            const uint16_t low = (uint16_t)hits->features[h];                                       \
            const int goes_on = rows[h] == walk->word && hits->features[h] >= walk->feature;        \
            place = goes_on ? place : rows[h];                                                      \
            walk->word = rows[h];                                                                   \
            walk->feature = hits->features[h];                                                      \
            while (place < ends[h] && *(const xmr_u16 *)(entries + place) < low)                    \
                place += 2 + (uint32_t)sizeof(START) + *(const START *)(entries + place + 2);       \
            if (place >= ends[h] || *(const xmr_u16 *)(entries + place) != low) continue;           \
            rows[n_found] = place + 2 + (uint32_t)sizeof(START);                                    \
            ends[n_found] = rows[n_found] + *(const START *)(entries + place + 2);                  \
            hits->xs[n_found++] = hits->xs[h];                                                      \
        }                                                                                           \
        walk->place = place;                                                                        \
        hits->n = n_found;                                                                          \
    }

/* Add rows, times the query's values, to the sums of the children, of which each has two: the additions to one would
 * wait for each other. */
#define XMR_DEFINE_ADDER(NAME, SLOT, VALUE)                                                         \
    static void NAME(const xmr_chunks *level, int64_t chunk, const xmr_hits *hits,                  \
                     float *margins) {                                                              \
        const uint8_t *entries = level->entries + level->entry_ptr[chunk];                          \
        const int64_t fan_out = level->child_ptr[chunk + 1] - level->child_ptr[chunk];              \
        float *odd = margins + fan_out;                                                             \
        for (int h = 0; h < hits->n; h++) {                                                         \
            float *restrict sums = h & 1 ? odd : margins;                                           \
            XMR_ADD_ROW(SLOT, VALUE, sums, hits->rows[h], hits->ends[h], hits->xs[h])               \
        }                                                                                           \
    }

/* The stages of a product. Each asks for what the next one reads. */
enum { XMR_ASK, XMR_READ, XMR_FIND, XMR_ADD, XMR_N_STAGES };

/* The products of a query with the chunks of a beam, which is a list of keys. Up to XMR_BATCH features of the query and
 * one chunk are a portion. While one is added, the stages before work on the three portions after it, so that nothing
 * is read right after it was asked for. */
typedef struct xmr_products {
    const xmr_chunks *level;
    const uint64_t *beam;
    int64_t n_nodes;
    const int32_t *indices;
    const float *data;
    int64_t n;
    float floor; /* nodes below it are not wanted */
    struct {
        int64_t node, start; /* of the portion that comes next */
        int turn;            /* and where its hits are kept */
    } next[XMR_N_STAGES];
    xmr_walk walk;
    xmr_hits hits[XMR_N_STAGES - 1];
} xmr_products;

/* Run a stage for its next portion, unless there is none or its node is not wanted any more. */
static inline void xmr_run_stage(xmr_products *p, int stage, float *margins) {
    const xmr_chunks *level = p->level;
    const int64_t node = p->next[stage].node, start = p->next[stage].start;
    const int32_t *indices = p->indices + start;
    const int64_t n = p->n - start < XMR_BATCH ? p->n - start : XMR_BATCH;
    xmr_hits *hits = p->hits + p->next[stage].turn;
    if (node == p->n_nodes || xmr_key_score(p->beam[node]) < p->floor) return;
    const int64_t chunk = xmr_key_identifier(p->beam[node]);
    if (stage == XMR_ASK) {
        const uint64_t *words = level->words + level->word_ptr[chunk];
        const int shift = level->word_shift[chunk];
        const int64_t next = shift != XMR_BITMAP_SHIFT; /* rows of a list's word end where the next word's begin */
        for (int64_t j = 0; j < n; j++) {
            XMR_PREFETCH(words + (indices[j] >> shift));
            XMR_PREFETCH(words + (indices[j] >> shift) + next);
        }
        const int64_t end = start == 0 ? level->child_ptr[chunk + 1] : 0;
        for (int64_t i = level->child_ptr[chunk]; i < end; i += XMR_LINE / sizeof(float))
            XMR_PREFETCH(level->intercepts + i);
    } else if (stage == XMR_READ) {
        level->read(level, chunk, indices, p->data + start, n, hits);
    } else if (stage == XMR_FIND) {
        if (start == 0) p->walk = (xmr_walk){UINT32_MAX, 0, 0};
        level->find(level, chunk, &p->walk, hits);
    } else {
        level->add(level, chunk, hits, margins);
    }
    p->next[stage].turn = p->next[stage].turn == XMR_N_STAGES - 2 ? 0 : p->next[stage].turn + 1;
    p->next[stage].start = start + XMR_BATCH < p->n ? start + XMR_BATCH : 0;
    p->next[stage].node += p->next[stage].start == 0;
}

/* Begin the products of a query with the nodes of a beam. */
static inline void xmr_open_products(xmr_products *p, const xmr_chunks *level, const uint64_t *beam, int64_t n_nodes,
                                     const int32_t *indices, const float *data, int64_t n) {
    p->level = level;
    p->beam = beam;
    p->n_nodes = n_nodes;
    p->indices = indices;
    p->data = data;
    p->n = n;
    p->floor = -INFINITY;
    memset(p->next, 0, sizeof(p->next));
    for (int lead = XMR_ADD; lead > 0; lead--)
        for (int stage = XMR_ASK; stage < lead; stage++) xmr_run_stage(p, stage, NULL);
}

/* margins[child] = intercept + product, for the children of the next node; margins has room for twice as many. The node
 * reaches `floor`, and those after it are wanted if they do. What overflows, or is no number, is the smallest one: -inf is for
 * children without any weights. */
static inline void xmr_next_product(xmr_products *p, float floor, float *margins) {
    const xmr_chunks *level = p->level;
    p->floor = floor;
    const int64_t node = p->next[XMR_ADD].node, chunk = xmr_key_identifier(p->beam[node]);
    const int64_t first = level->child_ptr[chunk], fan_out = level->child_ptr[chunk + 1] - first;
    memcpy(margins, level->intercepts + first, (size_t)fan_out * sizeof(float));
    memset(margins + fan_out, 0, (size_t)fan_out * sizeof(float));
    while (p->next[XMR_ADD].node == node)
        for (int stage = XMR_ASK; stage <= XMR_ADD; stage++) xmr_run_stage(p, stage, margins);
    for (int64_t i = 0; i < fan_out; i++) {
        float margin = margins[i] + margins[fan_out + i];
        float worst = level->intercepts[first + i] == -INFINITY ? -INFINITY : -FLT_MAX;
        margins[i] = margin >= worst ? margin : worst;
    }
}

/* Score transforms, see ranking/_score_transform.py. */
enum { XMR_IDENTITY = 0, XMR_SIGMOID = 1, XMR_HINGE_POWER = 2 };

/* Factors stay this side of float32's range however large a margin is, so that only children without any
 * weights (intercept -inf) score -inf. */
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

#define XMR_DEFINE_FUNCTIONS(VARIANT)                         \
    XMR_DEFINE_READER(read_u16_##VARIANT, xmr_u16)            \
    XMR_DEFINE_READER(read_u32_##VARIANT, xmr_u32)            \
    XMR_DEFINE_FINDER(find_u16_##VARIANT, xmr_u16)            \
    XMR_DEFINE_FINDER(find_u32_##VARIANT, xmr_u32)            \
    XMR_DEFINE_ADDER(add_u8_i8_##VARIANT, xmr_u8, xmr_i8)     \
    XMR_DEFINE_ADDER(add_u16_i8_##VARIANT, xmr_u16, xmr_i8)   \
    XMR_DEFINE_ADDER(add_u32_i8_##VARIANT, xmr_u32, xmr_i8)   \
    XMR_DEFINE_ADDER(add_u8_i16_##VARIANT, xmr_u8, xmr_i16)   \
    XMR_DEFINE_ADDER(add_u16_i16_##VARIANT, xmr_u16, xmr_i16) \
    XMR_DEFINE_ADDER(add_u32_i16_##VARIANT, xmr_u32, xmr_i16) \
    XMR_DEFINE_ADDER(add_u8_f32_##VARIANT, xmr_u8, xmr_f32)   \
    XMR_DEFINE_ADDER(add_u16_f32_##VARIANT, xmr_u16, xmr_f32) \
    XMR_DEFINE_ADDER(add_u32_f32_##VARIANT, xmr_u32, xmr_f32) \
    XMR_DEFINE_TRANSFORM(transform_##VARIANT)                 \
    XMR_DEFINE_BOUNDER(bound_##VARIANT)                       \
    XMR_DEFINE_GATHERER(gather_##VARIANT)

typedef struct xmr_functions {
    xmr_reader read[2];
    xmr_finder find[2];
    xmr_adder add[3][3]; /* by the sizes of values and slots: 1, 2 or 4 bytes */
    xmr_transformer transform;
    xmr_gatherer gather;
    xmr_bounder bound;
} xmr_functions;

#define XMR_FUNCTIONS(VARIANT)                                                    \
    {                                                                             \
        {read_u16_##VARIANT, read_u32_##VARIANT},                                 \
        {find_u16_##VARIANT, find_u32_##VARIANT},                                 \
        {{add_u8_i8_##VARIANT, add_u16_i8_##VARIANT, add_u32_i8_##VARIANT},       \
         {add_u8_i16_##VARIANT, add_u16_i16_##VARIANT, add_u32_i16_##VARIANT},    \
         {add_u8_f32_##VARIANT, add_u16_f32_##VARIANT, add_u32_f32_##VARIANT}},   \
        transform_##VARIANT, gather_##VARIANT, bound_##VARIANT                    \
    }

XMR_DEFINE_FUNCTIONS(baseline)
#if XMR_X86_VARIANTS
XMR_TARGET_BEGIN_AVX2
XMR_DEFINE_FUNCTIONS(avx2)
XMR_TARGET_END
/* Look-ups and short scattered adds gain nothing from wider vectors. */
static const xmr_functions XMR_VARIANTS[XMR_N_VARIANTS] = {XMR_FUNCTIONS(baseline), XMR_FUNCTIONS(avx2),
                                                           XMR_FUNCTIONS(avx2)};
#else
static const xmr_functions XMR_VARIANTS[1] = {XMR_FUNCTIONS(baseline)};
#endif

/* Take the functions for values of 1, 2 or 4 bytes and slots of 1, 2 or 4 bytes. */
static inline void xmr_choose_functions(xmr_chunks *level, int variant, int value_size, int slot_size) {
    const xmr_functions *functions = XMR_VARIANTS + variant;
    level->read = functions->read[slot_size > 1];
    level->find = functions->find[slot_size > 1];
    level->add = functions->add[value_size >> 1][slot_size >> 1];
    level->transform = functions->transform;
    level->gather = functions->gather;
    level->bound = functions->bound;
}

#endif
