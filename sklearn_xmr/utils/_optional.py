"""Import of optional packages, with a hint how to get them."""

from importlib import import_module


def import_optional(module, extra):
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Dotted name.
    extra : str
        Extra of this package that installs it.

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
        raise ImportError(f'{package} is needed for this: pip install "sklearn-xmr[{extra}]".') from error
