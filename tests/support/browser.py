"""Chromium without a window, for tests of pages, and for the README's picture of one.

`python -m tests.support.browser PAGE PICTURE` makes a PNG of the first 800 rows of an HTML file.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
_SIZE = {"width": 1280, "height": 800}  # pixels


@contextmanager
def _started():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's root has no sandbox.
        sandbox = os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium():
    with _started() as browser:
        yield browser


def main(page: str, picture: str) -> None:
    with _started() as browser:
        view = browser.new_page(viewport=_SIZE)
        view.goto(Path(page).resolve().as_uri())
        view.screenshot(path=picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
