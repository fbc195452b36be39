"""Encoders by name: from a hub on this machine, and from the cache when it cannot be reached."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from transformer.conftest import tiny_model, tiny_tokenizer

SCRIPT = """
import json, sys, warnings
from sklearn_xmr._torch._encoder import TextEncoder
for name in sys.argv[1:]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        encoder = TextEncoder.load(name, pooling="auto", max_length=16, precision="float32", device="cpu")
    warned = [str(one.message) for one in caught if "pooling" in str(one.message)]
    print(json.dumps([encoder.pooling, encoder.n_dims, warned]))
"""


@pytest.fixture
def hub(tmp_path):
    """Address of a server that has the models someone/cls and someone/plain."""
    for name in ("cls", "plain"):
        folder = tmp_path / "hub" / "someone" / name
        tiny_model().save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    (tmp_path / "hub/someone/cls/1_Pooling").mkdir()
    (tmp_path / "hub/someone/cls/1_Pooling/config.json").write_text('{"pooling_mode": "cls"}')

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            file = tmp_path / "hub" / self.path.lstrip("/").replace("/resolve/main/", "/")
            data = file.read_bytes() if file.is_file() else b""
            self.send_response(200 if data else 404)
            self.send_header("X-Repo-Commit", 40 * "0")
            self.send_header("ETag", hashlib.sha256(data).hexdigest())
            self.send_header("Content-Length", str(len(data)))
            if not data:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return data

        def do_GET(self):
            self.wfile.write(self.do_HEAD())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def load_by_name(*names, **environment):
    """Pooling, width and warnings of each."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", **environment}
    process = subprocess.run([sys.executable, "-c", SCRIPT, *names], env=environment,
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines() if line.startswith("[")]


def test_auto_pooling_is_read_from_the_hub(hub, tmp_path):
    names = ["someone/cls", "someone/plain"]
    known = [["cls", 32, []], ["mean", 32, []]]
    cache = tmp_path / "cache"
    assert load_by_name(*names, HF_ENDPOINT=hub, HF_HOME=str(cache)) == known
    assert load_by_name(*names, HF_HUB_OFFLINE="1", HF_HOME=str(cache)) == known
    (cache / "hub/models--someone--plain/.no_exist" / (40 * "0") / "1_Pooling/config.json").unlink()
    pooling, _, (message,) = load_by_name(names[1], HF_HUB_OFFLINE="1", HF_HOME=str(cache))[0]
    assert pooling == "mean"
    assert "1_Pooling/config.json of 'someone/plain' is neither in the cache nor" in message
