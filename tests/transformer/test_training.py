"""The training loop: steps, rates, accumulation, early stopping, interruption."""

import dataclasses
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from sklearn_xmr._torch import _checkpoint
from sklearn_xmr._torch._checkpoint import Checkpoint
from sklearn_xmr._torch._encoder import TextEncoder
from sklearn_xmr._torch._head import CandidateHead
from sklearn_xmr._torch._training import LevelTraining, Progress, TrainingSettings

SETTINGS = TrainingSettings(
    loss="squared_hinge",
    weighted_loss=True,
    max_candidates=None,
    batch_size=16,
    accumulation_steps=1,
    learning_rate=3e-3,
    head_learning_rate=None,
    warmup_fraction=0.1,
    weight_decay=0.0,
    dropout=0.1,
    encoder_dropout=None,
    token_dropout=0.0,
    evaluation_interval=5,
    patience=3,
    compile=False,
    gradient_checkpointing=False,
)


@pytest.fixture
def make(pair, task):
    """Function that starts a training: every name is a node, all are candidates."""
    classes, codes = np.unique(task.winners, return_inverse=True)

    def make(pair=pair, n_steps=20, validation=0, n_easy=0, **changes):
        """With `n_easy` candidates more, of a node that is never positive and far below the margin."""
        encoder = TextEncoder.load(pair, pooling="mean", max_length=16, precision="float32", device="cpu")
        rng = np.random.default_rng(0)
        weights = rng.normal(0, 0.02, (classes.size, encoder.n_dims)).astype(np.float32)
        head = CandidateHead(
            np.vstack([weights, np.zeros_like(weights[:1])]),
            np.append(np.zeros(classes.size, dtype=np.float32), np.float32(-10)),
        )
        nodes_of_row = np.append(np.arange(classes.size), np.full(n_easy, classes.size))

        def candidates(rows, max_candidates, rng):
            nodes = np.tile(nodes_of_row, (len(rows), 1))
            return nodes, (nodes == codes[rows][:, None]).astype(np.float32)

        rows = task.train
        return LevelTraining(
            encoder,
            head,
            encoder.tokenize(task.texts.tolist()),
            candidates,
            nodes_of_row.size,
            rows[validation:],
            rows[:validation],
            np.ones(len(task.texts)),
            n_steps,
            dataclasses.replace(SETTINGS, **changes),
            seed=0,
        )

    return make


def copied(training):
    return {name: tensor.clone() for name, tensor in training.weights().items()}


def nothing(training):
    pass


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("loss", ["squared_hinge", "hinge", "cross_entropy"])
def test_loss_falls(make, loss):
    training = make(n_steps=60, loss=loss)
    training.run(nothing)
    losses = training.progress.losses
    assert len(losses) == 12
    assert losses[-1] < 0.8 * losses[0]


def test_looks_come_every_interval_and_at_the_end(make):
    steps = []
    training = make(n_steps=13)
    training.run(lambda training: steps.append(training.progress.step))
    assert steps == [5, 10, 13]
    assert len(training.progress.losses) == 3
    assert not training.encoder.model.training


