"""Download public benchmark sets; nothing is read before its checksum is verified."""

import hashlib
import http.client
import io
import json
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from lzma import LZMAError
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import fetch_file, get_data_home
from sklearn.utils import Bunch

from sklearn_xmr.datasets._xmc_parser import read_xmc_stream
from sklearn_xmr.utils._sklearn_private import Interval, validate_params
from sklearn_xmr.utils._validation import check_label_matrix, check_sparse_structure

_validate = validate_params(
    {
        "n_retries": [Interval(Integral, 0, None, closed="left")],
        "delay": [Interval(Real, 0, None, closed="left")],
        "feature_set": [str, None],
    },
    prefer_skip_nested_validation=True,
)


class _Remote(NamedTuple):
    """A published archive: file name in the cache, mirrors in the order to try, SHA-256."""

    filename: str
    urls: tuple[str, ...]
    sha256: str


_EURLEX57K = _Remote(
    "eurlex57k.zip",
    ("https://archive.org/download/EURLEX57K/dataset.zip",),
    # published with the data set's loader in the `datasets` library, dataset_infos.json
    "dc6830ce8ea49aea049989c4a8253b12d0fb3665fc336d830cb07b9bd28c0f92",
)

_EURLEX57K_DESCR = """EURLEX57K: 57,000 English laws of the European Union with EuroVoc concepts.

45,000 training, 6,000 validation and 6,000 test documents. Licence: CC BY-SA 4.0.
I. Chalkidis, M. Fergadiotis, P. Malakasiotis and I. Androutsopoulos, "Large-Scale Multi-Label Text
Classification on EU Legislation", ACL 2019.
"""


@_validate
def fetch_eurlex57k(*, data_home=None, download_if_missing=True, n_retries=3, delay=1.0):
    """Load EURLEX57K: laws of the European Union with EuroVoc concepts (texts).

    The first call downloads about 50 MB from archive.org.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Cache folder, as in :func:`sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        If False, raise OSError where the archive is not in the cache.
    n_retries : int, default=3
        Retries of each address on HTTP errors, at least 0.
    delay : float, default=1.0
        Seconds between retries, at least 0.

    Returns
    -------
    Bunch
        With the attributes

        texts_train, texts_validation, texts_test : ndarray of shape (n_samples,), dtype object
            Header, recitals and main body of each law.
        Y_train, Y_validation, Y_test : csr_array of shape (n_samples, n_labels), dtype float32
            Label indicators. The columns are the concepts that occur in any of the three sets.
        label_names : ndarray of shape (n_labels,), dtype object
            EuroVoc identifiers, sorted.
        DESCR : str
            Description.

    Raises
    ------
    OSError
        If the archive cannot be had or has another SHA-256 checksum than published; such a download is
        deleted.
    ValueError
        If `n_retries` or `delay` is out of range.

    References
    ----------
    .. [1] I. Chalkidis, M. Fergadiotis, P. Malakasiotis and I. Androutsopoulos, "Large-Scale
       Multi-Label Text Classification on EU Legislation", ACL 2019.

    Examples
    --------
    >>> from sklearn_xmr.datasets import fetch_eurlex57k
    >>> data = fetch_eurlex57k()  # doctest: +SKIP
    >>> data.Y_train.shape[0]  # doctest: +SKIP
    45000
    """
    path = _cached_archive(_EURLEX57K, data_home, download_if_missing, n_retries, delay)
    texts, concepts = {}, {}
    with _open_archive(path) as (names, read):
        for split, filename in (("train", "train"), ("validation", "dev"), ("test", "test")):
            lines = read(_one_member(names, rf"{filename}\.jsonl", path)).split(b"\n")
            laws = [json.loads(line) for line in lines if line.strip()]
            parts = [[law["header"], law["recitals"], *law["main_body"]] for law in laws]
            texts[split] = _object_array(["\n".join(part) for part in parts])
            concepts[split] = [sorted(set(law["eurovoc_concepts"])) for law in laws]
    label_names = sorted({name for split in concepts.values() for law in split for name in law})
    index = {name: i for i, name in enumerate(label_names)}
    data = Bunch(label_names=_object_array(label_names), DESCR=_EURLEX57K_DESCR)
    for split, laws in concepts.items():
        indptr = np.cumsum([0, *map(len, laws)], dtype=np.int32)
        indices = np.array([index[name] for law in laws for name in law], dtype=np.int32)
        data[f"texts_{split}"] = texts[split]
        data[f"Y_{split}"] = sp.csr_array(
            (np.ones(indices.size, np.float32), indices, indptr), shape=(len(laws), len(label_names))
        )
    return data


