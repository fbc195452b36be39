"""Token ids of many texts in one array, and the batches they are read in."""

from dataclasses import dataclass

import numpy as np
import torch

from sklearn_xmr.utils._runs import positions_in_runs

TEXTS_PER_CALL = 4096
#: Batches of similar length are cut from windows of so many batches: short enough to stay random.
BATCHES_PER_WINDOW = 100


@dataclass
class TokenStore:
    """Ragged rows of token ids.

    Parameters
    ----------
    ids : ndarray of shape (n_tokens,), dtype int32
    offsets : ndarray of shape (n_texts + 1,), dtype int64
        Text i has the tokens ``ids[offsets[i] : offsets[i + 1]]``.
    """

    ids: np.ndarray
    offsets: np.ndarray

    @property
    def n_texts(self):
        """Number of texts, int."""
        return self.offsets.size - 1

    @property
    def lengths(self):
        """Tokens of each text, ndarray of shape (n_texts,)."""
        return np.diff(self.offsets)

    def thin(self, rows, share, rng):
        """Some texts without a random share of their tokens; the first and the last of a text stay.

        Each text loses the share itself, rounded, and not every token with that probability: texts of
        similar length stay so, and a batch of them has little padding.

        Parameters
        ----------
        rows : ndarray of int
        share : float
            In [0, 1), of the tokens between the first and the last.
        rng : numpy.random.Generator

        Returns
        -------
        tokens : TokenStore
            Of these texts, in this order.
        """
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        ends = np.cumsum(lengths)
        drawn = rng.random(ends[-1])
        drawn[ends - lengths] = drawn[ends - 1] = 1.0  # behind every other token
        text = np.repeat(np.arange(rows.size), lengths)
        order = np.lexsort((drawn, text))
        n_dropped = np.rint(share * np.maximum(lengths - 2, 0)).astype(np.int64)
        kept = np.ones(ends[-1], dtype=bool)
        kept[order[positions_in_runs(lengths) < n_dropped[text]]] = False
        return TokenStore(self._gather(rows)[kept], np.append(0, np.cumsum(lengths - n_dropped)))

    def pad(self, rows, pad_id, multiple, limit=None):
        """Texts as tensors, padded on the right to the longest of them, rounded up to a multiple.

        Parameters
        ----------
        rows : ndarray of int
        pad_id : int
        multiple : int
        limit : int, default=None
            Not rounded up beyond it, as a model may have no further positions.

        Returns
        -------
        ids, mask : Tensor of shape (n_rows, width), dtype int64
            The mask is 1 for tokens and 0 for padding.
        """
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        longest = int(lengths.max())
        width = -(-longest // multiple) * multiple
        if limit is not None:
            width = max(longest, min(width, limit))
        is_token = np.arange(width) < lengths[:, None]
        padded = np.full(is_token.shape, pad_id, dtype=np.int64)
        padded[is_token] = self._gather(rows)
        return torch.from_numpy(padded), torch.from_numpy(is_token.astype(np.int64))

    def _gather(self, rows):
        """Token ids of some texts, one after the other."""
        return np.concatenate([self.ids[self.offsets[i] : self.offsets[i + 1]] for i in rows])


def tokenize(tokenizer, texts, max_length):
    """Token ids of texts, special tokens included.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    texts : list of str
    max_length : int
        Longer texts are cut.

    Returns
    -------
    tokens : TokenStore
    """
    rows = []
    for start in range(0, len(texts), TEXTS_PER_CALL):
        encoded = tokenizer(
            texts[start : start + TEXTS_PER_CALL],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows += [np.array(row or [tokenizer.pad_token_id], dtype=np.int32) for row in encoded["input_ids"]]
    offsets = np.concatenate([[0], np.cumsum([row.size for row in rows])]).astype(np.int64)
    return TokenStore(np.concatenate(rows), offsets)


def batches_by_length(rows, lengths, batch_size, rng):
    """One epoch of batches in random order, each of texts of similar length.

    Parameters
    ----------
    rows : ndarray of int
        Texts to visit, each once.
    lengths : ndarray of int
        Tokens of every text.
    batch_size : int
    rng : numpy.random.Generator

    Returns
    -------
    batches : list of ndarray of int
        The last of them may be smaller.
    """
    rows = rng.permutation(rows)
    batches = []
    for start in range(0, rows.size, BATCHES_PER_WINDOW * batch_size):
        window = rows[start : start + BATCHES_PER_WINDOW * batch_size]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, window.size, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