def test_learning_rate_rises_then_falls(make):
    training = make(n_steps=10, warmup_fraction=0.2)
    rates = [training._rate_factor(step) for step in range(10)]
    np.testing.assert_allclose(rates, [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_head_has_its_own_rate_and_vectors_do_not_decay(make):
    training = make(n_steps=1, head_learning_rate=0.5, weight_decay=0.25)
    training.run(nothing)
    matrices, vectors, head = training.optimizer.param_groups
    assert [group["base_rate"] for group in (matrices, vectors, head)] == [3e-3, 3e-3, 0.5]
    assert [group["weight_decay"] for group in (matrices, vectors, head)] == [0.25, 0, 0]
    assert all(p.ndim == 1 for p in vectors["params"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own, when the compiler is loaded
@pytest.mark.parametrize("changes", [
    {"accumulation_steps": 4}, {"gradient_checkpointing": True}, {"compile": True},
], ids=str)  # fmt: skip
def test_other_ways_to_compute_the_same(make, pair_without_dropout, changes):
    plain = make(pair_without_dropout, n_steps=3, dropout=0.0)
    other = make(pair_without_dropout, n_steps=3, dropout=0.0, **changes)
    start = copied(plain)
    plain.run(nothing)
    other.run(nothing)
    for name, tensor in plain.weights().items():
        torch.testing.assert_close(other.weights()[name], tensor, atol=2e-4, rtol=0)
    assert not equal(start, plain.weights())


def test_thousands_of_candidates_leave_the_steps_as_long(make, pair_without_dropout):
    """Candidates without a loss make its mean, and gradients, smaller; Adam must not notice."""
    embeddings = []
    for n_easy in (0, 500_000):
        training = make(pair_without_dropout, n_steps=3, dropout=0.0, n_easy=n_easy)
        embeddings.append(training.encoder.embed(training.tokens))
        training.run(nothing)
        embeddings.append(training.encoder.embed(training.tokens))
    start, few, _, many = embeddings
    moved = np.linalg.norm(few - start)
    assert moved > 0.1
    assert np.linalg.norm(many - few) < 0.02 * moved


def test_same_seed_same_weights_whatever_the_user_draws(make):
    first, second = make(), make()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first.run(nothing)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second.run(nothing)
    assert equal(first.weights(), second.weights())


def test_other_devices_keep_their_random_numbers(make, monkeypatch):
    seeded = []
    for backend in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all"):
            monkeypatch.setattr(backend, name, seeded.append, raising=False)
    make().run(nothing)
    assert seeded == []


def test_an_encoder_can_be_read_while_another_learns(make):
    training = make(n_steps=2, evaluation_interval=1)
    content = pickle.dumps(training.encoder)
    readers = []

    def read(training):
        reader = Thread(target=pickle.loads, args=(content,), daemon=True)
        reader.start()
        reader.join(timeout=60)
        readers.append(reader.is_alive())

    training.run(read)
    assert readers == [False, False]


def test_threads_train_as_if_alone(make):
    alone = make(n_steps=20)
    alone.run(nothing)
    side_by_side = [make(n_steps=20) for _ in range(2)]
    state = torch.get_rng_state()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda training: training.run(nothing), side_by_side))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(equal(training.weights(), alone.weights()) for training in side_by_side)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("validation", [0, 20])
@pytest.mark.parametrize("at", [5, 15, 23])
def test_resumed_equals_uninterrupted(make, tmp_path, at, validation):
    whole = make(n_steps=23, validation=validation)
    whole.run(nothing)
    checkpoint = Checkpoint(tmp_path / "new", "fit 1", "seed 1")

    def look(training):
        checkpoint.save(training.state(), dataclasses.asdict(training.progress))
        if training.progress.step == at:
            raise Interrupted

    interrupted = make(n_steps=23, validation=validation)
    with pytest.raises(Interrupted):
        interrupted.run(look)
    tensors, facts = checkpoint.load()
    resumed = make(n_steps=23, validation=validation)
    resumed.load_state(tensors, Progress(**facts))
    resumed.run(nothing)
    assert equal(resumed.weights(), whole.weights())
    assert resumed.progress.losses == whole.progress.losses
    assert resumed.progress.validation_losses == whole.progress.validation_losses


def test_early_stopping_keeps_the_best_weights(make):
    kept = {}

    def look(training):
        kept[training.progress.validation_losses[-1]] = copied(training)

    # far too fast, so that it soon gets worse
    training = make(n_steps=400, validation=30, learning_rate=0.02, warmup_fraction=0.0, patience=2)
    training.run(look)
    losses = training.progress.validation_losses
    assert training.progress.step < 400
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert equal(training.weights(), kept[min(losses)])


def test_each_fit_has_its_checkpoint(tmp_path):
    one = Checkpoint(tmp_path, "fit 1", "seed 1")
    one.save({"a": torch.zeros(2), "b": np.ones(3)}, {"step": 4})
    tensors, facts = Checkpoint(tmp_path, "fit 1", "seed 1").load()
    assert tensors["b"].tolist() == [1, 1, 1]
    assert facts == {"step": 4}
    sibling, stranger = Checkpoint(tmp_path, "fit 1", "seed 2"), Checkpoint(tmp_path, "fit 2", "seed 1")
    assert sibling.load() is None
    with pytest.warns(UserWarning, match=f"holds no checkpoint of this fit, .*: {one.path.name} in"):
        assert stranger.load() is None
    for other in (sibling, stranger):
        other.save({"a": torch.ones(2)}, {"step": 5})
    assert one.load()[1] == {"step": 4}
    for checkpoint in (one, sibling, stranger):
        checkpoint.delete()
    assert os.listdir(tmp_path) == []
    assert stranger.load() is None


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-50]),
    lambda path: save_file({"a": torch.zeros(2)}, path),
    lambda path: save_file({"a": torch.zeros(2)}, path, {"format": "pt"}),
    lambda path: save_file({"a": torch.zeros(2)}, path, {"fingerprint": "another", "facts": "{}"}),
    lambda path: save_file({"a": torch.zeros(2)}, path, {"fingerprint": "fit 1 seed 1", "facts": "{"}),
    lambda path: path.write_bytes(path.read_bytes()[:-50] + b"\xff" * 50),
    lambda path: path.write_bytes(path.read_bytes().replace(b'step\\": 4', b'step\\": 6')),
    lambda path: (path.unlink(), path.mkdir()),
], ids=["empty", "cut", "no metadata", "other metadata", "renamed", "bad facts", "overwritten",
        "other step", "folder"],
)  # fmt: skip
def test_damaged_checkpoint(tmp_path, damage):
    checkpoint = Checkpoint(tmp_path, "fit 1", "seed 1")
    checkpoint.save({"a": torch.zeros(100)}, {"step": 4})
    damage(checkpoint.path)
    with pytest.raises(
        ValueError, match=f"checkpoint_dir holds {checkpoint.path.name}, which is not the whole"
    ):
        checkpoint.load()


