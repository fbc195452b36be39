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
    backend = getattr(torch, device.type) if device.type != "cpu" else None
    has_index = device.type != "mps"  # there is one at most
    forked = [device] if backend is not None and has_index else []
    kind = device.type if forked else "cuda"
    with _lock, torch.random.fork_rng(forked, device_type=kind):
        torch.default_generator.manual_seed(seed)
        if backend is None:
            yield
        elif has_index:
            with backend.device(device):
                backend.manual_seed(seed)
            yield
        else:
            before = backend.get_rng_state()
            backend.manual_seed(seed)
            try:
                yield
            finally:
                backend.set_rng_state(before)
