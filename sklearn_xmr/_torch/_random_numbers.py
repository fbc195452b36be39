"""torch's global random numbers: one generator of each device for all threads, and the user's."""

import threading
from contextlib import contextmanager

import torch

_lock = threading.Lock()
CPU = torch.device("cpu")


@contextmanager
def own_random_numbers(seed=0, device=CPU):
    """The same random numbers each time inside, the user's as they were behind; one thread at a time.

    Parameters
    ----------
    seed : int, default=0
    device : torch.device, default=CPU
        Whose random numbers are used besides those of the CPU; other devices keep theirs, which
        `torch.manual_seed` would seed as well.
    """
    is_mps = device.type == "mps"  # of which fork_rng knows nothing
    forked = [] if is_mps or device.type == "cpu" else [device]
    with _lock, torch.random.fork_rng(forked, device_type=device.type if forked else "cuda"):
        of_mps = torch.mps.get_rng_state() if is_mps else None
        torch.default_generator.manual_seed(seed)
        if is_mps:
            torch.mps.manual_seed(seed)
        elif forked:
            backend = getattr(torch, device.type)
            with backend.device(device):
                backend.manual_seed(seed)
        try:
            yield
        finally:
            if is_mps:
                torch.mps.set_rng_state(of_mps)
