"""Find a Chromium that works, or install one: `python -m tests.browser`. The tests start the same browser through `find`.

Order: `$THAW_BROWSER`, a Chromium or Chrome that is installed, Playwright's own. Where none works, Debian's package is
installed if this is root on Debian or Ubuntu; elsewhere, or where that fails, Playwright's. Never a skip: no browser, exit status 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from playwright.sync_api import Error, Playwright, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MACOS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
PACKAGES = ("chromium-headless-shell", "chromium")
"""Debian's, best first. The first draws no window around the page, which is a seventh of the work; Ubuntu does not have it."""

FONTS = ("fonts-liberation", "fonts-noto-core")


def arguments() -> list[str]:
    """Flags that make Chromium quiet: no calls home, no GPU, and no sandbox where it cannot work, as root."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return [*quiet, "--no-sandbox"] if os.geteuid() == 0 else quiet


def find(playwright: Playwright) -> str | None:
    """The path of the first browser that shows a page, or None. Looked for once in a process: a browser must be started for it."""
    if not _found:
        _found.extend(islice((path for path in candidates(playwright) if works(playwright, path)), 1))
    return _found[0] if _found else None


_found: list[str] = []


def candidates(playwright: Playwright) -> Iterator[str]:
    """Paths where a browser is or may be, best first."""
    if chosen := os.environ.get("THAW_BROWSER"):
        yield chosen
        return
    yield from (path for name in NAMES if (path := shutil.which(name)))
    yield from (path for path in (*MACOS, playwright.chromium.executable_path) if Path(path).exists())


def works(playwright: Playwright, path: str) -> bool:
    """True if the browser starts and runs a script. A name on PATH is not enough: Ubuntu's package is only a pointer to a snap."""
    try:
        with playwright.chromium.launch(executable_path=path, args=arguments(), timeout=30_000) as browser:
            return bool(browser.new_page().evaluate("1 + 1") == 2)
    except Error as error:
        print(f"{path} does not work: {error.message.splitlines()[0]}", file=sys.stderr)
        return False


def ways_to_install() -> Iterator[list[list[str]]]:
    """Commands that may install a browser, one list a way, best first."""
    as_root_with_apt = bool(shutil.which("apt-get")) and os.geteuid() == 0
    if as_root_with_apt:
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-y"]
        yield from ([[*apt, "update"], [*apt, "install", "--no-install-recommends", package, *FONTS]] for package in PACKAGES)
    # Playwright's own browser needs system libraries, which it can install through apt-get too.
    yield [[sys.executable, "-m", "playwright", "install", *(["--with-deps"] if as_root_with_apt else []), "chromium"]]


def call(command: list[str]) -> bool:
    """Run `command` with its output on stderr and nobody to answer a question. True if it succeeded."""
    print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment, check=False).returncode == 0


def main() -> int:
    """Print the path of a browser that works, installing one if there is none."""
    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None and "THAW_BROWSER" not in os.environ:
            print("No Chromium here yet; installing one for the browser tests.", file=sys.stderr, flush=True)
            for commands in ways_to_install():
                if all(call(command) for command in commands) and (path := find(playwright)):
                    break
    if path is None:
        print(
            "\nThe browser tests need a Chromium, and none could be found or installed; the lines above say why.\n"
            "Install one by hand (Debian: apt-get install chromium; elsewhere: Google Chrome), or name one:\n"
            "  THAW_BROWSER=/path/to/chrome make test",
            file=sys.stderr,
        )
        return 1
    print(f"browser: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
