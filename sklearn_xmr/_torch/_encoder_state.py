"""A model and its tokenizer as the files of a Hugging Face folder, in memory: what pickles hold of them."""

import copy
import hashlib
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from sklearn_xmr._torch._random_numbers import own_random_numbers
from sklearn_xmr.utils._optional import came_with_code


def check_model(model, ignored=()):
    """Refuse a model of which a pickle would hold something else.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its configuration is what it is made anew from.
    ignored : tuple of str, default=()
        Beginnings of names of weights that nothing depends on.

    Raises
    ------
    ValueError
        If the configuration alone makes no such model, or one with other weights.
    """
    name = type(model).__name__
    if came_with_code(model) and getattr(model, "_auto_class", None) is None:
        raise ValueError(
            f"encoder must have a model whose code its folder holds, got {name} of "
            f"{type(model).__module__}; AutoModel.from_pretrained with trust_remote_code=True reads such."
        )
    try:
        with own_random_numbers(), torch.device("meta"):
            made = type(model)(copy.deepcopy(model.config))
    except Exception as error:
        raise ValueError(
            f"encoder must have a model that its configuration makes; that of {name} does not: {error}"
        ) from error

    def shapes(model):
        tensors = model.state_dict().items()
        return {(key, *tensor.shape) for key, tensor in tensors if not key.startswith(ignored)}

    differing = sorted({key for key, *_ in shapes(model) ^ shapes(made)})
    if differing:
        raise ValueError(
            f"encoder must have a model with the weights that its configuration describes; {name} differs "
            f"in {len(differing)} of them, such as {differing[0]}. Its config.num_hidden_layers and the "
            "like must say what it has."
        )
    tied = sorted(map(sorted, _ties(model) - _ties(made)))
    if tied:
        raise ValueError(
            f"encoder must have a model that shares weights where its class does, got {name} with "
            f"{' and '.join(tied[0])} shared."
        )


class PairWithCode:
    """Stands for a pair in a pickle where a class is of code that came with the weights.

    Another process would not find its module.

    Parameters
    ----------
    pair : tuple of (model, tokenizer)
    """

    def __init__(self, pair):
        self.pair = pair

    def __reduce__(self):
        return restored, (state_of(*self.pair),)


def state_of(model, tokenizer):
    """Everything that `restored` needs, a dict that pickles."""
    # weights as safetensors: no pickled modules
    with tempfile.TemporaryDirectory() as folder, _no_progress_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in Path(folder).rglob("*")  # several chat templates are in a folder of their own
            if path.is_file()
        }
    stored = model.state_dict()
    return {
        "files": files,
        # of T5EncoderModel, the configuration says T5Model
        "model_class": _portable(model),
        "tokenizer_class": _portable(tokenizer),
        "buffers": {
            name: tensor.cpu().clone() for name, tensor in model.named_buffers() if name not in stored
        },
        "frozen": [name for name, weights in model.named_parameters() if not weights.requires_grad],
    }


def restored(state):
    """The model and the tokenizer again."""
    files = state["files"]
    # code that came with the model; the folder's name is that of its module, which stays imported
    code = sorted(name for name in files if name.endswith(".py"))
    digest = hashlib.sha256(b"".join(files[name] for name in code)).hexdigest()
    settings = {"local_files_only": True, "trust_remote_code": bool(code)}
    with tempfile.TemporaryDirectory() as parent, _no_progress_bars():
        folder = Path(parent) / f"encoder_{digest[:16]}"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        model = read_model(_class_of(state["model_class"], AutoModel), folder, **settings)
        tokenizer = _class_of(state["tokenizer_class"], AutoTokenizer).from_pretrained(folder, **settings)
    for name, tensor in state["buffers"].items():  # those of no file
        parent, _, leaf = name.rpartition(".")
        buffers = model.get_submodule(parent)._buffers
        if leaf in buffers:  # others are made while computing
            buffers[leaf] = tensor
    for name in state["frozen"]:
        model.get_parameter(name).requires_grad_(False)
    if "tokenizer.json" in files and hasattr(tokenizer, "_tokenizer"):
        # some classes make theirs anew from the vocabulary, and forget what else was changed
        tokenizer._tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    return model, tokenizer


def read_model(model_class, name, **settings):
    """The model as it was written; weights that are missing there are the same each time."""
    with own_random_numbers():
        return model_class.from_pretrained(name, **settings)


def _portable(thing):
    """What finds its class again.

    The name of one of transformers, where another version finds it, too; None if its code came with it;
    else the class.
    """
    if came_with_code(thing):
        return None
    made_by = type(thing)
    return made_by.__name__ if made_by.__module__.split(".")[0] == "transformers" else made_by


def _class_of(portable, automatic):
    """The class that `_portable` told of; tokenizers of transformers know their own."""
    if portable is None or (isinstance(portable, str) and automatic is AutoTokenizer):
        return automatic
    return getattr(transformers, portable, automatic) if isinstance(portable, str) else portable


def _ties(model):
    """Sets of names of one and the same parameter."""
    names = defaultdict(set)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].add(name)
    return {frozenset(shared) for shared in names.values() if len(shared) > 1}


@contextmanager
def _no_progress_bars():
    """For files that the user does not know of."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
