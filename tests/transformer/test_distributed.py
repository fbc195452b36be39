"""One fit by two processes, on CPUs: as by one, alike in both, through interruption and death."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from transformer.distributed_fits import NO_NOISE, SIZE, facts, fit, train_by_plain_descent

from sklearn_xmr._torch._distributed import ALONE, Processes

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs torch.distributed with gloo"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found, see `distributed_fits.find`."""
    folder = tmp_path_factory.mktemp("distributed")
    script = Path(__file__).with_name("distributed_fits.py")
    paths = [str(script.parents[1]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), folder], env=environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for rank in range(SIZE)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [7, 0], "\n".join(outputs)
    return [pickle.loads((folder / f"found{rank}").read_bytes()) for rank in range(SIZE)]


def assert_same(left, right):
    """To the last bit."""
    assert left["history"] == right["history"]
    for name in ("labels", "scores", "embeddings"):
        np.testing.assert_array_equal(left[name], right[name])
    assert left["weights"].keys() == right["weights"].keys()
    for name, weights in left["weights"].items():
        np.testing.assert_array_equal(weights, right["weights"][name])


def test_steps_equal_those_of_one_process(found):
    weights, losses, validation_losses = train_by_plain_descent(ALONE)
    for one in found:
        found_weights, found_losses, found_validation_losses = one["plain descent"]
        np.testing.assert_allclose(found_losses, losses, rtol=1e-5)
        np.testing.assert_allclose(found_validation_losses, validation_losses, rtol=1e-5)
        for name, expected in weights.items():
            np.testing.assert_allclose(found_weights[name], expected, atol=1e-6)
    assert losses[-1] < 0.95 * losses[0]  # it did learn


def test_fit_equals_that_of_one_process(found):
    alone = facts(fit(with_dropout=False, **NO_NOISE))
    for one in found:
        both = one["no noise"]
        for level, expected in zip(both["history"], alone["history"], strict=True):
            assert level["step"] == expected["step"]
            np.testing.assert_allclose(level["losses"], expected["losses"], rtol=1e-3)
            np.testing.assert_allclose(level["validation_losses"], expected["validation_losses"], rtol=1e-3)
        np.testing.assert_array_equal(both["labels"][:, 0], alone["labels"][:, 0])
        np.testing.assert_allclose(both["embeddings"], alone["embeddings"], atol=2e-3)
    steps = [level["step"] for level in alone["history"]]
    assert steps[0] == 3 and steps[1] < 36  # of 9 epochs of 4 batches: it stopped early


@pytest.mark.parametrize(
    "name", ["no noise", "noise", "frozen", "embeddings alone", "resumed", "no random_state"]
)
def test_all_processes_end_with_the_same_model(found, name):
    assert_same(*(one[name] for one in found))


def test_frozen_encoder_gives_what_one_process_gives(found):
    alone = facts(fit(fine_tuning=None))
    np.testing.assert_array_equal(found[1]["frozen"]["labels"], alone["labels"])
    np.testing.assert_allclose(found[1]["frozen"]["scores"], alone["scores"], rtol=1e-4)


def test_processes_draw_other_noise(found):
    left, right = (one["seeds"] for one in found)
    assert len(left) == len(right) == len(set(left + right)) / 2 > 20


def test_interrupted_fit_goes_on(found):
    assert_same(found[0]["resumed"], found[0]["noise"])
    assert [one["files left"] for one in found] == [[], []]


def test_only_the_first_process_logs_and_writes(found):
    assert any("validation" in line for line in found[0]["lines"])
    assert found[1]["lines"] == []
    assert found[0]["writers"] == sum(len(level["losses"]) for level in found[0]["noise"]["history"])
    assert found[1]["writers"] == 0


def test_errors_reach_all_processes(found):
    for one in found:
        assert one["other y"].startswith("X, y, their weights, encoder and parameters must be the same")
        assert one["error in the first"] == found[0]["error in the first"]
        assert "min_df" in one["error in the first"]
        assert one["other parameters"] == one["other y"]
        assert one["full disk"] == found[0]["full disk"] == "No space left on device"
        assert one["lambda"].startswith(
            "vectorizer, preliminary_indexer and ranker must pickle where several"
        )
    assert [one["local error"] for one in found] == [
        "Unheard of",
        "LocalError in the first process: Unheard of",
    ]


def test_fits_side_by_side_are_refused(found):
    for one in found:
        assert one["side by side"].startswith("n_jobs must be 1 around a fit that 2 processes share")


def test_nobody_waits_for_the_dead(found):
    assert found[1]["of the dead"]


# ---------------------------------------------------------------- without a group


def test_under_torchrun_without_a_group_there_is_a_warning(monkeypatch):
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Processes.joined().size == 1
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.warns(UserWarning, match="torchrun started 4 processes, but each fits alone"):
        assert Processes.joined().size == 1


@pytest.mark.parametrize(("name", "local_rank", "expected"), [
    (None, "2", "cuda:2"), ("cuda", "2", "cuda:2"), ("cuda", None, "cuda:1"), ("cuda:0", "2", "cuda:0"),
    ("cpu", "2", "cpu"),
])  # fmt: skip
def test_each_process_has_its_own_device(monkeypatch, name, local_rank, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert Processes(2, 4).device(name) == expected
    assert ALONE.device(name) == name
