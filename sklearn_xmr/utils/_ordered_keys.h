/* Ranking by one integer comparison. A candidate (score, identifier) becomes a 64-bit key whose unsigned order
 * is "higher score first, then smaller identifier": the tie rule of the whole library in one place. */
#ifndef XMR_ORDERED_KEYS_H
#define XMR_ORDERED_KEYS_H

#include <stdint.h>
#include <string.h>

/* Key that grows with `score` and, among equal scores, shrinks with `identifier`. */
static inline uint64_t xmr_pack_key(float score, uint32_t identifier) {
    uint32_t bits;
    score += 0.0f; /* -0.0 and 0.0 are one score */
    memcpy(&bits, &score, 4);
    /* IEEE floats order like sign-magnitude integers: flip all bits of negatives, the sign of others. */
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~identifier;
}

static inline float xmr_key_score(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float score;
    bits = bits >> 31 ? bits & 0x7fffffff : ~bits;
    memcpy(&score, &bits, 4);
    return score;
}

static inline uint32_t xmr_key_identifier(uint64_t key) { return ~(uint32_t)key; }

#endif
