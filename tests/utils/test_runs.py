import numpy as np
import pytest

from sklearn_xmr.utils._runs import positions_in_runs


@pytest.mark.parametrize("lengths", [[], [0], [3], [0, 2, 0, 1, 4, 0]])
def test_positions_count_up_within_each_run(lengths):
    found = positions_in_runs(np.array(lengths, dtype=np.int32))
    assert found.dtype.kind == "i"
    assert found.tolist() == [position for length in lengths for position in range(length)]
