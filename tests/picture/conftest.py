"""Fixtures that several of the picture's tests ask for."""

from collections.abc import Iterator

import cv2
import pytest


@pytest.fixture
def one_thread_of_opencv() -> Iterator[None]:
    """OpenCV on one thread: small pictures gain nothing by more."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)
