/* Before the first paint: the chosen look, so that no page flashes in the other one. */
"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* storage may be forbidden */ }
  const show = () => root.classList.toggle("is-dark", (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  root.classList.add("scripted");
  dark.addEventListener("change", show);
  show();
})();
