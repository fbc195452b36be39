"""A model in the form in which it is trained."""

from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call

#: Names under which modules keep a dropout that is a plain number.
DROPOUT_ATTRIBUTES = (
    "activation_dropout", "attention_dropout", "drop_prob", "dropout", "dropout_p", "dropout_prob",
    "hidden_dropout",
)  # fmt: skip
#: Up to so many tokens, on a CPU in bfloat16, plain products train in half to three quarters of the time of
#: torch's fused attention, whose backward pass is slow there; with more tokens they are no faster.
LONGEST_EAGER = 256


@contextmanager
def training_form(encoder, *, dropout, gradient_checkpointing, compile, longest):
    """Train mode inside, evaluation mode and everything else as before behind.

    On a CPU in bfloat16 the forward pass is a `rounded_forward`, unless activations are recomputed, which
    needs the model's own weights, or the model is compiled.

    Parameters
    ----------
    encoder : TextEncoder
    dropout : float or None
        Inside the model; None leaves what its configuration says.
    gradient_checkpointing : bool
    compile : bool
        Whether the forward pass goes through ``torch.compile``.
    longest : int
        Tokens of the longest text.

    Yields
    ------
    forward : callable
        Takes and returns what the model does.
    """
    model = encoder.model
    is_cpu_bfloat16 = encoder.device.type == "cpu" and encoder.precision == "bfloat16"
    numbers = {} if dropout is None else _dropout_numbers(model)
    attention = getattr(model.config, "_attn_implementation", None)
    is_eager = (
        attention == "sdpa"
        and hasattr(model, "set_attn_implementation")  # older transformers have no such switch
        and is_cpu_bfloat16
        and longest <= LONGEST_EAGER
    )
    forward = torch.compile(model, dynamic=True) if compile else model
    if is_cpu_bfloat16 and not compile and not gradient_checkpointing:
        forward = rounded_forward(model)
    try:
        for module, name in numbers:
            setattr(module, name, dropout)
        if is_eager:
            model.set_attn_implementation("eager")
        if gradient_checkpointing:
            # the other kind gives no gradients to layers above frozen ones
            _switch_checkpointing(model, "enable", {"use_reentrant": False})
        model.train()
        yield forward
    finally:
        model.eval()
        if gradient_checkpointing:
            _switch_checkpointing(model, "disable")
        if is_eager:
            model.set_attn_implementation(attention)
        for (module, name), value in numbers.items():
            setattr(module, name, value)


@contextmanager
def frozen_layers(model, n_layers):
    """Only the layers above the lowest few are trained inside; the backward pass stops below them.

    What is in no layer stays as it is, too: a table of relative positions, say, feeds every layer, and its
    gradients would have to pass through the frozen ones.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    n_layers : int
        0 freezes nothing at all.

    Raises
    ------
    ValueError
        If the model has no more than `n_layers` layers, or keeps them in no single list.
    """
    trained = set(_upper_parameters(model, n_layers))
    frozen = [weights for weights in model.parameters() if weights.requires_grad and weights not in trained]
    try:
        for weights in frozen:
            weights.requires_grad_(False)
        yield
    finally:
        for weights in frozen:
            weights.requires_grad_(True)


def _upper_parameters(model, n_layers):
    """Parameters of all layers but the lowest, and for 0 those of the whole model."""
    if n_layers == 0:
        return model.parameters()
    total = getattr(model.config, "num_hidden_layers", None)
    lists = {name: part for name, part in model.named_modules() if isinstance(part, nn.ModuleList)}
    # a layer may keep lists of its own, just as long
    names = [name for name, part in lists.items() if len(part) == total
             and not any(name.startswith(f"{outer}.") for outer in lists)]  # fmt: skip
    if len(names) != 1:  # ALBERT's layers share their weights, BART has two stacks
        raise ValueError(
            f"n_frozen_layers must be 0 for {type(model).__name__}, which does not keep its layers in one "
            f"list, got {n_layers}; a pair (model, tokenizer) may have parameters whose requires_grad is "
            "False instead."
        )
    if n_layers >= total:
        raise ValueError(
            f"n_frozen_layers must be less than {total}, the layers of this encoder, got {n_layers}."
        )
    return lists[names[0]][n_layers:].parameters()


def rounded_forward(model):
    """The forward pass of a model in bfloat16 throughout, whose gradients reach its float32 weights.

    Under autocast alone everything between the products stays in float32 and is cast for each of them,
    which takes a seventh of a training step. Vectors stay in float32, as layer norms take no
    others beside it, and so do tables of embeddings, as the gradient of a frequent token is a sum of many;
    what is read from them is rounded.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    forward : callable
    """
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    entries = {id(table.weight) for table in tables}
    matrices = {
        name: weight
        for name, weight in model.named_parameters()
        if weight.ndim > 1 and id(weight) not in entries
    }

    def forward(**inputs):
        weights = {name: weight.to(torch.bfloat16) for name, weight in matrices.items()}
        hooks = [table.register_forward_hook(_round_output) for table in tables]
        try:
            return functional_call(model, weights, (), inputs)
        finally:
            for hook in hooks:
                hook.remove()

    return forward


def _round_output(module, inputs, output):
    return output.to(torch.bfloat16)


def _dropout_numbers(model):
    """Where the model's dropout probabilities stand, with their values."""
    return {
        (module, name): getattr(module, name)
        for module in model.modules()
        for name in (("p",) if isinstance(module, nn.Dropout) else DROPOUT_ATTRIBUTES)
        if type(getattr(module, name, None)) in (int, float)
    }


def _switch_checkpointing(model, switch, *settings):
    """Enable or disable the recomputation of activations; transformers 5 has a new name for it."""
    name = f"activation_checkpointing_{switch}"
    getattr(model, name if hasattr(model, name) else f"gradient_checkpointing_{switch}")(*settings)
