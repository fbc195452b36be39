"""What an explanation holds, and how it prints."""

from dataclasses import dataclass

import numpy as np

FEATURES_IN_A_LINE = 6


@dataclass(frozen=True, repr=False)
class NodeExplanation:
    """One step on the way from the root to a label; what it is made of are its attributes.

    Parameters
    ----------
    level : int
        Tree level of the node, from 1.
    node : int
        Its number within the level; at the lowest level, the slot.
    margin : float
        Linear score w.x + b, the sum of `intercept` and all `contributions`. ``-inf`` for a node that
        had no positive row in training.
    factor : float
        The margin after the score transform, which multiplies the path score. For ``"identity"`` the
        margin itself, which replaces the path score.
    path_score : float
        Score of the path down to this node, in (0, 1]; 0 if a node of the path had no positive row.
    rank : int or None
        Place among the `n_candidates` of its level, from 1; None if its parent was not in the beam, so
        that it was not looked at.
    n_candidates : int
        Children of the beam, which were ranked.
    kept : bool
        Whether the node stayed in the beam; at the lowest level, whether it was reached.
    intercept : float
        The node's intercept.
    features : ndarray of shape (n_contributions,)
        Features that are in both the row and the node's weights, by decreasing absolute contribution.
    feature_names : list of str
        Their names.
    contributions : ndarray of shape (n_contributions,)
        Weight times value of each of them.
    """

    level: int
    node: int
    margin: float
    factor: float
    path_score: float
    rank: int | None
    n_candidates: int
    kept: bool
    intercept: float
    features: np.ndarray
    feature_names: list
    contributions: np.ndarray

    def __repr__(self):
        return f"NodeExplanation(level={self.level}, node={self.node}, margin={self.margin:.4g})"


@dataclass(frozen=True, repr=False)
class PredictionExplanation:
    """Explanation of one label for one row; printing it gives a table.

    The parameters are attributes.

    Parameters
    ----------
    label : int
        Label number.
    label_name : str
        Its name.
    score : float
        Score of the label's best path, as ``predict_topk`` returns it where the label is reached.
    rank : int or None
        Place of the label among all that the beam reaches, from 1; None if it was not reached.
    beam_width : int
        Width of the beam that was followed.
    lost_at_level : int or None
        Where the label was not reached: the level at which its last path left the beam.
    lost_at_rank : int or None
        Rank of that path's node at that level, above `beam_width`; None also if the node can never be
        predicted, because it had no positive row.
    paths : list of list of NodeExplanation
        For each leaf that holds the label, the nodes from level 1 down to the label's slot. Best first.
    """

    label: int
    label_name: str
    score: float
    rank: int | None
    beam_width: int
    lost_at_level: int | None
    lost_at_rank: int | None
    paths: list

    def __repr__(self):
        if self.rank is not None:
            verdict = f"rank {self.rank}"
        elif self.lost_at_rank is None:
            verdict = f"not reached: its node of level {self.lost_at_level} had no positive row"
        else:
            verdict = (
                f"not reached: rank {self.lost_at_rank} at level {self.lost_at_level}, "
                f"beam width {self.beam_width}"
            )
        lines = [f"{self.label_name}: score {self.score:.4g}, {verdict}"]
        header = f"{'level':>5} {'node':>7} {'margin':>8} {'factor':>8} {'path':>8} {'rank':>11}  beam"
        for number, path in enumerate(self.paths, start=1):
            if len(self.paths) > 1:
                lines.append(f"path {number} of {len(self.paths)}")
            lines.append(header)
            for step in path:
                place = "-" if step.rank is None else f"{step.rank} of {step.n_candidates}"
                lines.append(
                    f"{step.level:>5} {step.node:>7} {step.margin:>8.3f} {step.factor:>8.3g} "
                    f"{step.path_score:>8.3g} {place:>11}  {'in' if step.kept else 'out'}"
                )
                lines.append(f"{'':>8}{_contribution_line(step)}")
        return "\n".join(lines)


def _contribution_line(step):
    shown = zip(step.feature_names[:FEATURES_IN_A_LINE], step.contributions, strict=False)
    terms = [f"intercept {step.intercept:+.3f}"]
    terms += [f"{name} {value:+.3f}" for name, value in shown]
    n_more = len(step.feature_names) - FEATURES_IN_A_LINE
    if n_more > 0:
        terms.append(f"{n_more} more {step.contributions[FEATURES_IN_A_LINE:].sum():+.3f}")
    return ", ".join(terms)
