"""Fits by this process, alone or as one of several; as a script, one of two that fit together.

The script takes its rank and a folder: for the file over which the processes meet, and for what they found.
"""

import logging
import os
import pickle
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from transformer.conftest import WhoWins, tiny_model, tiny_tokenizer

from sklearn_xmr import HierarchicalKMeans, XMREnsembleClassifier, XRTransformerClassifier
from sklearn_xmr._torch import _training
from sklearn_xmr._torch._checkpoint import Checkpoint
from sklearn_xmr._torch._distributed import Processes
from sklearn_xmr._torch._encoder import TextEncoder
from sklearn_xmr._torch._head import CandidateHead
from sklearn_xmr._torch._training import LevelTraining, TrainingSettings

SIZE = 2
#: 30 of 100 rows are held out; batches of 23 leave one of a single row, so that a process has none. The
#: first level reads 69 of the 70 others.
NO_NOISE = {"validation_fraction": 0.3, "batch_size": 23, "n_epochs": [0.7, 9], "evaluation_interval": 3,
            "patience": 1, "dropout": 0.0, "weight_decay": 0.1}  # fmt: skip
#: As above, with all that is random.
NOISE = {**NO_NOISE, "dropout": 0.2, "max_candidates": 4, "patience": 9}


def fit(with_dropout=True, y=WhoWins.winners, **changes):
    """A fit on two levels, of 4 and 12 nodes."""
    config = {} if with_dropout else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings = {
        "preliminary_indexer": HierarchicalKMeans(branching_factor=4, max_leaf_size=3),
        "n_matched": 3,
        "learning_rate": 3e-3, "max_length": 16, "random_state": 0, "device": "cpu",
    }  # fmt: skip
    model = XRTransformerClassifier((tiny_model(**config), tiny_tokenizer()), **{**settings, **changes})
    return model.fit(WhoWins.texts[WhoWins.train], y[WhoWins.train])


def facts(model):
    """What must be equal where models are."""
    for level in model.history_:
        del level["seconds"]
    labels, scores = model.predict_topk(WhoWins.texts, k=3)
    return {"history": model.history_, "labels": labels, "scores": scores,
            "embeddings": model.transform(WhoWins.texts), "weights": model.encoder_.arrays()}  # fmt: skip


def train_by_plain_descent(processes):
    """Weights and losses of a level after 8 steps, some of them of one row, in two parts.

    By plain descent, because Adam makes rounding errors of gradients as large as the gradients.
    """
    model = tiny_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = TextEncoder.load((model, tiny_tokenizer()), pooling="mean", max_length=16,
                               precision="float32", device="cpu")  # fmt: skip
    classes, codes = np.unique(WhoWins.winners, return_inverse=True)
    start = np.random.default_rng(0).normal(0, 0.02, (classes.size, encoder.n_dims)).astype(np.float32)
    settings = TrainingSettings(
        loss="squared_hinge", weighted_loss=True, max_candidates=None, batch_size=33, accumulation_steps=2,
        learning_rate=0.1, head_learning_rate=None, warmup_fraction=0.0, weight_decay=0.1, dropout=0.0,
        encoder_dropout=None,
        token_dropout=0.0,
        evaluation_interval=1, patience=9, compile=False, gradient_checkpointing=False,
    )  # fmt: skip

    def candidates(rows, max_candidates, rng):
        nodes = np.tile(np.arange(classes.size), (len(rows), 1))
        return nodes, (nodes == codes[rows][:, None]).astype(np.float32)

    training = LevelTraining(
        encoder, CandidateHead(start, np.zeros(classes.size, np.float32)),
        encoder.tokenize(WhoWins.texts.tolist()), candidates, classes.size, WhoWins.train, WhoWins.test,
        np.linspace(0.5, 2, len(WhoWins.texts)), 8, settings, seed=0, processes=processes,
    )  # fmt: skip
    training.optimizer = torch.optim.SGD(training._parameter_groups())
    training.run(lambda training: None)
    weights = {name: tensor.numpy() for name, tensor in training.weights().items()}
    return weights, training.progress.losses, training.progress.validation_losses


# ---------------------------------------------------------------- the script


class Interrupted(Exception):
    pass


