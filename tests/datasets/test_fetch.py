"""All downloads come from a server on this machine."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sklearn_xmr.datasets import _fetch, dump_xmc_file, fetch_eurlex57k, fetch_xmc

X = sp.csr_array(np.float32([[1, 0, 2], [0, 0.5, 0]]))
Y = sp.csr_array(np.float32([[1, 0], [1, 1]]))


class Server:
    """Serves byte strings by path and counts the requests."""

    def __init__(self):
        self.files, self.n_requests, self.cut_short = {}, 0, False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.n_requests += 1
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if outer.cut_short else content)

            def log_message(self, *args):
                pass

        self.httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def add(self, path, content):
        self.files[path] = content
        return f"http://127.0.0.1:{self.httpd.server_port}{path}", hashlib.sha256(content).hexdigest()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


def make_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def xmc_bytes(tmp_path, X, Y):
    dump_xmc_file(X, Y, tmp_path / "member.txt")
    return (tmp_path / "member.txt").read_bytes()


def npz_bytes(matrix):
    buffer = io.BytesIO()
    sp.save_npz(buffer, matrix)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
    content = xmc_bytes(tmp_path, X, Y)
    return make_zip({"Toy/toy_train.txt": content, "Toy/toy_test.txt": content, "Toy/README": b""})


def cached_files(home):
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("names", [("train.txt", "test.txt"), ("a/toy_train.txt", "a/toy_test.txt")])
def test_repository_layout(server, tmp_path, make, names):
    content = make(
        {
            names[0]: xmc_bytes(tmp_path, X, Y),
            names[1]: xmc_bytes(tmp_path, X[:1], Y[:1]),
            "b/other.txt": b"",
        }
    )
    url, sha256 = server.add("/toy.archive", content)
    data = fetch_xmc(url, sha256=sha256, data_home=tmp_path / "home")
    assert_array_equal(data.X_train.toarray(), X.toarray())
    assert_array_equal(data.Y_train.toarray(), Y.toarray())
    assert_array_equal(data.X_test.toarray(), X[:1].toarray())
    assert_array_equal(data.Y_test.toarray(), Y[:1].toarray())


def pecos_files(*feature_sets):
    files = {
        "xmc-base/toy/Y.trn.npz": npz_bytes(sp.csr_matrix(Y)),
        "xmc-base/toy/Y.tst.npz": npz_bytes(sp.csr_matrix(Y)),
        "xmc-base/toy/X.trn.txt": "first\x85text\nsecond\n".encode(),
        "xmc-base/toy/output-items.txt": "é\nb\n".encode(),
    }
    for scale, name in enumerate(feature_sets, start=1):
        files[f"xmc-base/toy/{name}/X.trn.npz"] = npz_bytes(sp.csr_matrix(X * scale, dtype=np.float64))
        files[f"xmc-base/toy/{name}/X.tst.npz"] = npz_bytes(sp.csr_matrix(X * scale))
    return files


def test_pecos_layout(server, tmp_path):
    url, sha256 = server.add("/toy.tar.gz", make_tar(pecos_files("tfidf", "other")))
    data = fetch_xmc(url, sha256=sha256, feature_set="other", data_home=tmp_path)
    assert sorted(data) == ["X_test", "X_train", "Y_test", "Y_train", "label_names", "texts_train"]
    assert isinstance(data.X_train, sp.csr_array) and data.X_train.dtype == np.float32
    assert_array_equal(data.X_train.toarray(), 2 * X.toarray())
    assert_array_equal(data.Y_test.toarray(), Y.toarray())
    assert list(data.texts_train) == ["first\x85text", "second"]
    assert list(data.label_names) == ["é", "b"]
    with pytest.raises(ValueError, match=r"several files match: .*tfidf/X\.trn\.npz"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


def test_second_call_needs_no_server(server, archive, tmp_path):
    url, sha256 = server.add("/toy.zip", archive)
    home = tmp_path / "home"
    with pytest.raises(OSError, match="does not exist and download_if_missing=False"):
        fetch_xmc(url, sha256=sha256, data_home=home, download_if_missing=False)
    assert server.n_requests == 0
    fetch_xmc(url, sha256=sha256, data_home=home)
    server.files.clear()
    for download_if_missing in (True, False):
        data = fetch_xmc(
            url, sha256=sha256.upper(), data_home=home, download_if_missing=download_if_missing
        )
        assert_array_equal(data.X_train.toarray(), X.toarray())
    assert server.n_requests == 1
    assert len(cached_files(home)) == 1


def test_wrong_checksum_is_refused_and_removed(server, archive, tmp_path):
    url, _ = server.add("/toy.zip", archive)
    home = tmp_path / "home"
    with pytest.raises(OSError, match=r"checksum of .* differs from expected") as info:
        fetch_xmc(url, sha256="0" * 64, data_home=home)
    assert url in str(info.value)
    assert cached_files(home) == []


def test_interrupted_download_leaves_nothing(server, archive, tmp_path):
    url, sha256 = server.add("/toy.zip", archive)
    home = tmp_path / "home"
    server.cut_short = True
    with pytest.raises(OSError, match="could not be downloaded and verified"):
        fetch_xmc(url, sha256=sha256, data_home=home, n_retries=0)
    assert cached_files(home) == []
    server.cut_short = False
    assert fetch_xmc(url, sha256=sha256, data_home=home, n_retries=0).X_train.shape == X.shape


def test_damaged_cache(server, archive, tmp_path):
    url, sha256 = server.add("/toy.zip", archive)
    fetch_xmc(url, sha256=sha256, data_home=tmp_path / "home")
    (path,) = cached_files(tmp_path / "home")
    path.write_bytes(b"damaged")
    with pytest.raises(OSError, match=f"expected {sha256}, and download_if_missing=False"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path / "home", download_if_missing=False)
    with pytest.warns(UserWarning, match="differs from expected .*re-downloading"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path / "home")
    assert path.read_bytes() == archive


def test_mirrors_are_tried_in_order(server, archive, tmp_path):
    url, sha256 = server.add("/mirror/toy.zip", archive)
    missing = url.replace("mirror", "gone")
    data = fetch_xmc([missing, url], sha256=sha256, data_home=tmp_path, n_retries=0)
    assert data.X_train.shape == X.shape
    assert server.n_requests == 2
    with pytest.raises(OSError, match=r"gone/toy\.zip: HTTP Error 404"):
        fetch_xmc(missing, sha256="1" * 64, data_home=tmp_path, n_retries=0)


def test_nothing_is_written_outside_the_cache(server, tmp_path):
    content = xmc_bytes(tmp_path, X, Y)
    home = tmp_path / "deep" / "home"
    for i, make in enumerate((make_zip, make_tar)):
        files = {"../../../train.txt": content, "/tmp/../test.txt": content}
        url, sha256 = server.add(f"/evil{i}", make(files))
        data = fetch_xmc(url, sha256=sha256, data_home=home)
        assert_array_equal(data.X_train.toarray(), X.toarray())
    assert len(cached_files(home)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "member.txt"]


def test_links_in_archives_are_not_followed(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("train.txt", "test.txt"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    url, sha256 = server.add("/links.tar", buffer.getvalue())
    with pytest.raises(ValueError, match="no file matches"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


@pytest.mark.parametrize(
    "content, message",
    [
        (make_zip({"readme.txt": b""}), "no file matches"),
        (make_zip({"train.txt": b"1 1 1\n0 0:1\n", "test.txt": b"1 1 1\n5 0:1\n"}), r"test\.txt, line 2"),
        (make_zip({"a/train.txt": b"", "b/train.txt": b""}), "several files match"),
        (b"not an archive", "neither a zip nor a tar archive"),
    ],
)
def test_refuses_unknown_content(server, tmp_path, content, message):
    url, sha256 = server.add("/toy.zip", content)
    with pytest.raises(ValueError, match=message):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


def test_tar_without_compression(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(make_tar(pecos_files("t")))) as packed:
        with tarfile.open(fileobj=buffer, mode="w") as plain:
            for member in packed:
                plain.addfile(member, packed.extractfile(member))
    url, sha256 = server.add("/toy.tar", buffer.getvalue())
    assert_array_equal(fetch_xmc(url, sha256=sha256, data_home=tmp_path).X_train.toarray(), X.toarray())


def test_refuses_archives_cut_short(server, tmp_path):
    url, sha256 = server.add("/toy.tar.gz", make_tar({"train.txt": bytes(1000), "test.txt": b""})[:-20])
    with pytest.raises(ValueError, match=r"toy\.tar\.gz cannot be read"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


@pytest.mark.parametrize("sha256", [None, "abc", "g" * 64, "0" * 63])
def test_refuses_what_is_no_checksum(tmp_path, sha256):
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits"):
        fetch_xmc("http://127.0.0.1/toy.zip", sha256=sha256, data_home=tmp_path)


@pytest.mark.parametrize("change", [{"n_retries": -1}, {"n_retries": 1.5}, {"delay": -1}, {"delay": "1"}])
def test_refuses_retries_out_of_range(server, tmp_path, change):
    url, _ = server.add("/toy.zip", b"")
    with pytest.raises(ValueError, match=f"The '{next(iter(change))}' parameter of fetch_xmc must be"):
        fetch_xmc(url + "gone", sha256="0" * 64, data_home=tmp_path, **change)
    with pytest.raises(
        ValueError, match=f"The '{next(iter(change))}' parameter of fetch_eurlex57k must be"
    ):
        fetch_eurlex57k(data_home=tmp_path, download_if_missing=False, **change)


@pytest.mark.parametrize("url", [None, b"http://127.0.0.1/a.zip", ["http://127.0.0.1/a.zip", None], {"a"}])
def test_refuses_what_is_no_url(tmp_path, url):
    with pytest.raises(TypeError, match="url must be a str or a sequence of str, got"):
        fetch_xmc(url, sha256="0" * 64, data_home=tmp_path)


@pytest.mark.parametrize("wrong", ["toy.zip", "nowhere:/toy.zip", "http://[/toy.zip", ""])
def test_mirror_with_an_invalid_address(server, archive, tmp_path, wrong):
    url, sha256 = server.add("/toy.zip", archive)
    data = fetch_xmc([wrong, url], sha256=sha256, data_home=tmp_path / "home", n_retries=0)
    assert data.X_train.shape == X.shape
    with pytest.raises(OSError, match="could not be downloaded and verified"):
        fetch_xmc(wrong, sha256="1" * 64, data_home=tmp_path / "home", n_retries=0)


@pytest.mark.parametrize(
    ("member", "content", "match"),
    [
        ("Y.trn.npz", npz_bytes(Y[:1]), "training rows: .*'X_train': 2, 'Y_train': 1, 'texts_train': 2"),
        ("X.trn.txt", b"first\n", "training rows: .*'texts_train': 1"),
        ("t/X.tst.npz", npz_bytes(X[:1]), "test rows: .*'X_test': 1, 'Y_test': 2"),
        ("X.tst.txt", b"1\n2\n3\n", "test rows: .*'texts_test': 3"),
        ("t/X.tst.npz", npz_bytes(X[:, :2]), "features: .*'X_train': 3, 'X_test': 2"),
        ("Y.tst.npz", npz_bytes(Y[:, :1]), "labels: .*'Y_train': 2, 'Y_test': 1, 'label_names': 2"),
        ("output-items.txt", b"a\nb\nc\n", "labels: .*'label_names': 3"),
    ],
)
def test_refuses_parts_that_differ(server, tmp_path, member, content, match):
    files = pecos_files("t") | {f"xmc-base/toy/{member}": content}
    url, sha256 = server.add("/toy.tar.gz", make_tar(files))
    with pytest.raises(ValueError, match=f"the files differ in the number of {match}"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


def test_refuses_no_url(tmp_path):
    with pytest.raises(ValueError, match="url must be an address"):
        fetch_xmc([], sha256="0" * 64, data_home=tmp_path)


def law(header, concepts):
    record = {
        "celex_id": "1",
        "title": "t",
        "header": header,
        "recitals": "r\u2028",
        "main_body": ["a", "b"],
    }
    return json.dumps(record | {"eurovoc_concepts": concepts}, ensure_ascii=False).encode() + b"\n"


def test_eurlex57k(server, tmp_path, monkeypatch):
    content = make_zip(
        {
            "dataset/train.jsonl": law("one", ["20", "100"]) + law("two", []),
            "dataset/dev.jsonl": law("three", ["3", "3"]),
            "dataset/test.jsonl": law("four", ["20"]),
            "__MACOSX/dataset/train.jsonl": b"",
        }
    )
    url, sha256 = server.add("/dataset.zip", content)
    monkeypatch.setattr(_fetch, "_EURLEX57K", _fetch._Remote("eurlex57k.zip", (url,), sha256))
    data = fetch_eurlex57k(data_home=tmp_path)
    assert list(data.label_names) == ["100", "20", "3"]
    assert list(data.texts_train) == ["one\nr\u2028\na\nb", "two\nr\u2028\na\nb"]
    assert_array_equal(data.Y_train.toarray(), [[1, 1, 0], [0, 0, 0]])
    assert_array_equal(data.Y_validation.toarray(), [[0, 0, 1]])
    assert_array_equal(data.Y_test.toarray(), [[0, 1, 0]])
    assert data.Y_train.dtype == np.float32
    assert "EuroVoc" in data.DESCR
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_eurlex57k(data_home=tmp_path / "other", download_if_missing=False)


def test_published_table():
    assert len(_fetch._EURLEX57K.sha256) == 64
    assert all(url.startswith("https://") for url in _fetch._EURLEX57K.urls)


def test_lines_that_end_as_on_windows(server, tmp_path):
    files = pecos_files("t")
    files |= {"xmc-base/toy/X.trn.txt": b"a\r\nb c\r\n", "xmc-base/toy/output-items.txt": b"x\r\ny"}
    url, sha256 = server.add("/toy.tar.gz", make_tar(files))
    data = fetch_xmc(url, sha256=sha256, data_home=tmp_path)
    assert list(data.texts_train) == ["a", "b c"] and list(data.label_names) == ["x", "y"]


def outside():
    matrix = X.copy()
    matrix.indices[0] = 77
    return matrix


@pytest.mark.parametrize(
    ("member", "content", "match"),
    [
        ("t/X.trn.npz", npz_bytes(outside()), r"X\.trn\.npz must have column indices in \[0, 3\), got 77"),
        ("t/X.tst.npz", npz_bytes(X * np.nan), r"X\.tst\.npz must hold finite values, got NaN"),
        ("Y.trn.npz", b"garbage", r"Y\.trn\.npz must be a matrix of scipy\.sparse\.save_npz"),
        ("t/X.trn.npz", npz_bytes(X * 1j), r"X\.trn\.npz must be .*save_npz: dtype complex64"),
        ("Y.trn.npz", npz_bytes(2 * Y), r"Y\.trn\.npz must contain only 0 and 1"),
        ("t/X.trn.npz", npz_bytes(X)[:-40], r"X\.trn\.npz must be a matrix of scipy\.sparse\.save_npz"),
        ("X.trn.txt", b"\xff\n\n", r"X\.trn\.txt must be UTF-8"),
    ],
)
def test_refuses_parts_that_cannot_be_read(server, tmp_path, member, content, match):
    url, sha256 = server.add(
        "/toy.tar.gz", make_tar(pecos_files("t") | {f"xmc-base/toy/{member}": content})
    )
    with pytest.raises(ValueError, match=match):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


def test_refuses_damaged_members(server, tmp_path, archive):
    start = archive.index(b"0:1")
    damaged = archive[:start] + b"9" + archive[start + 1 :]
    url, sha256 = server.add("/toy.zip", damaged)
    with pytest.raises(ValueError, match=r"toy_train\.txt cannot be read: Bad CRC-32"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path)


def test_feature_sets_are_of_matrices(server, archive, tmp_path):
    url, sha256 = server.add("/toy.zip", archive)
    with pytest.raises(ValueError, match=r"feature_set must be None for .*, got 'tfidf'"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path, feature_set="tfidf")
    with pytest.raises(ValueError, match="The 'feature_set' parameter of fetch_xmc must be"):
        fetch_xmc(url, sha256=sha256, data_home=tmp_path, feature_set=3)
