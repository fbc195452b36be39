"""Lines about what a long fit is doing."""

import logging

LOGGER = logging.getLogger("sklearn_xmr")


def progress_log(verbose):
    """Function that logs a progress line, or does nothing.

    Parameters
    ----------
    verbose : bool or int
        Lines go to the logger ``sklearn_xmr``. Where the application has not set up logging, they are
        written to the standard error stream.

    Returns
    -------
    log : callable
        Takes a format string and its arguments.
    """
    if not verbose:
        return lambda message, *args: None
    if not LOGGER.hasHandlers():
        LOGGER.addHandler(logging.StreamHandler())
        LOGGER.setLevel(logging.INFO)
    return LOGGER.info
