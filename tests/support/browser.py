"""Chromium without a window, for tests of pages."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's root has no sandbox.
        sandbox = os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=sandbox)
        yield browser
        browser.close()
