"""TextEncoder: a Hugging Face model and tokenizer, pooled to one vector per text."""

import copy
import warnings
from functools import cached_property

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer

from sklearn_xmr._torch._encoder_state import check_model, read_model, restored, state_of
from sklearn_xmr._torch._pooling import written_pooling
from sklearn_xmr._torch._tokens import tokenize

#: Tokens, padding included, of a batch that is encoded without gradients. A processor's caches hold its
#: activations; GPUs want more work at a time.
TOKENS_PER_BATCH, TOKENS_PER_GPU_BATCH = 2048, 16384
#: Of the largest entry of a vector; bfloat16 stays below.
PADDING_TOLERANCE = 0.05


class TextEncoder:
    """Texts to vectors.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    pooling : {"mean", "cls", "last", "pooler"}
        How the vectors of the tokens become one: their mean, the first, the last, or the model's own
        pooler.
    max_length : int
        Tokens of a text, special ones included; the rest is cut.
    precision : {"float32", "bfloat16"}
        ``"bfloat16"`` computes under autocast.
    device : torch.device
    is_rounded : bool, default=False
        Whether the weights are in the precision, too, and not in float32, as training needs them.
    """

    def __init__(self, model, tokenizer, *, pooling, max_length, precision, device, is_rounded=False):
        self.model = model.to(device=device, dtype=torch.float32).eval()
        self.is_rounded = is_rounded
        if is_rounded:
            for weights in self.model.parameters():
                rounded = weights.data.to(getattr(torch, precision))
                # vectors stay float32, as layer norms take no others beside it, but of rounded numbers:
                # transformers reads all weights of a file in the type of the first
                weights.data = rounded if weights.ndim > 1 else rounded.float()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        self.precision = precision
        self.device = device

    @classmethod
    def load(cls, encoder, *, pooling, max_length, precision, device):
        """Load by name or folder, or copy a ready pair.

        Parameters
        ----------
        encoder : str, path or tuple of (model, tokenizer)
        pooling : {"auto", "mean", "cls", "last", "pooler"}
            ``"auto"`` takes what sentence-transformers wrote down beside the model, else the mean.
        max_length : int
        precision : {"float32", "bfloat16"}
        device : str or None
            None takes the GPU if torch sees one.

        Returns
        -------
        encoder : TextEncoder

        Raises
        ------
        ValueError
            If this machine lacks `device`, `max_length` is more than the model can take, it lacks what
            `pooling` asks for, its folder asks for a pooling that is not offered, the tokenizer knows
            tokens that the model does not, the model cannot compute in `precision`, the model of a pair
            decodes as well where its encoder can be had alone, or is none that its configuration makes.
        TypeError
            If a pair holds other things than a model and a tokenizer.
        OSError
            If there is no such encoder, or it cannot be had.
        """
        device = _find_device(device)
        if isinstance(encoder, tuple):
            if len(encoder) != 2:
                raise ValueError(
                    f"encoder must be a name, a folder or a pair (model, tokenizer), got {encoder!r}."
                )
            model, tokenizer = encoder
            types = transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase
            if not all(map(isinstance, encoder, types)):
                raise TypeError(
                    "encoder must be a name, a folder or a pair (model, tokenizer) of transformers, got "
                    f"{type(model).__name__} and {type(tokenizer).__name__}."
                )
            model = copy.deepcopy(getattr(model, "base_model", model))  # without a task's head
            part = transformers.MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(model.config), type(model))
            if getattr(model.config, "is_encoder_decoder", False) and not isinstance(model, part):
                raise ValueError(
                    f"encoder must be a model that encodes, got {type(model).__name__}, which decodes as "
                    f"well; {part.__name__}.from_pretrained reads the encoder of it."
                )
            tokenizer = copy.deepcopy(tokenizer)
        else:
            model, tokenizer = _read_pair(encoder)
        if pooling == "auto":
            pooling = "mean" if isinstance(encoder, tuple) else written_pooling(encoder)
        if pooling == "pooler" and getattr(model, "pooler", None) is None:
            raise ValueError(
                f"pooling='pooler' needs a model with a pooler, {type(model).__name__} has none."
            )
        if isinstance(encoder, tuple):
            check_model(model, ignored=() if pooling == "pooler" else ("pooler.",))
        longest = min(tokenizer.model_max_length, _n_positions(model))
        if max_length > longest:
            raise ValueError(f"max_length must be at most {longest} for this encoder, got {max_length}.")
        if tokenizer.pad_token_id is None:
            raise ValueError("encoder must have a tokenizer with a padding token, got one without.")
        last_id = max(tokenizer.get_vocab().values())
        n_embeddings = getattr(model.config, "vocab_size", None) or np.inf  # CANINE, which hashes, has none
        if last_id >= n_embeddings:
            raise ValueError(
                "encoder must have a model that knows the tokenizer's tokens, got token ids up to "
                f"{last_id} and embeddings of {n_embeddings} tokens; see model.resize_token_embeddings."
            )
        if precision == "bfloat16" and _emulates_bfloat16(device):
            warnings.warn(
                "precision='bfloat16' takes longer than 'float32' on this processor, which has neither "
                "AVX512-BF16 nor AMX.", stacklevel=2,
            )  # fmt: skip
        loaded = cls(
            model, tokenizer, pooling=pooling, max_length=max_length, precision=precision, device=device
        )
        if loaded._depends_on_padding():
            warnings.warn(
                f"{type(model).__name__} looks at padding: the embedding of a text, and what is ranked by "
                "it, depends on the texts that are beside it in the call.", stacklevel=2,
            )  # fmt: skip
        return loaded

    def _depends_on_padding(self):
        """Whether the vector of a short text changes beside a long one by more than rounding does."""
        tokens = self.tokenize(["a", "a " * 8])
        try:
            with torch.inference_mode():
                alone, beside = (self.pooled(tokens, np.arange(n))[0] for n in (1, 2))
        except Exception as error:  # DeBERTa fills with numbers that bfloat16 has not
            raise ValueError(
                f"encoder must have a model that embeds texts with precision={self.precision!r}; "
                f"{type(self.model).__name__} does not: {error}"
            ) from error
        self.n_dims = alone.numel()
        return bool((alone - beside).abs().max() > PADDING_TOLERANCE * alone.abs().max())

    def rounded(self):
        """A copy to embed with, half as large and faster, or the encoder itself if that is what it is."""
        if self.is_rounded or self.precision == "float32":
            return self
        return TextEncoder(
            copy.deepcopy(self.model),
            self.tokenizer,
            device=self.device,
            is_rounded=True,
            **self._settings(),
        )

    def _settings(self):
        return {name: getattr(self, name) for name in ("pooling", "max_length", "precision")}

    @cached_property
    def n_dims(self):
        """Width of a vector, int; some models project from their hidden_size."""
        with torch.inference_mode():
            return self.pooled(self.tokenize(["a"]), np.arange(1)).shape[1]

    def arrays(self):
        """The weights by name, as ndarrays."""
        return {name: tensor.cpu().numpy() for name, tensor in self.model.state_dict().items()}

    def signature(self):
        """What a fine-tuning depends on besides weights, a str: configuration, modules, what is trained."""
        # private ones tell where the model was read from
        config = {name: value for name, value in vars(self.model.config).items() if name[0] != "_"}
        trained = [name for name, weights in self.model.named_parameters() if weights.requires_grad]
        return f"{config} {self.model} {trained}"

    def tokenize(self, texts):
        """Token ids of a list of str, a TokenStore."""
        return tokenize(self.tokenizer, texts, self.max_length)

    def pooled(self, tokens, rows, forward=None):
        """Vectors of some texts, Tensor of shape (n_rows, n_dims), float32; gradients flow.

        Parameters
        ----------
        tokens : TokenStore
        rows : ndarray of int
        forward : callable, default=None
            The model, or its compiled form.
        """
        # one text does not wait for padding
        multiple = 1 if len(rows) == 1 else _padding_multiple(self.device, self.precision)
        multiple = max(multiple, getattr(self.model.config, "downsampling_rate", 1))  # CANINE needs a block
        padded = tokens.pad(rows, self.tokenizer.pad_token_id, multiple, limit=self.max_length)
        ids, mask = (tensor.to(self.device) for tensor in padded)
        is_rounding = self.precision == "bfloat16"
        # inside of another autocast, a cache of rounded weights would outlive the step that changes them
        with torch.autocast(self.device.type, torch.bfloat16, is_rounding, cache_enabled=False):
            output = (self.model if forward is None else forward)(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            return output.pooler_output.float()
        hidden = output.last_hidden_state.float()
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            return hidden[torch.arange(len(rows)), mask.sum(dim=1) - 1]
        weights = mask[:, :, None].float()
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def embed(self, tokens, rows=None):
        """Vectors without dropout, ndarray of shape (n_rows, n_dims), float32.

        Parameters
        ----------
        tokens : TokenStore
        rows : ndarray of int, default=None
            Which texts; None takes all.
        """
        self.model.eval()
        rows = np.arange(tokens.n_texts) if rows is None else rows
        lengths = tokens.lengths[rows]
        embeddings = np.empty((rows.size, self.n_dims), dtype=np.float32)
        order = np.argsort(lengths, kind="stable")
        budget = TOKENS_PER_BATCH if self.device.type == "cpu" else TOKENS_PER_GPU_BATCH
        start = 0
        with torch.inference_mode():
            while start < order.size:
                # as many texts as fit into the budget at the length of the first, which is the shortest
                batch = order[start : start + max(1, budget // int(lengths[order[start]]))]
                batch = batch[: max(1, budget // int(lengths[batch[-1]]))]
                vectors = self.pooled(tokens, rows[batch])
                embeddings[batch] = vectors.cpu().numpy()
                start += batch.size
        return embeddings

    # ------------------------------------------------------------------ pickling

    def __getstate__(self):
        settings = {**self._settings(), "is_rounded": self.is_rounded}
        parts = state_of(self.model, self.tokenizer)
        return {"parts": parts, "settings": settings, "device": str(self.device)}

    def __setstate__(self, state):
        model, tokenizer = restored(state["parts"])
        device = torch.device(state["device"])
        if not _is_there(device):
            device = _find_device(None)
            warnings.warn(
                f"The encoder was on {state['device']}, which this machine lacks; it is now on {device}.",
                UserWarning, stacklevel=2,
            )  # fmt: skip
        self.__init__(model, tokenizer, device=device, **state["settings"])


def _read_pair(encoder):
    """Model and tokenizer by name or folder."""
    # asked not to, transformers does not ask at the terminal whether it may run code that came with a model
    settings = {"trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(encoder, **settings)
        is_known = type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING
        # the former reads the encoder of T5 without its decoder
        model = read_model(AutoModelForTextEncoding if is_known else AutoModel, encoder, **settings)
        return model, AutoTokenizer.from_pretrained(encoder, **settings)
    except (OSError, ValueError) as error:
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(
            f"encoder must be the name or folder of a model that transformers reads, or a pair (model, "
            f"tokenizer), also where code came with the model; got {str(encoder)!r}: {error}"
        ) from error


def _n_positions(model):
    """Most tokens that a model takes, inf where nothing limits them."""
    for name, module in model.named_modules():
        is_table = name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
        if is_table and module.padding_idx is not None:  # RoBERTa and kin count from behind it
            return module.num_embeddings - module.padding_idx - 1
    n_positions = getattr(model.config, "max_position_embeddings", None)
    return n_positions if n_positions and n_positions > 0 else np.inf  # XLNet says -1


def _find_device(device):
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        is_there = _is_there(found)
    except RuntimeError:  # no kind of device at all
        is_there = False
    if not is_there:
        raise ValueError(f"device must be one that this machine has, such as 'cpu', got {device!r}.")
    return found


def _is_there(device):
    """Whether this machine has a device; torch.cuda, torch.mps and the like count theirs."""
    count = getattr(getattr(torch, device.type, None), "device_count", lambda: 0)
    return (device.index or 0) < count()


def _cpu_capabilities():
    """What torch knows of the processor, a dict; empty for older versions, which do not tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def _padding_multiple(device, precision):
    """What lengths are rounded up to for products in tiles; elsewhere more tokens only cost time."""
    is_tiled = device.type != "cpu" or (precision == "bfloat16" and _cpu_capabilities().get("amx_bf16"))
    return 8 if is_tiled else 1


def _emulates_bfloat16(device):
    """Whether torch computes bfloat16 by way of float32 there; False where it does not tell."""
    has = _cpu_capabilities()
    is_x86 = device.type == "cpu" and has.get("architecture") == "x86_64"
    return is_x86 and not (has.get("avx512_bf16") or has.get("amx_bf16"))
