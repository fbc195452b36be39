"""Training of the encoder and the scorers of one tree level."""

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from sklearn_xmr._torch._distributed import ALONE
from sklearn_xmr._torch._head import candidate_loss
from sklearn_xmr._torch._random_numbers import own_random_numbers
from sklearn_xmr._torch._tokens import batches_by_length
from sklearn_xmr._torch._training_form import training_form

MAX_GRADIENT_NORM = 1.0
#: In Adam's denominator, for a loss of one candidate; that of PyTorch.
EPSILON = 1e-8


@dataclass(frozen=True)
class TrainingSettings:
    """Parameters of `XRTransformerClassifier` that the loop reads; see there."""

    loss: str
    weighted_loss: bool
    max_candidates: int | None
    batch_size: int
    accumulation_steps: int
    learning_rate: float
    head_learning_rate: float | None
    warmup_fraction: float
    weight_decay: float
    dropout: float
    encoder_dropout: float | None
    token_dropout: float
    evaluation_interval: int
    patience: int
    compile: bool
    gradient_checkpointing: bool


@dataclass
class Progress:
    """How far the training of a level has come: what a checkpoint holds besides tensors.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    losses : list of float
        Mean training loss since the look before, one for each look.
    validation_losses : list of float
        One for each look, where there are validation rows.
    seconds : float
        Spent so far.
    """

    step: int = 0
    losses: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    seconds: float = 0.0

    def is_best(self):
        """Whether the last look at the validation rows was the best."""
        return min(self.validation_losses) == self.validation_losses[-1]

    def is_stuck(self, patience):
        """Whether the best look is `patience` looks ago."""
        losses = self.validation_losses
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


