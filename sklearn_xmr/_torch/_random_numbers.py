"""torch's global random numbers: one generator for all threads, and the user's."""

import threading
from contextlib import contextmanager

import torch

_lock = threading.Lock()


@contextmanager
def own_random_numbers(devices=()):
    """The same random numbers each time inside, the user's as they were behind; one thread at a time.

    Parameters
    ----------
    devices : sequence of torch.device, default=()
        GPUs whose random numbers are used.
    """
    with _lock, torch.random.fork_rng(list(devices)):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed GPUs as well
        yield
