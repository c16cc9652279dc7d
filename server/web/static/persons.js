"use strict";
// Says how many tracklets are ticked; the form works without it.
const form = document.getElementById("split");
const count = document.getElementById("num-ticked");
if (form && count) {
  form.addEventListener("change", () => {
    const number = form.querySelectorAll("input[name=tracklet]:checked").length;
    count.textContent = number ? `${number} ticked` : "";
  });
}
