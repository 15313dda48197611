/* Names for what the portal's own pages and widgets draw without any: icons, cards, groups of boxes, files. */
(function () {
  "use strict";

  var said = {
    text_button: "Rechercher",
    "bi-list": "Afficher en liste",
    "bi-grid": "Afficher en grille",
  };

  function words(node) {
    return node ? node.textContent.replace(/\s+/g, " ").trim() : "";
  }

  function nameless(node) {
    return !node.getAttribute("aria-label") && !node.getAttribute("aria-labelledby");
  }

  /* A text that the screen hides on a telephone is still the name of its button. */
  function hidden(button) {
    return button.getAttribute("aria-controls") ? "Afficher ou masquer le sommaire" : "";
  }

  function icons(root) {
    root.querySelectorAll("#edit-zone a.nav-link, #edit-zone a.dropdown-toggle, a.page-link").forEach(function (link) {
      var label = words(link.querySelector(".toolbar-label")) || words(link) || link.getAttribute("title");
      if (nameless(link) && label) link.setAttribute("aria-label", label);
    });
    root.querySelectorAll("img:not([alt])").forEach(function (picture) { picture.alt = ""; }); // beside its words
    root.querySelectorAll("button").forEach(function (button) {
      if (!nameless(button) || button.innerText.trim()) return;
      var icon = button.querySelector("i");
      var known = Object.keys(said).find(function (name) {
        return button.id === name || /_button$/.test(button.id) && name === "text_button" || (icon && icon.classList.contains(name));
      });
      var label = known ? said[known] : button.getAttribute("title") || words(button) || button.value || hidden(button);
      if (label) button.setAttribute("aria-label", label);
    });
    root.querySelectorAll("a.filled-link").forEach(function (link) {
      var card = link.closest(".card, article, li, .faceted-item") || link.parentElement;
      var label = words(card.querySelector("h2, h3, h4, h5, .card-title, .title")) || words(card).slice(0, 150);
      if (nameless(link) && label) link.setAttribute("aria-label", label);
    });
    root.querySelectorAll("a[href]").forEach(function (link) {
      if (!nameless(link) || words(link) || link.title || link.querySelector("img[alt]:not([alt=''])")) return;
      if (link.querySelector("i, svg")) {
        var last = decodeURIComponent(link.pathname.split("/").pop());
        link.setAttribute("aria-label", (/download/.test(link.href) ? "Télécharger " : "Ouvrir ") + last);
      }
    });
  }

  function fields(root) {
    root.querySelectorAll(".field").forEach(function (field, rank) {
      var label = field.querySelector("label.form-label");
      if (!label) return;
      if (!label.id) label.id = (field.id || "champ-" + rank) + "-nom";
      var own = label.htmlFor ? document.getElementById(label.htmlFor) : null;
      var boxes = field.querySelectorAll("input[type=checkbox], input[type=radio]");
      if (boxes.length > 1 && field.getAttribute("role") !== "group") {
        field.setAttribute("role", "group");
        field.setAttribute("aria-labelledby", label.id);
        label.removeAttribute("for");
      }
      field.querySelectorAll("input:not([type=hidden]):not([type=checkbox]):not([type=radio]), textarea, select").forEach(function (input) {
        if (nameless(input) && !(input.labels && input.labels.length)) input.setAttribute("aria-labelledby", label.id);
      });
      var wrong = field.querySelector(".invalid-feedback");
      if (wrong) {
        if (!wrong.id) wrong.id = (field.id || "champ-" + rank) + "-refus";
        var target = own && own.matches("input, select, textarea") ? own : boxes[0];
        if (target) {
          target.setAttribute("aria-invalid", "true");
          target.setAttribute("aria-describedby", wrong.id);
        }
      }
    });
    root.querySelectorAll("select").forEach(function (select) {
      if (nameless(select) && !(select.labels && select.labels.length)) select.setAttribute("aria-label", select.title || "Format du texte");
    });
    root.querySelectorAll("input[title]:not([type=hidden])").forEach(function (input) {
      if (nameless(input) && !(input.labels && input.labels.length)) input.setAttribute("aria-label", input.title);
    });
  }

  function editors(root) {
    // What is read aloud holds what is shown (WCAG 2.1, 2.5.3).
    root.querySelectorAll(".tox button[aria-label], a.btn[aria-label]").forEach(function (button) {
      var shown = words(button), label = button.getAttribute("aria-label");
      if (shown && label.toLowerCase().indexOf(shown.toLowerCase()) < 0) button.setAttribute("aria-label", shown + " : " + label);
    });
    root.querySelectorAll(".tox div[aria-label]:not([role]), div.offcanvas[aria-labelledby]:not([role])").forEach(function (part) {
      part.setAttribute("role", "group");
    });
  }

  function tables(root) {
    root.querySelectorAll("#content-core table").forEach(function (table) {
      if (!table.closest(".table-responsive, .creatic-large, .tox")) {
        var around = document.createElement("div");
        around.className = "creatic-large";
        table.parentNode.insertBefore(around, table);
        around.appendChild(table);
      }
    });
    root.querySelectorAll(".creatic-large, .table-responsive").forEach(function (around) {
      if (around.scrollWidth > around.clientWidth) around.setAttribute("tabindex", "0"); // reached by the keyboard
    });
  }

  function all() {
    icons(document);
    fields(document);
    editors(document);
    tables(document);
  }

  var waiting = null;
  function soon() {
    clearTimeout(waiting);
    waiting = setTimeout(all, 60);
  }

  document.addEventListener("DOMContentLoaded", function () {
    all();
    new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
  });
})();