def interrupted_after(n_looks, **changes):
    """A fit that all processes leave after so many looks."""
    run, seen = LevelTraining.run, []

    def stopped(training, look):
        def look_then_stop(training):
            look(training)
            seen.append(1)
            if len(seen) == n_looks:
                raise Interrupted

        run(training, look_then_stop)

    LevelTraining.run = stopped
    try:
        fit(**changes)
    except Interrupted:
        return
    finally:
        LevelTraining.run = run
    raise AssertionError("was not interrupted")


def message_of_failed(**changes):
    try:
        fit(**changes)
    except (OSError, RuntimeError, ValueError) as error:
        return str(error)
    raise AssertionError("did not fail")


class OfLocalError(TfidfVectorizer):
    """Fails by an exception that does not pickle."""

    def fit_transform(self, texts, y=None):
        class LocalError(RuntimeError):
            pass

        raise LocalError("Unheard of")


def message_of_full_disk(folder):
    def fill_the_disk(*args):
        raise OSError("No space left on device")

    save, Checkpoint.save = Checkpoint.save, fill_the_disk
    try:
        return message_of_failed(checkpoint_dir=folder)
    finally:
        Checkpoint.save = save


def message_of_fits_side_by_side():
    classifier = clone(fit(fine_tuning=None))
    try:
        XMREnsembleClassifier(classifier, 2, n_jobs=2).fit(WhoWins.texts, WhoWins.winners)
    except ValueError as error:
        return str(error)
    raise AssertionError("did not fail")


def seeds_of_noise():
    """The seeds that a fit gives to torch."""
    own_random_numbers, seeds = _training.own_random_numbers, []
    _training.own_random_numbers = lambda seed, *args: (
        seeds.append(seed),
        own_random_numbers(seed, *args),
    )[1]
    try:
        fit(**NOISE)
    finally:
        _training.own_random_numbers = own_random_numbers
    return seeds


def find(rank, folder):
    """Everything that the tests compare."""
    lines, writers = [], []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("sklearn_xmr").addHandler(handler)
    save = Checkpoint.save
    Checkpoint.save = lambda *args: (writers.append(rank), save(*args))

    found = {"plain descent": train_by_plain_descent(Processes.joined())}
    found["no noise"] = facts(fit(with_dropout=False, verbose=True, **NO_NOISE))
    found["lines"] = list(lines)
    found["noise"] = facts(fit(**NOISE))
    found["seeds"] = seeds_of_noise()
    found["frozen"] = facts(fit(fine_tuning=None))
    found["embeddings alone"] = facts(fit(vectorizer="drop", **NOISE))
    interrupted_after(11, checkpoint_dir=folder / "checkpoint", **NOISE)
    found["resumed"] = facts(fit(checkpoint_dir=folder / "checkpoint", **NOISE))
    found["writers"] = len(writers)
    found["files left"] = os.listdir(folder / "checkpoint")
    found["no random_state"] = facts(fit(random_state=None, **NOISE))
    found["other y"] = message_of_failed(y=np.roll(WhoWins.winners, rank))
    found["other parameters"] = message_of_failed(n_epochs=[1, 1 + rank])
    found["full disk"] = message_of_full_disk(folder / "full")
    found["lambda"] = message_of_failed(
        vectorizer=TfidfVectorizer(tokenizer=lambda text: text.split(), token_pattern=None)
    )
    found["local error"] = message_of_failed(vectorizer=OfLocalError())
    found["side by side"] = message_of_fits_side_by_side()
    found["error in the first"] = message_of_failed(vectorizer=TfidfVectorizer(min_df=1000))
    return found


def wait_for_the_dead(rank):
    """The first process dies where it works alone; returns what the other gets."""
    if rank == 0:
        XRTransformerClassifier._fit_ranker = lambda *args: os._exit(7)
    try:
        fit()
    except RuntimeError as error:
        return str(error)


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=SIZE,
        timeout=timedelta(minutes=2),
    )
    found = find(rank, folder)
    (folder / f"found{rank}").write_bytes(pickle.dumps(found))
    found["of the dead"] = wait_for_the_dead(rank)
    (folder / f"found{rank}").write_bytes(pickle.dumps(found))
    os._exit(0)  # the group cannot be left in order any more
