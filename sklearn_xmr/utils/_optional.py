"""Optional packages: their import, with a hint how to get them, and what is of them."""

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


def came_with_code(thing):
    """Whether a model or tokenizer of transformers is of code beside its weights, and of no package.

    transformers imports such code as modules of ``transformers_modules``, which other processes lack.
    """
    return type(thing).__module__.split(".")[0] == "transformers_modules"
