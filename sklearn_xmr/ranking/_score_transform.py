"""Score transforms: from a node's margin to its factor of the path score."""

import math
import re
from functools import lru_cache
from numbers import Real

#: Codes of the kernels (matching/_chunk_scores.h).
IDENTITY, SIGMOID, HINGE = 0, 1, 2
#: Of the last level: its margins are the answer, whatever the path above.
MARGIN = IDENTITY, 0.0

SCORE_TRANSFORMS = ("identity", "sigmoid", "l1_hinge", "l2_hinge", "l3_hinge", "l4_hinge")


def resolve_score_transform(score_transform, n_levels, slope=1.0):
    """Kernel codes of a ``score_transform``.

    Parameters
    ----------
    score_transform : str or sequence of str of length n_levels
        Names from `SCORE_TRANSFORMS`, one for all levels or one per level from the top. A margin s
        becomes the factor p(s): ``"sigmoid"`` 1 / (1 + exp(-slope * s)); ``"l{q}_hinge"``
        exp(-max(0, 1 - s)**q); ``"identity"`` s itself, which replaces the path score so far.
    n_levels : int
    slope : float, default=1.0
        Of the sigmoids.

    Returns
    -------
    codes : list of tuple of (int, float)
        Kind and parameter per level: the slope of a sigmoid, the power q of a hinge, else 1.

    Raises
    ------
    ValueError
        If a name is unknown, the sequence has another length, or a level below one with ``"identity"``
        has another transform: there is no path score left for it to multiply. If slope is not positive
        and finite.
    """
    if not isinstance(score_transform, (str, list, tuple)):
        raise ValueError(f"score_transform must be a str or a list of these, got {score_transform!r}.")
    names = [score_transform] * n_levels if isinstance(score_transform, str) else list(score_transform)
    if len(names) != n_levels:
        raise ValueError(
            f"score_transform must be one name or one per level, got {len(names)} names for {n_levels} "
            "level(s)."
        )
    if not (isinstance(slope, Real) and 0 < slope < math.inf):
        raise ValueError(f"score_slope must be a positive, finite number, got {slope!r}.")
    return _codes(tuple(names), float(slope))


@lru_cache(maxsize=64)
def _codes(names, slope):
    codes = []
    for name in names:
        if name not in SCORE_TRANSFORMS:
            raise ValueError(f"score_transform must be one of {SCORE_TRANSFORMS}, got {name!r}.")
        hinge = re.fullmatch(r"l(\d)_hinge", name)
        if hinge:
            codes.append((HINGE, float(hinge[1])))
        else:
            codes.append((IDENTITY, 1.0) if name == "identity" else (SIGMOID, slope))
    if "identity" in names and set(names[names.index("identity") :]) != {"identity"}:
        raise ValueError(
            "score_transform must not return from 'identity' to another transform further down, "
            f"got {list(names)}."
        )
    return codes
