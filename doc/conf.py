"""Sphinx configuration; ``make doc`` builds the site without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import matplotlib

import sklearn_xmr

matplotlib.use("agg")

project = "sklearn-xmr"
author = "the sklearn-xmr developers"
copyright = author
version = release = sklearn_xmr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_parser",
    "mathml",
    "outside_links",
    "type_lines",
]
exclude_patterns = ["_build", "benchmarks/*.md"]
templates_path = ["_templates"]
source_suffix = {".rst": "restructuredtext"}
default_role = "py:obj"  # `name` in a docstring is a link where it can be one, and code otherwise
add_function_parentheses = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# -- API reference: one page for each public name, made from its docstring

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the template of the class page lists them
numpydoc_xref_param_type = False

# -- gallery: folders follow the steps of the method; an example that fails fails the build

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "subsection_order": [
        "../examples/label_embedding",
        "../examples/indexing",
        "../examples/matching",
        "../examples/ranking",
        "../examples/metrics",
        "../examples/thresholds",
        "../examples/inspection",
        "../examples/model_selection",
        "../examples/serving",
    ],
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("sklearn_xmr",),
    "remove_config_comments": True,
    "thumbnail_size": (480, 320),
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "matplotlib_animations": False,
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# -- HTML

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-xmr"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sklearn-xmr"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "navigation_depth": 3,
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {
    "install": [],
    "quick_start": [],
    "coming_from": [],
    "benchmarks": [],
    "changelog": [],
    "glossary": [],
}
