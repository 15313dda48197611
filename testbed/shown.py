"""What is asked of a page in a real browser, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., Any]
"""Asks a browser about the page that it shows; gives what a script says of it."""

# Texts of which the contrast is under WCAG 2.2 AA (1.4.3), with what they are on.
CONTRASTS = """(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, rank) => sum + v * [0.2126, 0.7152, 0.0722][rank], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let looked = 0;
  const bad = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.getClientRects().length || ["SCRIPT", "STYLE", "OPTION"].includes(one.tagName)) continue;
    const style = getComputedStyle(one);
    const front = light(rgb(one.namespaceURI.endsWith("svg") ? style.fill : style.color)), back = light(behind(one));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    looked += 1;
    if (ratio < 4.5) bad.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 20)}`);
  }
  return [looked, bad];
})()"""
# Controls and links without a name, ids that are twice there, headings that skip a level.
FAULTS = """(() => {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const named = (one) => one.getAttribute("aria-label") || one.title || one.textContent.trim() ||
    (one.labels && one.labels.length);
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((one) => Number(one.tagName[1]));
  return [
    ...ids.filter((id, rank) => ids.indexOf(id) !== rank),
    ...[...document.querySelectorAll("a, button, input, select")].filter((one) => !named(one))
      .map((one) => one.outerHTML),
    ...levels.filter((level, rank) => rank && level > levels[rank - 1] + 1).map((level) => `h${level}`),
  ];
})()"""
