"""Links from the HTML representation of an estimator to its documentation."""

import os
from functools import cache
from importlib.metadata import metadata


class DocLinkMixin:
    """Links an estimator's HTML representation to its page of the documentation, where that is known.

    The address is that of the project URL "Documentation" in the package's metadata (pyproject.toml), or of
    the environment variable ``XMR_DOC_URL``, such as the folder of a local build. Without either there are
    no links.
    """

    @property
    def _doc_link_module(self):
        return "sklearn_xmr" if documentation_url() else ""

    @property
    def _doc_link_template(self):
        return f"{documentation_url()}/api/generated/sklearn_xmr.{{estimator_name}}.html"


def documentation_url():
    """Address of the documentation without a slash at its end, or an empty string."""
    return os.environ.get("XMR_DOC_URL", _published_url()).rstrip("/")


@cache
def _published_url():
    urls = metadata("sklearn-xmr").get_all("Project-URL", [])
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "")
