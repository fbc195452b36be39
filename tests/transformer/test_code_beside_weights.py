"""Encoders whose class is of code that came with the weights (``trust_remote_code``)."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from sklearn.base import clone
from transformer.conftest import make

CODE = """
from transformers import BertConfig, BertModel


class OwnConfig(BertConfig):
    model_type = "own"


class OwnModel(BertModel):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.last_hidden_state = 2 * output.last_hidden_state + 1
        return output
"""
#: Pickles are read where nothing of the code is known.
READER = """
import pickle
import sys

import numpy as np

with open(sys.argv[1], "rb") as file:
    model, texts = pickle.load(file)
np.save(sys.argv[2], model.transform(texts))
assert model.fit(texts[:40], np.arange(40) % 3).transform(texts).shape == (len(texts), 32)
"""


@pytest.fixture
def folder_with_code(folder):
    (folder / "modeling_own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": auto_map}))
    return folder


@pytest.fixture
def pair_with_code(folder_with_code, tmp_path, monkeypatch):
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tuple(
        automatic.from_pretrained(folder_with_code, trust_remote_code=True)
        for automatic in (transformers.AutoModel, transformers.AutoTokenizer)
    )


def test_by_name_no_code_is_run(folder_with_code, task):
    with pytest.raises(ValueError, match=r"a pair .model, tokenizer., also where code came with the model"):
        make(folder_with_code).fit(task.texts, task.winners)


def test_pickles_are_read_in_another_process(pair_with_code, task, tmp_path):
    model = make(pair_with_code, fine_tuning="single").fit(task.texts, task.winners)
    assert clone(model).fit(task.texts, task.winners).transform(task.texts[:2]).shape == (2, 32)
    assert copy.copy(model).fit(task.texts, task.winners).encoder is pair_with_code
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, task.texts)))
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", READER, tmp_path / "model.pickle", tmp_path / "embeddings.npy"],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "others"), "PYTHONPATH": str(root)},
        check=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "embeddings.npy"), model.transform(task.texts))
