"""One fit by several processes, each with a device of its own, through torch.distributed.

Gradients are added up by one all-reduce a step, written out here rather than left to a wrapper of the
model: a row then weighs the same however a batch is shared, and compilation, recomputed activations and
accumulation work as they do in one process.
"""

import os
import pickle
import warnings
from datetime import timedelta
from weakref import WeakKeyDictionary

import joblib
import numpy as np
import torch
import torch.distributed as dist
from joblib.parallel import get_active_backend

#: Longest step of a single process that the others wait for. A process that dies closes its connections,
#: which the others notice at once; this is for machines that vanish.
LONGEST_WAIT = timedelta(days=1)

_waiting_groups: WeakKeyDictionary = WeakKeyDictionary()  # by the default group beside which they were made


class Processes:
    """The processes that share a fit; without arguments, this one alone.

    What all of them call must be called by all, in the same order.

    Parameters
    ----------
    rank, size : int
        Which process this is, of how many.
    waiting_group : torch.distributed.ProcessGroup or None
        Carries objects. A group of its own, because the others may wait for hours where the first works
        alone, while a timeout on gradients should be short.
    """

    def __init__(self, rank=0, size=1, waiting_group=None):
        self.rank, self.size, self._waiting_group = rank, size, waiting_group

    @classmethod
    def joined(cls):
        """Those of torch's default process group, where the user has made one.

        Raises
        ------
        ValueError
            In a thread of joblib's, beside which others may fit.
        """
        if not dist.is_available():
            return cls()
        if not dist.is_initialized():
            size = int(os.environ.get("WORLD_SIZE", "1"))
            if dist.is_torchelastic_launched() and size > 1:
                warnings.warn(
                    f"torchrun started {size} processes, but each fits alone; call "
                    "torch.distributed.init_process_group() before fit for one fit by all.",
                    UserWarning,
                    stacklevel=3,
                )
            return cls()
        size = dist.get_world_size()
        if size == 1:
            return cls()
        if get_active_backend()[0].nesting_level:
            raise ValueError(
                f"n_jobs must be 1 around a fit that {size} processes share: fits side by side would take "
                "each other's messages."
            )
        if dist.group.WORLD not in _waiting_groups:
            _waiting_groups[dist.group.WORLD] = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
        return cls(dist.get_rank(), size, _waiting_groups[dist.group.WORLD])

    @property
    def is_first(self):
        """Whether this process is the one that logs, writes files and solves linear problems."""
        return self.rank == 0

    def device(self, name):
        """Name of this process's own device, where `name` leaves open which of several GPUs it is."""
        if self.size > 1 and (name == "cuda" or (name is None and torch.cuda.is_available())):
            local_rank = os.environ.get("LOCAL_RANK")
            return f"cuda:{torch.cuda.current_device() if local_rank is None else local_rank}"
        return name

    def share(self, items):
        """This process's part of a sequence; the parts are disjoint, and may be empty."""
        return items[self.rank :: self.size]

    # ------------------------------------------------------------------ objects

    def on_first(self, function):
        """What `function()` gives in the first process, in all of them; they raise what it raises."""
        if self.size == 1:
            return function()
        result = failure = content = None
        if self.is_first:
            try:
                result = function()
                content = _pickled((result, None))
            except Exception as error:
                failure = error
                content = _pickled_failure(error)
        answer = [content]
        dist.broadcast_object_list(answer, group=self._waiting_group)
        if not self.is_first:
            result, failure = pickle.loads(answer[0])
        if failure is not None:
            raise failure
        return result

    def check_same(self, data):
        """Refuse what `data()` gives if it differs between the processes.

        Raises
        ------
        ValueError
            In all of them.
        """
        if self.size == 1:
            return
        hashes = [None] * self.size
        dist.all_gather_object(hashes, joblib.hash(data()), group=self._waiting_group)
        if len(set(hashes)) > 1:
            raise ValueError(
                f"X, y, their weights, encoder and parameters must be the same in all {self.size} "
                "processes, which share the rows themselves; got different ones."
            )

    # ------------------------------------------------------------------ tensors

    def sum(self, tensor):
        """Sum of a tensor over the processes."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters, loss):
        """Sum over the processes: of gradients in place, and of the loss, which is returned.

        A parameter without gradient in one process counts as 0 there; without any it keeps None, so that
        the optimiser passes over it.
        """
        if self.size == 1:
            return loss
        has_gradient = loss.new_tensor([p.grad is not None for p in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        parts = [loss.reshape(1), has_gradient, *(gradient.reshape(-1) for gradient in gradients)]
        total = torch.cat(parts)
        dist.all_reduce(total)
        loss, has_gradient, *gradients = total.split([part.numel() for part in parts])
        for parameter, gradient, n in zip(parameters, gradients, has_gradient.tolist(), strict=True):
            parameter.grad = gradient.view_as(parameter) if n else None
        return loss[0].clone()

    def embed(self, encoder, tokens, rows=None):
        """Vectors of texts as from ``encoder.embed``, each process encoding a part of them."""
        encoder = encoder.rounded()
        if self.size == 1:
            return encoder.embed(tokens, rows)
        rows = np.arange(tokens.n_texts) if rows is None else rows
        mine = torch.from_numpy(encoder.embed(tokens, self.share(rows)))
        embeddings = np.empty((rows.size, encoder.n_dims), dtype=np.float32)
        for rank in range(self.size):
            part = embeddings[rank :: self.size]
            vectors = (mine if rank == self.rank else torch.empty(part.shape)).to(encoder.device)
            dist.broadcast(vectors, rank)
            part[:] = vectors.cpu().numpy()
        return embeddings


def _pickled(result):
    try:
        return pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # of many kinds
        raise ValueError(
            "vectorizer, preliminary_indexer and ranker must pickle where several processes share a fit: "
            f"{error}"
        ) from error


def _pickled_failure(error):
    """The exception, or where it does not pickle, its text in another."""
    try:
        content = pickle.dumps((None, error))
        pickle.loads(content)
    except Exception:
        content = pickle.dumps(
            (None, RuntimeError(f"{type(error).__name__} in the first process: {error}"))
        )
    return content


ALONE = Processes()
