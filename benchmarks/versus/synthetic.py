"""Write a data folder of synthetic data for ``benchmarks.versus``, for a first try."""

import argparse
from pathlib import Path

import scipy.sparse as sp

from sklearn_xmr.datasets import make_xmc_classification


def write_data_folder(folder, X, Y, *, test_share=0.2):
    """Save a problem, its last rows being the test part."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    n_train = X.shape[0] - int(X.shape[0] * test_share)
    for name, matrix in (("X", X), ("Y", Y)):
        sp.save_npz(folder / f"{name}_train.npz", sp.csr_matrix(matrix[:n_train]))
        sp.save_npz(folder / f"{name}_test.npz", sp.csr_matrix(matrix[n_train:]))


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus.synthetic", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=4_000)
    arguments = parser.parse_args(argv)
    X, Y = make_xmc_classification(arguments.samples, arguments.features, arguments.labels, random_state=0)
    write_data_folder(arguments.folder, X, Y)


if __name__ == "__main__":
    main()
