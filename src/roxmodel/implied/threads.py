"""Threads of the linear algebra library: one, where matrices are small or the work is already side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the linear algebra library to one thread.

    Its threads wait for each other in busy loops: on matrices of 30 rows, beside other work, a factorisation that
    takes a tenth of a millisecond alone takes sixteen.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
