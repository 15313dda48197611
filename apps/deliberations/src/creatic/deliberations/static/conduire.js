/* The evening of a council: what is noted of one part changes that part alone, and what is typed elsewhere stays, when
   the network goes too. Without this, each form leads to the page anew. */
(function () {
  "use strict";

  var page, saying;

  function dirty(part) {
    return part.hasAttribute("data-saisie");
  }

  function say(text, wrong) {
    saying.textContent = text;
    saying.className = "creatic-dit alert " + (wrong ? "alert-danger" : "alert-success");
    saying.hidden = !text;
  }

  function messages(found) {
    var all = Array.from(found.querySelectorAll("#global_statusmessage .portalMessage, #global_statusmessage .alert"));
    return {
      text: all.map(function (one) {
        one.querySelectorAll("svg, strong").forEach(function (part) { part.remove(); }); // its icon, and « Info »
        return one.textContent.replace(/\s+/g, " ").trim();
      }).join(" "),
      wrong: all.some(function (one) { return /error|danger/.test(one.className); }),
    };
  }

  function seen(part) {
    var field = part.querySelector("[name=vu]");
    return field ? field.value : "";
  }

  /* What is unfolded stays so. */
  function unfold(before, after) {
    var open = Array.from(before.querySelectorAll("details[open] > summary")).map(function (one) { return one.textContent; });
    after.querySelectorAll("details > summary").forEach(function (one) {
      if (open.indexOf(one.textContent) >= 0) one.parentNode.open = true;
    });
  }

  function renew(found, mine) {
    var told = messages(found), there = found.getElementById("conduire");
    var title = document.querySelector("h1"), other = found.querySelector("h1");
    if (title && other) title.replaceWith(document.adoptNode(other)); // with the meeting's state
    if (!there || there.querySelectorAll("[data-part]").length !== page.querySelectorAll("[data-part]").length) {
      window.location.reload(); // the agenda is another
      return;
    }
    page.querySelectorAll("[data-part]").forEach(function (part) {
      var other = found.getElementById(part.id);
      var kept = part === mine ? told.wrong && seen(part) === seen(other) : dirty(part);
      if (kept || !other) return;
      unfold(part, other);
      part.replaceWith(document.adoptNode(other));
    });
    say(told.text, told.wrong);
    ready();
    var next = mine && document.getElementById(mine.id);
    if (next && !next.contains(document.activeElement)) {
      var target = next.querySelector("button:not([hidden]), a") || next;
      target.focus({ preventScroll: true });
    }
  }

  function ready() {
    page.querySelectorAll("[data-tous]").forEach(function (button) { button.hidden = false; });
  }

  function submit(event) {
    var form = event.target, part = form.closest("[data-part]"), button = event.submitter;
    if (!part || !button) return;
    event.preventDefault();
    if (page.hasAttribute("aria-busy")) return;
    page.setAttribute("aria-busy", "true");
    var sent = new FormData(form);
    sent.append(button.name, button.value);
    fetch(form.action, { method: "POST", body: sent, redirect: "manual", credentials: "same-origin" })
      .then(function (answer) {
        if (answer.type !== "opaqueredirect") throw new Error("" + answer.status);
        return fetch(page.getAttribute("data-page"), { credentials: "same-origin", cache: "no-store" });
      })
      .then(function (answer) {
        if (!answer.ok) throw new Error("" + answer.status);
        return answer.text();
      })
      .then(function (text) { renew(new DOMParser().parseFromString(text, "text/html"), part); })
      .catch(function (error) {
        var why = error instanceof TypeError ? "le réseau ne répond pas" : "le site a répondu « " + error.message + " »";
        say("Ce n'est peut-être pas noté : " + why + ". Ce que vous avez saisi est encore là. À faire : recommencez ; " +
            "ce qui était déjà noté vous sera montré.", true);
      })
      .then(function () { page.removeAttribute("aria-busy"); });
  }

  document.addEventListener("DOMContentLoaded", function () {
    page = document.getElementById("conduire");
    if (!page) return;
    saying = document.createElement("div");
    saying.className = "creatic-dit";
    saying.setAttribute("role", "status");
    saying.hidden = true;
    page.appendChild(saying);
    page.addEventListener("submit", submit);
    page.addEventListener("input", function (event) {
      var part = event.target.closest("[data-part]");
      if (part) part.setAttribute("data-saisie", "");
    });
    page.addEventListener("click", function (event) {
      var button = event.target.closest("[data-tous]");
      if (!button) return;
      button.form.querySelectorAll("input[type=checkbox][name^=" + button.getAttribute("data-tous") + "]").forEach(function (box) {
        box.checked = true;
      });
    });
    ready();
  });
})();
