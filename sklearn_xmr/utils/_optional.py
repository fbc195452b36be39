"""Import of optional packages, with a hint how to get them."""

from importlib import import_module


def import_optional(module):
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Dotted name.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the package is missing; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f"{package} is needed for this: python -m pip install {package}") from error
