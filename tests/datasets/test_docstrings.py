from sklearn_xmr.datasets._docstrings import passages, see_also, split_sections

DOC = """\
frobnicate(x, /, out=None, *, mode='a')

Frobnicate the widgets of an array in a stable manner.

Where :func:`numpy.frobnicate` differs from ``twiddle``, see [1]_ for
more about `pkg.frobnicate` and frobnicate().

Parameters
----------
x : array_like
    Widgets to frobnicate, one for each row.
mode : {'a', 'b'}
    What to do.

    >>> frobnicate([1], mode='b')
    array([1])

    .. versionadded:: 1.2
out : ndarray
    A place for results.

See Also
--------
twiddle : Twiddle the widgets, cf. frobnicate.
pkg.unfrobnicate, other
numpy.fft.fft : Another one,
    described over two lines, really : so.
:func:`~pkg.last` : Markup.

Notes
-----
The method of steepest descent is
used.

.. math:: x = y

References
----------
.. [1] Somebody, "On frobnication", with a rather long title.

Examples
--------
Some prose about how to call it:

>>> frobnicate([1, 2])
array([2, 1])

More prose, after the output.
"""


def test_sections():
    titles = [title for title, _ in split_sections(DOC)]
    assert titles == ["", "Parameters", "See Also", "Notes", "References", "Examples"]
    assert dict(split_sections(DOC))["References"][0].startswith(".. [1]")


def test_see_also():
    assert see_also(DOC) == ["twiddle", "pkg.unfrobnicate", "other", "numpy.fft.fft", "pkg.last"]
    assert see_also("Summary.") == []


def test_passages():
    assert passages(DOC, "frobnicate", min_words=5, max_words=50) == [
        "Frobnicate the widgets of an array in a stable manner.",
        "Where differs from twiddle, see for more about and .",
        "x : array_like Widgets to , one for each row.",
        "mode : {'a', 'b'} What to do.",
        "out : ndarray A place for results.",
        "The method of steepest descent is used.",
        "Some prose about how to call it:",
        "More prose, after the output.",
    ]


def test_short_paragraphs_are_joined_within_a_section_and_long_ones_cut():
    texts = passages(DOC, "frobnicate", min_words=10, max_words=11)
    assert texts[2] == "x : array_like Widgets to , one for each row."
    assert texts[3] == "mode : {'a', 'b'} What to do. out : ndarray A"
    assert texts[4] == "Some prose about how to call it: More prose, after the"
    assert len(texts) == 5  # Notes are too short
