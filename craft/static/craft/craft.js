/* What pages do beyond HTML. Every page works without it; no page carries a script of its own. */
"use strict";

const root = document.documentElement;
const announcer = document.getElementById("announcer");

function announce(text) {
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = text; });
}

/* Light and dark */

for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  button.addEventListener("click", () => {
    const isDark = root.classList.toggle("is-dark");
    root.dataset.theme = isDark ? "dark" : "light";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it lasts for this page */ }
    announce(isDark ? "Dark colours" : "Light colours");
  });
}

/* A secret leaves the address bar, and a page that answered a form is not sent again by a reload. */

const settled = document.querySelector("[data-settle]");
if (settled) history.replaceState(null, "", settled.dataset.settle || location.pathname);

/* Countries by the names that the browser knows them by */

for (const select of document.querySelectorAll("select[data-regions]")) {
  const names = new Intl.DisplayNames(["en"], { type: "region" });
  const options = [...select.options].filter((option) => option.value);
  for (const option of options) option.textContent = names.of(option.value);
  options.sort((one, other) => one.textContent.localeCompare(other.textContent, "en"));
  select.append(...options);
}

/* Copy */

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.querySelector("span");
  const before = label.textContent;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      label.textContent = "Copied";
      button.dataset.done = "";
      announce("Copied");
      setTimeout(() => { label.textContent = before; delete button.dataset.done; }, 2000);
    } catch { // no clipboard on plain http: select it, so that Ctrl-C does
      getSelection().selectAllChildren(source);
      announce("Selected. Press Control C to copy.");
    }
  });
}

/* Passwords can be looked at */

for (const input of document.querySelectorAll("input[type=password]")) {
  const box = document.createElement("span");
  box.className = "with-reveal";
  input.replaceWith(box);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.textContent = "Show";
  button.setAttribute("aria-label", "Show the password");
  button.addEventListener("click", () => {
    const isShown = input.type === "password";
    input.type = isShown ? "text" : "password";
    button.textContent = isShown ? "Hide" : "Show";
    button.setAttribute("aria-label", isShown ? "Hide the password" : "Show the password");
    input.focus();
  });
  box.append(input, button);
}

/* The first field that needs attention, else the one to begin with */

const fields = [...document.querySelectorAll("[data-autofocus] :is(input, select, textarea):not([type=hidden], [type=radio])")];
const first = document.querySelector("[aria-invalid=true]") || fields.find((field) => !field.value) || fields[0];
if (first) first.focus();

/* One press sends once */

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  if (button.getAttribute("aria-busy") === "true") { event.preventDefault(); return; }
  button.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
});

/* Messages */

for (const toast of document.querySelectorAll(".toast")) {
  announce(toast.querySelector("p").textContent);
  toast.querySelector("button").addEventListener("click", () => toast.remove());
  if (!toast.classList.contains("error")) {
    let timer = setTimeout(() => toast.remove(), 7000);
    toast.addEventListener("pointerenter", () => clearTimeout(timer));
    toast.addEventListener("focusin", () => clearTimeout(timer));
    toast.addEventListener("pointerleave", () => { timer = setTimeout(() => toast.remove(), 3000); });
  }
}

/* Menus close as people expect */

for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
  });
}

/* On a phone the settings' navigation is a row: begin at where one is */

const current = document.querySelector(".side [aria-current]");
if (current) {
  const side = current.closest(".side");
  side.scrollLeft = current.offsetLeft - side.clientWidth / 2 + current.clientWidth / 2;
}

/* Ask before what can't be undone. The link leads to a page that asks the same, for those without scripts. */

const dialog = document.getElementById("confirm");
for (const link of document.querySelectorAll("a[data-confirm]")) {
  link.setAttribute("role", "button");
  link.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); link.click(); } });
  link.addEventListener("click", (event) => {
    event.preventDefault();
    dialog.querySelector("h2").textContent = link.dataset.confirm;
    dialog.querySelector("p").textContent = link.dataset.because || "";
    dialog.querySelector("form").action = link.href;
    dialog.querySelector(".danger").textContent = link.dataset.act || link.textContent.trim();
    dialog.showModal();
    dialog.querySelector("[data-close]").focus(); // what does no harm
  });
}
if (dialog) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

/* What is done in parts goes on by itself */

const unfinished = document.querySelector("form[data-go-on]");
if (unfinished) unfinished.requestSubmit(unfinished.querySelector("button"));