@_validate
def fetch_xmc(
    url, *, sha256, feature_set=None, data_home=None, download_if_missing=True, n_retries=3, delay=1.0
):
    """Load a benchmark archive from an address and with a checksum that the caller gives.

    Two layouts of ``.zip`` and ``.tar.gz`` archives are known, in any folder of the archive:

    - the Extreme Classification Repository's text files, ``train.txt`` and ``test.txt`` or names
      that end in ``_train.txt`` and ``_test.txt``;
    - PECOS' sets: ``X.trn.npz``, ``Y.trn.npz``, ``X.tst.npz``, ``Y.tst.npz``, optionally
      ``X.trn.txt`` and ``X.tst.txt`` with one text per line and ``output-items.txt`` with label names.

    Parameters
    ----------
    url : str or sequence of str
        Address, or mirrors in the order to try.
    sha256 : str
        SHA-256 checksum of the archive, 64 hexadecimal digits.
    feature_set : str, default=None
        Name of the folder of ``X.trn.npz`` and ``X.tst.npz``, such as ``"tfidf-attnxml"``; needed where
        an archive has several. Not for text files.
    data_home : str or path-like, default=None
        Cache folder, as in :func:`sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        If False, raise OSError where the archive is not in the cache.
    n_retries : int, default=3
        Retries of each address on HTTP errors, at least 0.
    delay : float, default=1.0
        Seconds between retries, at least 0.

    Returns
    -------
    Bunch
        With the attributes ``X_train``, ``Y_train``, ``X_test``, ``Y_test`` (csr_array of float32) and,
        where the archive has them, ``texts_train``, ``texts_test`` and ``label_names`` (ndarray of
        dtype object).

    Raises
    ------
    OSError
        If the archive cannot be had or has another checksum; such a download is deleted.
    ValueError
        If ``sha256`` is not a checksum, another parameter is out of range, or the archive has neither
        layout, parts that cannot be read, or parts that do not belong together.
    TypeError
        If `url` is neither a str nor a sequence of str.

    Examples
    --------
    >>> from sklearn_xmr.datasets import fetch_xmc
    >>> url = "https://archive.org/download/pecos-dataset/xmc-base/eurlex-4k.tar.gz"
    >>> data = fetch_xmc(url, sha256=known_checksum)  # doctest: +SKIP
    """
    if not (isinstance(sha256, str) and re.fullmatch("[0-9a-fA-F]{64}", sha256)):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}.")
    urls = (url,) if isinstance(url, str) else url
    if not isinstance(urls, Sequence) or not all(isinstance(each, str) for each in urls):
        raise TypeError(f"url must be a str or a sequence of str, got {url!r}.")
    if not urls:
        raise ValueError("url must be an address or a sequence of at least one, got an empty sequence.")
    # the checksum in the name keeps archives that share a file name apart
    filename = f"{sha256[:12].lower()}-{Path(re.split('[?#]', urls[0])[0]).name}"
    remote = _Remote(filename, tuple(urls), sha256.lower())
    path = _cached_archive(remote, data_home, download_if_missing, n_retries, delay)
    with _open_archive(path) as (names, read):
        if any(re.search(r"(^|/)Y\.trn\.npz$", name) for name in names):
            data = _read_pecos(names, read, path, feature_set)
        elif feature_set is not None:
            raise ValueError(
                f"feature_set must be None for {path}, which has no Y.trn.npz, got {feature_set!r}."
            )
        else:
            data = _read_repository(names, read, path)
    _check_counts(data, path)
    return data


def _read_repository(names, read, path):
    data = Bunch()
    for split in ("train", "test"):
        member = _one_member(names, rf"([^/]*_)?{split}\.txt", path)
        X, Y = read_xmc_stream(io.BytesIO(read(member)), f"{path}:{member}")
        data[f"X_{split}"], data[f"Y_{split}"] = X, Y
    return data


