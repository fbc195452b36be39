"""Links to the pages of scikit-learn's and SciPy's public names, without fetching inventories."""

import inspect
from importlib import import_module

from docutils import nodes

PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
}


def _has_page(target):
    module, _, name = target.rpartition(".")
    try:
        thing = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return inspect.isclass(thing) or inspect.isroutine(thing)


def _resolve(app, env, node, content):
    target = node.get("reftarget", "")
    page = PAGES.get(target.partition(".")[0])
    if node.get("refdomain") != "py" or page is None or not _has_page(target):
        return None
    return nodes.reference("", "", content, internal=False, refuri=page.format(target))


def setup(app):
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
