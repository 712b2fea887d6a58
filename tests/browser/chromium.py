"""A headless Chromium, driven by Playwright. Debian's is used, and installed where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

# A busy machine takes its time.
PATIENCE = 60_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser_page(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Yield a page in a browser with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            yield page
        finally:
            browser.close()


def _chromium() -> str:
    found = shutil.which("chromium")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", "update"], env=quiet, check=True)
        install = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium", "fonts-liberation"]
        subprocess.run(install, env=quiet, stdout=subprocess.DEVNULL, check=True)
        found = shutil.which("chromium")
    if found is None:
        raise FileNotFoundError("no chromium; install it, or set WITHOUT_BROWSER=1 to do without")
    return found
