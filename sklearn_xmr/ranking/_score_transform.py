"""Score transforms: from a node's margin to its factor of the path score."""

import re
from functools import lru_cache

#: Codes of the kernels (matching/_beam_search_fast.pyx).
IDENTITY, SIGMOID, HINGE = 0, 1, 2

SCORE_TRANSFORMS = ("identity", "sigmoid", "l1_hinge", "l2_hinge", "l3_hinge", "l4_hinge")


def resolve_score_transform(score_transform, n_levels):
    """Kernel codes of a ``score_transform``.

    Parameters
    ----------
    score_transform : str or sequence of str of length n_levels
        Names from `SCORE_TRANSFORMS`, one for all levels or one per level from the top. A margin s
        becomes the factor p(s): ``"sigmoid"`` 1 / (1 + exp(-s)); ``"l{q}_hinge"``
        exp(-max(0, 1 - s)**q); ``"identity"`` s itself, which replaces the path score so far.
    n_levels : int

    Returns
    -------
    codes : list of tuple of (int, int)
        Kind and power per level.

    Raises
    ------
    ValueError
        If a name is unknown, the sequence has another length, or a level below one with ``"identity"``
        has another transform: there is no path score left for it to multiply.
    """
    names = [score_transform] * n_levels if isinstance(score_transform, str) else list(score_transform)
    if len(names) != n_levels:
        raise ValueError(
            f"score_transform must be one name or one per level, got {len(names)} names for {n_levels} "
            "level(s)."
        )
    return _codes(tuple(names))


@lru_cache(maxsize=64)
def _codes(names):
    codes = []
    for name in names:
        if name not in SCORE_TRANSFORMS:
            raise ValueError(f"score_transform must be one of {SCORE_TRANSFORMS}, got {name!r}.")
        hinge = re.fullmatch(r"l(\d)_hinge", name)
        if hinge:
            codes.append((HINGE, int(hinge[1])))
        else:
            codes.append((IDENTITY if name == "identity" else SIGMOID, 1))
    if "identity" in names and set(names[names.index("identity") :]) != {"identity"}:
        raise ValueError(
            "score_transform must not return from 'identity' to another transform further down, "
            f"got {list(names)}."
        )
    return codes
