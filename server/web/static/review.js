"use strict";
// Keys for the answers. They can be turned off, and do nothing while something is typed.

(() => {
  const answers = document.querySelector("[data-keys]");
  const isOn = document.getElementById("keys");
  if (!answers || !isOn) return;
  for (const hint of document.querySelectorAll(".script-only")) hint.hidden = false;
  isOn.checked = localStorage.getItem("review-keys") !== "off";
  isOn.addEventListener("change", () => localStorage.setItem("review-keys", isOn.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (!isOn.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const button = answers.querySelector(`button[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  });
  answers.addEventListener("submit", () => {
    for (const button of answers.querySelectorAll("button")) button.disabled = true;
  });
})();
