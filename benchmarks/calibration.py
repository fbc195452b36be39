"""Calibration error of the k best labels before and after calibration on held-out rows.

    python -m benchmarks.calibration DATA_FOLDER [--k 5] [--loss squared_hinge log_loss]

DATA_FOLDER holds X_train.npz, Y_train.npz, X_dev.npz, Y_dev.npz, X_test.npz and Y_test.npz. The model
learns from the training rows, is calibrated on the dev rows, and everything is reported on the test rows.
"""

import argparse
import time
from pathlib import Path

import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score

from benchmarks.tables import rst_table
from sklearn_xmr import CalibratedXMRClassifier, LabelSetClassifier, XRLinearClassifier
from sklearn_xmr.metrics import expected_calibration_error, precision_at_k

HEADER = ["loss", "calibration", "ECE", "P@1", "P@3", "P@5", "seconds"]
SET_HEADER = ["loss", "rule", "micro-F1", "macro-F1", "samples-F1", "labels per row"]


def calibration_rows(loss, model, data, k):
    """A row before, and one for each way to calibrate."""
    X_dev, Y_dev, X_test, Y_test = data
    rows = []

    def report(name, ranking, seconds):
        ece = expected_calibration_error(Y_test, ranking, k=k)
        precisions = [f"{100 * precision_at_k(Y_test, ranking, k=at):.2f}" for at in (1, 3, 5)]
        rows.append([loss, name, f"{ece:.4f}", *precisions, seconds])

    report("none", model.predict_topk(X_test, k=max(k, 5)), "")
    for scope in ("path", "levels"):
        for method in ("sigmoid", "isotonic"):
            start = time.perf_counter()
            calibrated = CalibratedXMRClassifier(FrozenEstimator(model), scope=scope, method=method)
            calibrated.fit(X_dev, Y_dev)
            seconds = f"{time.perf_counter() - start:.1f}"
            report(f"{scope}, {method}", calibrated.predict_topk(X_test, k=max(k, 5)), seconds)
    return rows


def set_rows(loss, model, data):
    """A row for each rule that makes sets of the calibrated ranking."""
    X_dev, Y_dev, X_test, Y_test = data
    calibrated = CalibratedXMRClassifier(FrozenEstimator(model)).fit(X_dev, Y_dev)
    rows = []
    for rule in ("top_k", "global_threshold", "label_thresholds", "expected_f1"):
        sets = LabelSetClassifier(FrozenEstimator(calibrated), rule=rule).fit(X_dev, Y_dev).predict(X_test)
        scores = [
            f"{100 * f1_score(Y_test, sets, average=average, zero_division=0.0):.2f}"
            for average in ("micro", "macro", "samples")
        ]
        rows.append([loss, rule, *scores, f"{sets.nnz / sets.shape[0]:.2f}"])
    return rows


def main(argv=None):
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--loss", nargs="+", default=["squared_hinge"])
    arguments = parser.parse_args(argv)
    X_train, Y_train, *data = (
        sp.csr_array(sp.load_npz(arguments.data / f"{name}_{part}.npz"))
        for part in ("train", "dev", "test")
        for name in ("X", "Y")
    )
    calibration, sets = [], []
    for loss in arguments.loss:
        model = XRLinearClassifier(loss=loss, random_state=0).fit(X_train, Y_train)
        calibration += calibration_rows(loss, model, data, arguments.k)
        sets += set_rows(loss, model, data)
    print(rst_table(HEADER, calibration), rst_table(SET_HEADER, sets), sep="\n\n")


if __name__ == "__main__":
    main()
