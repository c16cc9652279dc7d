"use strict";
// Small comforts; every page works without them.

document.addEventListener("submit", (event) => {
  const question = event.target.dataset ? event.target.dataset.confirm : undefined;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}, true);

// What is shown of a failed request goes away with the next one that works.
document.addEventListener("htmx:afterRequest", (event) => {
  const problem = document.getElementById("problem");
  if (problem && event.detail.successful) problem.replaceChildren();
});

// Without an answer there is no page to show: say so instead of showing old figures as if they were new.
document.addEventListener("htmx:sendError", () => {
  const problem = document.getElementById("problem");
  if (!problem) return;
  const text = document.createElement("p");
  text.className = "problem";
  text.textContent = "The server does not answer; what is shown may be old.";
  problem.replaceChildren(text);
});
