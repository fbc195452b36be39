"""An interrupted fine-tuning on disk: one safetensors file, replaced as a whole."""

import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FILE_NAME = "fine_tuning.safetensors"


class Checkpoint:
    """The state of a fine-tuning in a folder.

    Parameters
    ----------
    folder : str or path
        Made if it is not there.
    fingerprint : str
        Says what is trained on what; a file of another one is refused.
    """

    def __init__(self, folder, fingerprint):
        self.path = Path(folder) / FILE_NAME
        self.fingerprint = fingerprint

    def save(self, tensors, facts):
        """Write a dict of tensors and ndarrays, and a dict of plain values."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".tmp")
        # clones, because safetensors refuses tensors that share memory
        tensors = {
            name: torch.as_tensor(tensor).detach().cpu().contiguous().clone()
            for name, tensor in tensors.items()
        }
        save_file(tensors, unfinished, {"facts": json.dumps(facts), "fingerprint": self.fingerprint})
        os.replace(unfinished, self.path)

    def load(self):
        """What was saved: tensors and facts, or None if nothing was.

        Raises
        ------
        ValueError
            If the file belongs to another fit.
        """
        if not self.path.exists():
            return None
        with safe_open(self.path, framework="pt") as file:
            metadata = file.metadata()
            if metadata["fingerprint"] != self.fingerprint:
                raise ValueError(
                    f"checkpoint_dir holds the checkpoint of a fit with other parameters or data "
                    f"({self.path}); delete it or choose another folder."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors, json.loads(metadata["facts"])

    def delete(self):
        """Remove the file, once the fit is complete."""
        self.path.unlink(missing_ok=True)
