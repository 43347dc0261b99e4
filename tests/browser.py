"""A real browser for tests: Debian's chromium, driven by Playwright, that minds what a page must not do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed: `apt-get install chromium`")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser:
        yield browser


@contextmanager
def visit(browser: Browser, site: str, *, faults: tuple[str, ...] = (), **context: Any) -> Iterator[Page]:
    """A page of a fresh visitor from Britain.

    At the end, nothing may have been asked of anybody but `site`, and the console may hold no error but one that contains one of
    `faults`.
    """
    asked: list[str] = []
    said: list[str] = []
    with browser.new_context(base_url=site, **{"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | context) as visitor:
        page = visitor.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
    assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []
    assert [text for text in said if not any(fault in text for fault in faults)] == []


#: Every text on the page whose contrast with what is behind it is below 4.5 (3 for large text), by WCAG 2.2.
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const behind = element => { for (let at = element; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor); if (colour[3] === 255) return colour; } return [255, 255, 255, 255]; };
  const light = colour => colour.slice(0, 3).map(value => value / 255)
    .map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4)
    .reduce((sum, value, channel) => sum + value * [.2126, .7152, .0722][channel], 0);
  return [...document.querySelectorAll("body *")].filter(element => element.checkVisibility() && !element.closest("svg, .unseen, .skip")
    && [...element.childNodes].some(child => child.nodeType === 3 && child.data.trim())).flatMap(element => {
      const style = getComputedStyle(element), size = parseFloat(style.fontSize);
      const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
      const enough = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      return ratio >= enough ? [] : [`${element.tagName} "${element.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`];
    });
}"""

#: What a screen reader would stumble over.
UNCLEAR = """() => {
  const name = element => (element.getAttribute("aria-label") || [...(element.labels ?? [])].map(label => label.textContent).join(" ")
    || (element.getAttribute("aria-labelledby") ?? "").split(" ").map(id => document.getElementById(id)?.textContent ?? "").join(" ")
    || element.textContent).trim();
  const shown = [...document.querySelectorAll("*")].filter(element => element.checkVisibility());
  const short = element => element.outerHTML.slice(0, 80), faults = [];
  for (const element of shown) {
    if (element.matches("button, a[href], input, select, summary, section, nav, [role=img], [role=listbox], dialog") && !name(element))
      faults.push(`no name: ${short(element)}`);
    if (element.matches("img:not([alt])")) faults.push(`no alt: ${short(element)}`);
    for (const attribute of ["aria-labelledby", "aria-controls", "aria-describedby", "for"])
      for (const id of (element.getAttribute(attribute) ?? "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) faults.push(`${attribute} leads nowhere: ${short(element)}`);
    if (element.matches("[tabindex]") && element.tabIndex > 0) faults.push(`tabindex: ${short(element)}`);
    if (element.matches("ul, ol") && ![...element.children].every(child => child.tagName === "LI")) faults.push(`list: ${short(element)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  faults.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map(id => `twice: #${id}`));
  const headings = shown.filter(element => element.matches("h1, h2, h3, h4")).map(element => Number(element.tagName[1]));
  if (headings.filter(level => level === 1).length !== 1) faults.push(`h1: ${headings}`);
  headings.forEach((level, at) => { if (at && level > headings[at - 1] + 1) faults.push(`headings: ${headings}`); });
  if (document.querySelectorAll("main").length !== 1) faults.push("main");
  return faults;
}"""
