"""The instruction set that the kernels use, chosen once at import."""

import os

cdef extern from "_simd.h":
    int xmr_best_variant()

_NAMES = ("baseline", "avx2", "avx512")


def available_simd():
    """Names of the kernel variants this processor can run, slowest first."""
    return _NAMES[:xmr_best_variant() + 1]


def _choose():
    wanted = os.environ.get("XMR_SIMD")
    available = available_simd()
    if wanted is None:
        return len(available) - 1
    if wanted not in available:
        raise ValueError(f"XMR_SIMD must be one of {available} on this processor, got {wanted!r}.")
    return available.index(wanted)


#: Index into ("baseline", "avx2", "avx512"); the environment variable XMR_SIMD forces a variant.
SIMD_VARIANT = _choose()


def simd_variant():
    """Name of the variant in use."""
    return _NAMES[SIMD_VARIANT]
