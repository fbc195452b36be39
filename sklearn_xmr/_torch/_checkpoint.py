"""An interrupted fine-tuning on disk: one safetensors file, replaced as a whole."""

import hashlib
import json
import os
import tempfile
import uuid
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class Checkpoint:
    """The state of a fine-tuning in a folder, where each has a file of its own.

    Parameters
    ----------
    folder : str or path
        Made if it is not there.
    fit, seed : str
        Hashes of what is trained on what, and of its `random_state`. Fits that differ in the latter alone,
        as members of an ensemble, expect each other's files.

    Raises
    ------
    ValueError
        If that is no folder that can be written to.
    """

    def __init__(self, folder, fit, seed):
        self.fingerprint = f"{fit} {seed}"
        self.family = f"fine_tuning_{fit[:8]}"
        self.path = Path(folder) / f"{self.family}_{seed[:8]}.safetensors"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except (OSError, ValueError) as error:  # a ValueError is of a path with a zero byte
            raise ValueError(
                f"checkpoint_dir must be a folder that can be written to, got {str(folder)!r}: {error}."
            ) from error

    def save(self, tensors, facts):
        """Write a dict of tensors and ndarrays, and a dict of plain values.

        Raises
        ------
        OSError
            If that fails; what was saved before stays.
        """
        # a name of its own: fits that differ in their rankers alone share the file
        unfinished = self.path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        # clones, because safetensors refuses tensors that share memory
        tensors = {
            name: torch.as_tensor(tensor).detach().cpu().contiguous().clone()
            for name, tensor in tensors.items()
        }
        metadata = {"facts": json.dumps(facts), "fingerprint": self.fingerprint}
        try:
            save_file(tensors, unfinished, {**metadata, "digest": _digest(tensors, metadata)})
            os.replace(unfinished, self.path)
        except SafetensorError as error:
            raise OSError(f"checkpoint_dir: {self.path} could not be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)

    def load(self):
        """What was saved: tensors and facts, or None if nothing was.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata()
                if metadata["fingerprint"] != self.fingerprint:
                    raise ValueError("it is that of another fit")
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if metadata.pop("digest") != _digest(tensors, metadata):
                raise ValueError("its contents changed after it was written")
            return tensors, json.loads(metadata["facts"])
        except FileNotFoundError:
            self._warn_of_strangers()
            return None
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"checkpoint_dir holds {self.path.name}, which is not the whole checkpoint of this fit "
                f"({error}); delete {self.path} or choose another folder."
            ) from error

    def _warn_of_strangers(self):
        """Say that a fit starts anew where another may have been meant to go on."""
        files = self.path.parent.glob("fine_tuning_*.safetensors")
        strangers = sorted(file.name for file in files if not file.name.startswith(self.family))
        if strangers:
            warnings.warn(
                "checkpoint_dir holds no checkpoint of this fit, which starts from the beginning, but of "
                f"fits with other parameters or data: {', '.join(strangers)} in {self.path.parent}.",
                UserWarning,
                stacklevel=2,
            )

    def delete(self):
        """Remove the file, once the fit is complete."""
        self.path.unlink(missing_ok=True)


def _digest(tensors, metadata):
    """Hash of tensors, their names and what else is in a file, in which a flipped bit shows."""
    found = hashlib.blake2b(repr(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
