"""Default parameters on real data sets, where a checkout has them beside it."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_xmr import XRLinearClassifier
from sklearn_xmr.metrics import precision_at_k

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# P@1/3/5 of libpecos 1.2.8 with its defaults on the same features, less 0.1
FLOORS = {
    "eurlex57k": (90.8, 81.6, 68.7),
    "stackexchange_4sites": (65.8, 42.7, 30.9),
    "gutenberg_lcsh": (42.3, 25.8, 18.1),
}


@pytest.mark.parametrize("name", FLOORS)
def test_precision_of_the_defaults(name):
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"no data set {name}")
    X_train, X_test, Y_train, Y_test = (
        sp.load_npz(folder / f"{part}.npz") for part in ("X_train", "X_test", "Y_train", "Y_test")
    )
    reached = []
    for seed in range(3):  # seeds differ by up to 0.5
        model = XRLinearClassifier(random_state=seed).fit(X_train, Y_train)
        ranked = model.predict_topk(X_test, k=5)
        reached.append([100 * precision_at_k(Y_test, ranked, k=k) for k in (1, 3, 5)])
    reached = np.mean(reached, axis=0)
    assert np.all(np.array(reached) >= FLOORS[name]), reached
