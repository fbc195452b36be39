"""Names with a trailing underscore in the type line of a docstring are code, not references."""

import re

TYPE_LINE = re.compile(r"^\s*\w[\w, ]* : .*_")
NAME = re.compile(r"(?<![`\w.])([A-Za-z]\w*_)(?![`\w])")


def _mark(app, what, name, obj, options, lines):
    for number, line in enumerate(lines):
        if TYPE_LINE.match(line):
            name, colon, kind = line.partition(" : ")
            lines[number] = name + colon + NAME.sub(r"``\1``", kind)


def setup(app):
    app.connect("autodoc-process-docstring", _mark, priority=100)  # before numpydoc reads it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
