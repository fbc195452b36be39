/* Ask for the cache line of an address that is read later. */
#ifndef XMR_PREFETCH_H
#define XMR_PREFETCH_H

/* Into the second level cache, not the first, which has few places for lines under way: once these are taken, the
 * processor waits at the next request. On AMD's Zen 4, 40 lines at a time that are asked for from memory while others are
 * at work take almost three times as long into the first level as into the second, from which a read takes a few
 * cycles. */
#define XMR_PREFETCH(address) __builtin_prefetch((address), 0, 2)

#endif
