"""Numbers of children among their siblings, as the stored weights of a level hold them."""

import numpy as np


def slot_dtype(child_ptr):
    """Smallest dtype that numbers the children of every node."""
    max_fan_out = np.diff(child_ptr).max(initial=0)
    return np.dtype(np.uint8 if max_fan_out <= 2**8 else np.uint16 if max_fan_out <= 2**16 else np.uint32)


def most_children(dtype):
    """Children of one node that a dtype can number."""
    return int(np.iinfo(dtype).max) + 1
