// Searches communes by name. The page is whole without it: filters are CSS.
"use strict";
(() => {
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
  const field = document.getElementById("cherche");
  const told = document.getElementById("compte");
  const form = document.getElementById("filtres");
  const items = [...document.querySelectorAll(".f")].map((item) => ({
    item,
    row: item.tagName === "TR",
    key: " " + plain((item.querySelector("a").title || item.querySelector("a").textContent).split(" — ")[0]),
  }));
  const show = () => {
    const words = plain(field.value).split(" ").filter(Boolean);
    for (const one of items) one.item.hidden = !words.every((word) => one.key.includes(" " + word));
    const seen = items.filter((one) => one.row && one.item.getClientRects().length).length;
    told.textContent = seen + (seen > 1 ? " communes" : " commune");
  };
  field.closest("p").hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
