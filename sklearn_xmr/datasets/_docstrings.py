"""Cut docstrings in numpydoc layout into passages and cross-references."""

import re

_UNDERLINE = re.compile(r"^\s*(-{3,}|={3,})\s*$")
_ITEM_SECTIONS = {"Parameters", "Other Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns"}
_PROSE_SECTIONS = {"", "Notes", "Examples", "Warnings"}
_DIRECTIVE = re.compile(r"^\.\.\s")
_MARKUP = re.compile(r":[a-z:]+:`~?([^`<]+)(?:<[^`]*)?`|``([^`]*)``|`([^`]+)`_?")
_REFERENCE_MARK = re.compile(r"\s*\[\d+\]_")
_SIGNATURE = re.compile(r"^[\w.]+\(.*\)(\s*->.*)?$")
_NAME = re.compile(r"[A-Za-z_][\w.]*")


def split_sections(doc):
    """Sections of a cleaned docstring.

    Parameters
    ----------
    doc : str
        As ``inspect.getdoc`` returns it.

    Returns
    -------
    sections : list of (str, list of str)
        Title ("" for what stands before the first one) and lines.
    """
    lines = doc.splitlines()
    sections = [("", [])]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _UNDERLINE.match(following) and line.strip() and not line.startswith(" "):
            sections.append((line.strip(), []))
        elif not (_UNDERLINE.match(line) and not sections[-1][1]):
            sections[-1][1].append(line)
    return sections


def passages(doc, own_name, *, min_words, max_words):
    """Prose of a docstring in pieces of similar length, without the object's own name.

    Signatures, code, tables of directives, and the sections See Also and References are left out.

    Parameters
    ----------
    doc : str
        As ``inspect.getdoc`` returns it.
    own_name : str
        Unqualified name to delete, in this spelling, with any dotted prefix.
    min_words : int
        Shorter paragraphs are joined with the next one of the section, or dropped at its end.
    max_words : int
        A piece is closed once it is longer.

    Returns
    -------
    texts : list of str
    """
    own = re.compile(rf"(?:\w+\.)*\b{re.escape(own_name)}\b(?:\(\))?")
    texts = []
    for title, lines in split_sections(doc):
        if title in _ITEM_SECTIONS:
            paragraphs = _items(lines)
        elif title in _PROSE_SECTIONS:
            paragraphs = _paragraphs(_without_signature(lines) if title == "" else lines)
        else:
            continue
        piece = []
        for paragraph in paragraphs:
            piece += own.sub(" ", _plain(paragraph)).split()
            if len(piece) >= min_words:
                texts.append(" ".join(piece[:max_words]))
                piece = []
    return texts


def see_also(doc):
    """Names that the See Also section lists.

    Parameters
    ----------
    doc : str
        As ``inspect.getdoc`` returns it.

    Returns
    -------
    names : list of str
        As written, possibly unqualified.
    """
    names = []
    for title, lines in split_sections(doc):
        if title != "See Also":
            continue
        for line in lines:
            if line.startswith(" "):  # a description
                continue
            entries = _MARKUP.sub(lambda match: next(filter(None, match.groups())), line)
            for entry in re.split(r"\s:(?:\s|$)", entries, maxsplit=1)[0].split(","):
                match = _NAME.fullmatch(entry.strip().removesuffix("()"))
                if match:
                    names.append(match.group())
    return names


def _without_signature(lines):
    """Drop what ufuncs and extension types put before the summary."""
    rest = list(lines)
    while rest and (not rest[0].strip() or _SIGNATURE.match(rest[0].strip())):
        del rest[0]
    return rest


def _blocks(lines):
    """What blank lines separate, without code and its output, and without directives."""
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        if ">>>" not in block and not _DIRECTIVE.match(block.strip()):
            yield block


def _paragraphs(lines):
    """Paragraphs of prose, without indented blocks."""
    return [block for block in _blocks(lines) if not block.lstrip("\n").startswith("    ")]


def _items(lines):
    """One paragraph for each entry of a list such as Parameters."""
    entries = [[]]
    for line in lines:
        if line.strip() and not line.startswith(" "):
            entries.append([])
        entries[-1].append(line)
    return ["\n".join(_blocks(entry)) for entry in entries]


def _plain(text):
    text = _MARKUP.sub(lambda match: next(filter(None, match.groups()), ""), text)
    return _REFERENCE_MARK.sub("", text)
