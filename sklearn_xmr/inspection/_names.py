"""What features and labels are called in readable output."""

import operator
from collections.abc import Iterable, Mapping, Set

import numpy as np


def check_names(names, n_names, argument):
    """Names as an object array of length `n_names`; None stays None.

    Raises
    ------
    ValueError
        If there is another number of names, or they are not one-dimensional.
    """
    if names is None:
        return None
    is_list = isinstance(names, Iterable) and not isinstance(names, (str, bytes, Mapping, Set))
    if not is_list or getattr(names, "ndim", 1) != 1:
        raise ValueError(
            f"{argument} must be a one-dimensional sequence of names, got {type(names).__name__}"
            f"{f' of shape {names.shape}' if hasattr(names, 'shape') else ''}."
        )
    names = list(names)
    if any(isinstance(name, (list, tuple, np.ndarray)) for name in names):
        raise ValueError(f"{argument} must be a one-dimensional sequence of names, got nested ones.")
    array = np.empty(len(names), dtype=object)
    array[:] = [str(name) for name in names]
    if array.size != n_names:
        raise ValueError(f"{argument} must hold {n_names} names, got {array.size}.")
    return array


def feature_names_of(classifier, feature_names):
    """The names given, or those that the classifier saw in fit, or None."""
    if feature_names is None:
        feature_names = getattr(classifier, "feature_names_in_", None)
    return check_names(feature_names, classifier.n_features_in_, "feature_names")


def label_names_of(classes, label_names):
    """The names given, or the classes where they are more than column numbers, or None."""
    are_numbers = classes.dtype != bool and np.array_equal(classes, np.arange(classes.size))
    if label_names is None and not are_numbers:
        label_names = classes
    return check_names(label_names, classes.size, "label_names")


def name_of(number, names, kind):
    """Name of a feature or label: the given one, or kind and number."""
    return f"{kind} {number}" if names is None else names[number]


def check_index(value, n_values, argument):
    """Return `value` as an int in [0, n_values).

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is out of range.
    """
    try:
        value = operator.index(value)
    except TypeError as error:
        hint = ", an index into classes_" if argument == "label" else ""
        raise TypeError(f"{argument} must be an integer{hint}, got {value!r}.") from error
    if not 0 <= value < n_values:
        raise ValueError(f"{argument} must be in [0, {n_values}), got {value}.")
    return value


def check_classifier(classifier, what="classifier"):
    """Refuse what is not a fitted classifier of this library, with a hint for pipelines.

    Raises
    ------
    TypeError
        If it has no label tree with weights.
    """
    if not hasattr(classifier, "chunked_weights_"):
        hint = ""
        if hasattr(classifier, "steps"):
            hint = " Of a Pipeline, pass its last step, pipe[-1], and pipe[:-1].transform(X)."
        raise TypeError(
            f"{what} must be a fitted XRLinearClassifier, got {type(classifier).__name__}.{hint}"
        )
