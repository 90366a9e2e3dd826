/* The API test console: Swagger UI over one of our own documents. A pasted key stays in this page's memory and is gone with it. */
"use strict";

const links = [...document.querySelectorAll("[data-base]")];
const keyForm = document.getElementById("key-form");
const keyInput = document.getElementById("key");
const keyState = document.getElementById("key-state");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

let ui = null;
let key = "";

function chosen() {
  const name = new URLSearchParams(location.search).get("base");
  return links.find((link) => link.dataset.base === name) || links[0];
}

function show(link) {
  for (const other of links) {
    if (other === link) other.setAttribute("aria-current", "page");
    else other.removeAttribute("aria-current");
  }
  ui = SwaggerUIBundle({
    url: link.dataset.document,
    dom_id: "#console",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    filter: true,
    showCommonExtensions: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: authorize,
  });
}

function authorize() {
  if (key) ui.preauthorizeApiKey("bearer", key);
}

for (const link of links) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    history.pushState(null, "", link.href);
    show(link);
  });
}
window.addEventListener("popstate", () => show(chosen()));

keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  key = keyInput.value.trim().replace(/^Bearer\s+/i, "");
  keyInput.value = "";
  keyState.textContent = key ? `Calls are made with …${key.slice(-4)}` : "Calls are made without a key";
  keyForm.classList.toggle("has-key", Boolean(key));
  if (key) authorize();
  else show(chosen()); // a fresh console has no key
});

function dress() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}
dark.addEventListener("change", dress);
dress();
show(chosen());
