"""Checks the report in a headless Chromium in the sizes of a phone and a desktop.

`python tools/report_pictures.py PAGE FOLDER` writes a picture of each into the folder. It uses the
machine's browser: `chromium`, `google-chrome` or the like.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENS = {"report-phone": (390, 844), "report": (1100, 800)}
SMALLEST_TEXT = 10.5
"""In pixels; text in pictures shrinks with them."""

LOOK = """() => {
    const pictures = [...document.querySelectorAll('svg')];
    const shown = pictures.filter(s => s.getBoundingClientRect().width);
    const texts = shown.flatMap(s => [...s.querySelectorAll('text')]).filter(
        t => t.textContent.trim());
    const sizes = texts.map(t => {
        const m = t.getScreenCTM();
        return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(m.a, m.b);
    });
    return {
        wide: document.documentElement.scrollWidth - innerWidth,
        pictures: shown.length,
        bars: shown.reduce((n, s) => n + s.querySelectorAll('.mark-rect path').length, 0),
        text: Math.min(...sizes),
        scripts: document.scripts.length,
    };
}"""


def problems(seen: dict[str, Any], requested: list[str], logged: list[str]) -> list[str]:
    """Problems of the page on one screen."""
    checks = {
        f"the page is {seen['wide']} pixels wider than the screen": seen["wide"] <= 0,
        f"{seen['pictures']} pictures are shown instead of 2": seen["pictures"] == 2,  # noqa: PLR2004
        "the pictures show no bars": seen["bars"] > 0,
        f"text of {seen['text']:.1f} pixels": seen["text"] >= SMALLEST_TEXT,
        "the page has scripts": seen["scripts"] == 0,
        f"the page requested {requested}": not requested,
        f"the browser logged {logged}": not logged,
    }
    return [problem for problem, fine in checks.items() if not fine]


def look(page: Page, address: str, picture: Path) -> list[str]:
    """Open the page, save its picture, and return its problems."""
    requested: list[str] = []
    logged: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: logged.append(message.text))
    page.goto(address)
    page.screenshot(path=picture, full_page=True)
    return problems(page.evaluate(LOOK), [url for url in requested if url != address], logged)


def main() -> None:
    """Check each screen.

    Raises:
        SystemExit: there is no browser, or the page has problems.
    """
    html, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    browser_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser_path is None:
        sys.exit(f"No browser: install one of {', '.join(BROWSERS)}.")
    wrong = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, (width, height) in SCREENS.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            wrong += [f"{name}: {it}" for it in look(page, html.as_uri(), folder / f"{name}.png")]
        browser.close()
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"checked {html} on {len(SCREENS)} screens; pictures in {folder}")


if __name__ == "__main__":
    main()
