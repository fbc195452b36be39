"""What happens where the extra "transformer" is not installed."""

import subprocess
import sys

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from sklearn_xmr import XRTransformerClassifier
try:
    XRTransformerClassifier("folder").fit(["a", "b"], [0, 1])
except ImportError as error:
    print(error)
"""


def test_error_names_the_command():
    for name in ("torch", "transformers"):
        process = subprocess.run([sys.executable, "-c", WITHOUT.format(name=name)],
                                 capture_output=True, text=True, check=False)  # fmt: skip
        assert "python -m pip install torch transformers" in process.stdout, process.stderr