def test_checkpoint_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"checkpoint_dir must be a folder that .*, got '.*file"):
            Checkpoint(folder, "fit 1", "seed 1")


def test_checkpoint_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="checkpoint_dir must be a folder that can be written to"):
        Checkpoint("\0", "fit 1", "seed 1")

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ValueError, match=r"can be written to, got .*Permission denied"):
        Checkpoint(tmp_path, "fit 1", "seed 1")


def test_checkpoints_written_side_by_side(tmp_path, monkeypatch):
    """Fits that differ in their rankers alone have the same file; one saves while another does."""
    one, other = (Checkpoint(tmp_path, "fit 1", "seed 1") for _ in range(2))

    def save_meanwhile(tensors, path, metadata):
        save_file(tensors, path, metadata)
        monkeypatch.setattr(_checkpoint, "save_file", save_file)
        other.save({"a": torch.ones(2)}, {"step": 5})

    monkeypatch.setattr(_checkpoint, "save_file", save_meanwhile)
    one.save({"a": torch.zeros(2)}, {"step": 4})
    assert other.load()[1] == {"step": 4}
    assert os.listdir(tmp_path) == [one.path.name]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("No space left")])
def test_a_failed_checkpoint_leaves_the_one_before(tmp_path, monkeypatch, error):
    checkpoint = Checkpoint(tmp_path, "fit 1", "seed 1")
    checkpoint.save({"a": torch.zeros(2)}, {"step": 4})

    def fill_the_disk(tensors, path, metadata):
        path.write_bytes(b"some")
        raise error

    monkeypatch.setattr(_checkpoint, "save_file", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save({"a": torch.ones(2)}, {"step": 5})
    assert checkpoint.load()[1] == {"step": 4}
    assert os.listdir(tmp_path) == [checkpoint.path.name]


def test_divergence_is_an_error(make):
    with pytest.raises(ValueError, match="Fine-tuning diverged: the loss is nan by step"):
        make(n_steps=20, learning_rate=1e20, warmup_fraction=0.0).run(nothing)


@pytest.mark.parametrize("learning_rate", [1e20, 1e38])
def test_divergence_in_the_last_step_is_an_error(make, learning_rate):
    with pytest.raises(ValueError, match="Fine-tuning diverged: embeddings are not finite after step 1"):
        make(n_steps=1, learning_rate=learning_rate, warmup_fraction=0.0).run(nothing)


def test_trains_where_the_user_wants_no_gradients(make):
    expected = make(n_steps=2)
    expected.run(nothing)
    training = make(n_steps=2)
    with torch.no_grad():
        training.run(nothing)
        assert not torch.is_grad_enabled()
    assert equal(training.weights(), expected.weights())
