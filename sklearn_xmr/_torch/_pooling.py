"""How the makers of an encoder pool its token vectors."""

import json
import warnings
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

#: Where sentence-transformers writes down how the vectors of tokens become one.
POOLING_FILE = "1_Pooling/config.json"
#: `pooling` by the names that sentence-transformers has for it; those of tokens are its older flags.
POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}


def written_pooling(encoder):
    """Read what sentence-transformers wrote down beside a model.

    Parameters
    ----------
    encoder : str or path
        Name on the hub, or a folder.

    Returns
    -------
    pooling : {"mean", "cls", "last"}
        The mean where nothing is written; with a UserWarning where that cannot be known.

    Raises
    ------
    ValueError
        If it says a mode that is not offered, or several.
    """
    path = _pooling_file(str(encoder))
    if path is None:
        return "mean"
    settings = json.loads(path.read_text(encoding="utf-8"))
    flags = [name for name in settings if name.startswith("pooling_mode_") and settings[name]]
    modes = settings.get("pooling_mode") or [name.removeprefix("pooling_mode_") for name in flags] or "mean"
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) > 1 or modes[0] not in POOLINGS:
        raise ValueError(
            f"pooling='auto' takes 'mean', 'cls' or 'lasttoken', got {modes} from {POOLING_FILE} of "
            f"{encoder}; pass pooling='mean', 'cls', 'last' or 'pooler'."
        )
    return POOLINGS[modes[0]]


def _pooling_file(encoder):
    """Path of the file, in a folder or from the hub; None without it."""
    if Path(encoder).is_dir():
        path = Path(encoder) / POOLING_FILE
        return path if path.exists() else None
    try:
        return Path(hf_hub_download(encoder, POOLING_FILE))
    except LocalEntryNotFoundError:  # the hub cannot be asked
        if try_to_load_from_cache(encoder, POOLING_FILE) is not _CACHED_NO_EXIST:
            warnings.warn(
                f"pooling='auto' takes the mean, as {POOLING_FILE} of {encoder!r} is neither in the cache "
                "nor to be had from the hub; pass pooling='mean', 'cls', 'last' or 'pooler'.", stacklevel=2,
            )  # fmt: skip
    except EntryNotFoundError:
        pass
    return None