class LevelTraining:
    """Encoder and node scorers of a level, trained jointly.

    Every step seeds its own random numbers, and the learning rate and the batch follow from the number of
    the step, so weights, optimiser and that number are all that it takes to go on after an interruption.
    Of several processes each computes a part of every batch; sums over them, which they all get alike,
    decide on everything, so weights and progress stay equal.

    Parameters
    ----------
    encoder : TextEncoder
        Trained in place.
    head : CandidateHead
    tokens : TokenStore
    candidates : callable
        ``candidates(rows, max_candidates, rng)``, see `candidate_batch`.
    n_candidates : float
        Of a row, on average.
    rows, validation_rows : ndarray of int
    row_weights : ndarray of shape (n_texts,)
        Of the losses of all texts.
    n_steps : int
        Optimiser steps.
    settings : TrainingSettings
    seed : int
        Of this level.
    processes : Processes, default=ALONE
    """

    def __init__(self, encoder, head, tokens, candidates, n_candidates, rows, validation_rows, row_weights,
                 n_steps, settings, seed, processes=ALONE):  # fmt: skip
        self.encoder, self.head, self.tokens = encoder, head.to(encoder.device), tokens
        self.row_weights = torch.tensor(row_weights, dtype=torch.float32, device=encoder.device)
        self.candidates, self.rows, self.validation_rows = candidates, rows, validation_rows
        self.n_steps, self.settings, self.seed, self.processes = n_steps, settings, seed, processes
        self.progress = Progress()
        self.best = None  # weights at the best look so far
        # the loss is a mean over candidates: with thousands, gradients would sink below a fixed epsilon
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), eps=EPSILON / n_candidates, fused=True)
        self._epoch, self._batches = -1, []

    def _parameter_groups(self):
        named = [(n, p) for n, p in self.encoder.model.named_parameters() if p.requires_grad]
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        head_rate = self.settings.head_learning_rate or rate
        return [  # biases and the scales of normalisation layers are vectors: no decay
            {"params": [p for _, p in named if p.ndim > 1], "base_rate": rate, "weight_decay": decay},
            {"params": [p for _, p in named if p.ndim <= 1], "base_rate": rate, "weight_decay": 0.0},
            {"params": list(self.head.parameters()), "base_rate": head_rate, "weight_decay": 0.0},
        ]

    # ------------------------------------------------------------------ the loop

    def run(self, look):
        """Train to the end; `look(training)` is called every so many steps, and once at the end."""
        settings, model = self.settings, self.encoder.model
        window, start = [], time.perf_counter() - self.progress.seconds
        form = training_form(
            self.encoder,
            dropout=settings.encoder_dropout,
            gradient_checkpointing=settings.gradient_checkpointing,
            compile=settings.compile,
            longest=int(self.tokens.lengths.max()),
        )
        plain = torch.autocast(self.encoder.device.type, enabled=False)  # whatever the caller is in
        with form as forward, torch.enable_grad(), plain:
            while self.progress.step < self.n_steps and not self.progress.is_stuck(settings.patience):
                window.append(self._step(self.progress.step, forward))
                self.progress.step += 1
                last = self.progress.step == self.n_steps
                if last or self.progress.step % settings.evaluation_interval == 0:
                    self._note_loss(float(torch.stack(window).mean()))
                    window = []
                    self._validate()
                    self.progress.seconds = time.perf_counter() - start
                    look(self)
                    model.train()
        if self.best is not None:
            self.load_weights(self.best)
        # the loss of the last step says nothing of where it went
        embeddings = self.encoder.embed(self.tokens, self.rows[: settings.batch_size])
        if not all(np.isfinite(array).all() for array in (embeddings, *self.head.arrays())):
            raise ValueError(
                f"Fine-tuning diverged: embeddings are not finite after step {self.progress.step}; a "
                "smaller learning_rate helps."
            )

    def _step(self, step, forward):
        # each process draws its own dropout and negatives; the 0 of the first is what numpy pads with
        rng = np.random.default_rng([self.seed, 1, step, self.processes.rank])
        batch = self._batch(step)
        total = torch.zeros((), device=self.encoder.device)
        # a step at a time, so that threads that train, or read an encoder, do not wait for whole levels
        with own_random_numbers(int(rng.integers(2**62)), self.encoder.device):
            for part in np.array_split(self.processes.share(batch), self.settings.accumulation_steps):
                if part.size:
                    loss = self._losses(part, forward, self.settings.max_candidates, rng).sum() / batch.size
                    loss.backward()
                    total += loss.detach()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        total = self.processes.sum_gradients(parameters, total)
        torch.nn.utils.clip_grad_norm_(self.encoder.model.parameters(), MAX_GRADIENT_NORM)
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), MAX_GRADIENT_NORM)
        factor = self._rate_factor(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_rate"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def _losses(self, rows, forward, max_candidates=None, rng=None):
        """Loss of each row, times its weight."""
        candidates, targets = map(torch.from_numpy, self.candidates(rows, max_candidates, rng))
        candidates, targets = candidates.to(self.encoder.device), targets.to(self.encoder.device)
        tokens, texts = self.tokens, rows
        if self.encoder.model.training and self.settings.token_dropout:
            tokens, texts = tokens.thin(rows, self.settings.token_dropout, rng), np.arange(rows.size)
        embeddings = self.encoder.pooled(tokens, texts, forward)
        if self.encoder.model.training:
            embeddings = torch.nn.functional.dropout(embeddings, self.settings.dropout)
        losses = candidate_loss(
            self.head(embeddings, candidates),
            candidates,
            targets,
            loss=self.settings.loss,
            weighted=self.settings.weighted_loss,
        )
        return losses * self.row_weights[rows]

    def _batch(self, step):
        """Rows of a step; the order of an epoch follows from its number."""
        n_batches = -(-self.rows.size // self.settings.batch_size)
        epoch = step // n_batches
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            self._batches = batches_by_length(self.rows, self.tokens.lengths, self.settings.batch_size, rng)
            self._epoch = epoch
        return self._batches[step % n_batches]

    def _rate_factor(self, step):
        """Linear from 0 to 1 in the warm-up, then linear to 0."""
        warmup = self.settings.warmup_fraction * self.n_steps
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (self.n_steps - step) / max(1.0, self.n_steps - warmup)

    def _note_loss(self, loss):
        if not np.isfinite(loss):
            raise ValueError(
                f"Fine-tuning diverged: the loss is {loss} by step {self.progress.step}; a smaller "
                "learning_rate helps."
            )
        self.progress.losses.append(loss)

    def _validate(self):
        if not self.validation_rows.size:
            return
        self.encoder.model.eval()
        with torch.inference_mode():
            batches = batches_by_length(
                self.validation_rows,
                self.tokens.lengths,
                self.settings.batch_size,
                np.random.default_rng(self.seed),
            )
            mine = [self._losses(batch, self.encoder.model) for batch in self.processes.share(batches)]
            no_losses = torch.zeros(0, device=self.encoder.device)  # of a process without a batch
            total = self.processes.sum(torch.cat([no_losses, *mine]).sum())
        self.progress.validation_losses.append(float(total / self.row_weights[self.validation_rows].sum()))
        if self.progress.is_best():
            self.best = {name: tensor.clone() for name, tensor in self.weights().items()}

    # ------------------------------------------------------------------ weights and checkpoints

    def weights(self):
        """Tensors of encoder and head by name; not copies."""
        return {
            **{f"encoder.{name}": tensor for name, tensor in self.encoder.model.state_dict().items()},
            **{f"head.{name}": tensor for name, tensor in self.head.state_dict().items()},
        }

    def load_weights(self, tensors):
        """Copy tensors, named as in `weights`, into encoder and head."""
        with torch.no_grad():
            for name, tensor in self.weights().items():
                tensor.copy_(tensors[name])

    def state(self):
        """Every tensor that a checkpoint needs, by name."""
        tensors = dict(self.weights())
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in slots.items()}
        for name, tensor in (self.best or {}).items():
            tensors[f"best.{name}"] = tensor
        return tensors

    def load_state(self, tensors, progress):
        """Go on from where `state` was taken."""
        self.load_weights(tensors)
        part = partial(_named_below, tensors)
        self.best = part("best") or None
        slots = {}
        for name, tensor in part("optimizer").items():
            number, slot = name.split(".")
            slots.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.progress = progress


def _named_below(tensors, prefix):
    """Tensors whose name starts with a prefix, without it."""
    return {
        name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }
