"""Linear algebra on one thread: on two, BLAS and OpenMP add up in another order, and the last digits differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it BLAS and OpenMP use one thread.

    The limit holds for libraries that are loaded, so those of scikit-learn and SciPy are loaded first.
    """
    from threadpoolctl import threadpool_limits

    import_module("sklearn.linear_model")
    with threadpool_limits(limits=1):
        yield
