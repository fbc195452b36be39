"""A model in the form in which it is trained."""

from contextlib import contextmanager

from torch import nn

#: Names under which modules keep the dropout of their attention, where that is a plain number.
DROPOUT_ATTRIBUTES = ("attention_dropout", "dropout", "dropout_p", "dropout_prob")
#: Up to so many tokens, on a CPU in bfloat16, plain products train in three quarters of the time of torch's
#: fused attention, whose backward pass is slow there; with more tokens they are no faster.
LONGEST_EAGER = 256


@contextmanager
def training_form(encoder, *, dropout, gradient_checkpointing, longest):
    """Train mode inside, evaluation mode and everything else as before behind.

    Parameters
    ----------
    encoder : TextEncoder
    dropout : float or None
        Inside the model; None leaves what its configuration says.
    gradient_checkpointing : bool
    longest : int
        Tokens of the longest text.
    """
    model = encoder.model
    numbers = {} if dropout is None else _dropout_numbers(model)
    attention = getattr(model.config, "_attn_implementation", None)
    is_eager = (
        attention == "sdpa"
        and hasattr(model, "set_attn_implementation")  # older transformers have no such switch
        and encoder.device.type == "cpu"
        and encoder.precision == "bfloat16"
        and longest <= LONGEST_EAGER
    )
    try:
        for module, name in numbers:
            setattr(module, name, dropout)
        if is_eager:
            model.set_attn_implementation("eager")
        if gradient_checkpointing:
            _switch_checkpointing(model, "enable")
        model.train()
        yield
    finally:
        model.eval()
        if gradient_checkpointing:
            _switch_checkpointing(model, "disable")
        if is_eager:
            model.set_attn_implementation(attention)
        for (module, name), value in numbers.items():
            setattr(module, name, value)


def _dropout_numbers(model):
    """Where the model's dropout probabilities stand, with their values."""
    return {
        (module, name): getattr(module, name)
        for module in model.modules()
        for name in (("p",) if isinstance(module, nn.Dropout) else DROPOUT_ATTRIBUTES)
        if type(getattr(module, name, None)) in (int, float)
    }


def _switch_checkpointing(model, switch):
    """Enable or disable the recomputation of activations; transformers 5 has a new name for it."""
    name = f"activation_checkpointing_{switch}"
    getattr(model, name if hasattr(model, name) else f"gradient_checkpointing_{switch}")()
