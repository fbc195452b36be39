"""Tell callbacks and the log which step of a fit has begun and ended."""

import logging
import sys
import time
from contextlib import contextmanager

from sklearn_xmr.utils._sklearn_private import start_callbacks

logger = logging.getLogger("sklearn_xmr")


class FitProgress:
    """The steps of one fit, for scikit-learn's callbacks and for the log.

    Parameters
    ----------
    estimator : CallbackSupportMixin
        What is fitted.
    max_steps : int
        Largest number of direct steps.
    verbose : bool or int
        Whether the messages are of level INFO and visible without any configuration, or of level DEBUG.
    X, y : array-like
        Training data, for callbacks that ask for them.
    """

    def __init__(self, estimator, max_steps, *, verbose, X, y):
        self._estimator = estimator
        self._data = {"X": X, "y": y}
        self._log_level = logging.INFO if verbose else logging.DEBUG
        if verbose:
            _make_visible()
        self._context = start_callbacks(estimator, max_steps)
        self._context.call_on_fit_task_begin(estimator=estimator, **self._data)

    def finish(self):
        """Tell that the fit has ended."""
        # nothing is missing in the estimator: callbacks may predict with it
        self._context.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes={}
        )

    @contextmanager
    def step(self, name):
        """Announce a step of the fit.

        Parameters
        ----------
        name : str
            Name of the step.

        Yields
        ------
        note : callable
            Takes a format and its values, the facts to be logged with the name and the time.
        """
        facts = []
        start = time.perf_counter()
        with self._task(self._context, name):
            yield lambda text, *values: facts.append(text % values)
        self._log(name, facts, start)

    @contextmanager
    def levels(self, n_levels):
        """Announce the training of all levels, one task each.

        Parameters
        ----------
        n_levels : int
            Levels of the tree.

        Yields
        ------
        level_step : callable
            Takes the first and the last level that are trained at once; a context manager like `step`.
        """
        with self._task(self._context, "train rankers", max_subtasks=n_levels) as context:

            @contextmanager
            def level_step(first, last):
                facts = []
                start = time.perf_counter()
                names = [f"level {t}" for t in range(first, last + 1)]
                tasks = [self._begin(context, name) for name in names]
                yield lambda text, *values: facts.append(text % values)
                for task in tasks:
                    self._end(task)
                self._log(names[0] if first == last else f"levels {first}-{last}", facts, start)

            yield level_step

    @contextmanager
    def _task(self, parent, name, max_subtasks=0):
        task = self._begin(parent, name, max_subtasks)
        yield task
        self._end(task)

    def _begin(self, parent, name, max_subtasks=0):
        task = parent.subcontext(task_name=name, max_subtasks=max_subtasks)
        return task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def _end(self, task):
        # a callback may ask to stop, but a tree without its lower levels could not rank labels
        task.call_on_fit_task_end(estimator=self._estimator, **self._data)

    def _log(self, name, facts, start):
        facts = "".join(f"{fact}, " for fact in facts)
        logger.log(
            self._log_level,
            "[%s] %s: %s%.2f s",
            type(self._estimator).__name__,
            name,
            facts,
            time.perf_counter() - start,
        )


@contextmanager
def quiet_step(*names):
    """Announce nothing: takes the place of `FitProgress.step` and of what `FitProgress.levels` yields."""
    yield lambda text, *values: None


def progress_log(verbose):
    """Function that logs a line about a long fit, or does nothing.

    Parameters
    ----------
    verbose : bool or int
        As for `FitProgress`, but nothing is logged without it.

    Returns
    -------
    log : callable
        Takes a format string and its arguments.
    """
    if not verbose:
        return lambda message, *args: None
    _make_visible()
    return logger.info


def _make_visible():
    """Let INFO messages through, and to the standard error stream where nobody set up logging."""
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        logger.addHandler(_ErrorStream())


class _ErrorStream(logging.StreamHandler):
    """The standard error stream of the moment, until somebody sets up logging."""

    def __init__(self):
        logging.Handler.__init__(self)  # that of the stream would keep today's

    @property
    def stream(self):
        return sys.stderr

    def emit(self, record):
        if not logging.root.handlers:
            super().emit(record)