def _read_pecos(names, read, path, feature_set):
    folder = "" if feature_set is None else re.escape(feature_set) + "/"
    data = Bunch()
    for split, short in (("train", "trn"), ("test", "tst")):
        X_name = _one_member(names, rf"{folder}X\.{short}\.npz", path)
        Y_name = _one_member(names, rf"Y\.{short}\.npz", path)
        X = sp.csr_array(_load_matrix(read, X_name, path), dtype=np.float32)
        if not np.isfinite(X.data).all():
            raise ValueError(f"{path}:{X_name} must hold finite values, got NaN or infinity.")
        data[f"X_{split}"] = X
        data[f"Y_{split}"] = check_label_matrix(
            _load_matrix(read, Y_name, path), input_name=f"{path}:{Y_name}"
        )
    for key, pattern in (
        ("texts_train", r"X\.trn\.txt"),
        ("texts_test", r"X\.tst\.txt"),
        ("label_names", r"output-items\.txt"),
    ):
        if any(re.search(rf"(^|/){pattern}$", name) for name in names):
            data[key] = _object_array(_read_lines(read, _one_member(names, pattern, path), path))
    return data


def _load_matrix(read, member, path):
    content = io.BytesIO(read(member))
    try:
        matrix = sp.load_npz(content)
        if matrix.dtype.kind not in "biuf":
            raise ValueError(f"dtype {matrix.dtype}")
    except Exception as error:  # of many kinds
        raise ValueError(f"{path}:{member} must be a matrix of scipy.sparse.save_npz: {error}") from error
    check_sparse_structure(matrix, f"{path}:{member}")
    return matrix


def _read_lines(read, member, path):
    try:
        text = read(member).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{member} must be UTF-8: {error}.") from error
    # not splitlines: texts may hold other characters that it takes for line ends
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _check_counts(data, path):
    """Refuse parts that do not belong together."""
    for what, axis, matrices, names in (
        ("training rows", 0, ("X_train", "Y_train"), "texts_train"),
        ("test rows", 0, ("X_test", "Y_test"), "texts_test"),
        ("features", 1, ("X_train", "X_test"), None),
        ("labels", 1, ("Y_train", "Y_test"), "label_names"),
    ):
        counts = {name: data[name].shape[axis] for name in matrices}
        if names in data:
            counts[names] = len(data[names])
        if len(set(counts.values())) > 1:
            raise ValueError(f"{path}: the files differ in the number of {what}: {counts}.")


def _cached_archive(remote, data_home, download_if_missing, n_retries, delay):
    """Path of the verified archive, downloaded unless it is there."""
    folder = Path(get_data_home(data_home)) / "sklearn_xmr"
    path = folder / remote.filename
    if not download_if_missing:
        if not path.exists():
            raise OSError(f"{path} does not exist and download_if_missing=False.")
        with open(path, "rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        if checksum != remote.sha256:
            raise OSError(
                f"{path} has the SHA-256 checksum {checksum}, expected {remote.sha256}, and "
                "download_if_missing=False."
            )
        return path
    os.makedirs(folder, exist_ok=True)
    failures = []
    for url in remote.urls:
        try:
            return fetch_file(
                url, folder, remote.filename, sha256=remote.sha256, n_retries=n_retries, delay=delay
            )
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
    raise OSError(f"{remote.filename} could not be downloaded and verified. " + " ".join(failures))


@contextmanager
def _open_archive(path):
    """Member names of an archive and a function that reads one; nothing is written to disk."""

    # tar first: the end of a tar of .npz files looks like that of a zip
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            with _refusing_damage(path):
                members = {member.name: member for member in tar if member.isfile()}

            def read(name):
                with _refusing_damage(f"{path}:{name}"):
                    return tar.extractfile(members[name]).read()

            yield list(members), read
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:

            def read(name):
                with _refusing_damage(f"{path}:{name}"):
                    return archive.read(name)

            yield archive.namelist(), read
    else:
        raise ValueError(f"{path} is neither a zip nor a tar archive.")


@contextmanager
def _refusing_damage(name):
    """Say what cannot be read: a checksum tells that an archive is as published, not that it is whole."""
    try:
        yield
    except (
        OSError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        LZMAError,
    ) as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _one_member(names, pattern, path):
    """The one file whose path ends in the pattern, resource forks of macOS aside."""
    found = [name for name in names if re.search(rf"(^|/){pattern}$", name) and "__MACOSX" not in name]
    if len(found) != 1:
        what = f"several files match: {', '.join(found)}" if found else "no file matches"
        raise ValueError(f"{path}: {what} (pattern {pattern}).")
    return found[0]


def _object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
