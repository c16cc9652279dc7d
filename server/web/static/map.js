"use strict";
// Places cameras by mouse or finger: writes into the number fields, which are what is saved. Without it they are typed.

(() => {
  const map = document.querySelector("svg[data-map]");
  const form = map && map.parentElement.querySelector("form");
  if (!form || !form.querySelector("button[type=submit]")) return;
  const { width, height } = map.viewBox.baseVal;
  for (const hint of document.querySelectorAll(".script-only")) hint.hidden = false;

  const row = (index) => form.querySelector(`tr[data-place="${index}"]`);
  const field = (index, axis) => row(index).querySelector(`input[name="${axis}"]`);
  const marker = (index) => map.querySelector(`[data-marker="${index}"]`);
  const within = (share) => Math.min(100, Math.max(0, share));

  const show = (index) => {
    const [x, y] = ["x", "y"].map((axis) => field(index, axis).valueAsNumber);
    const isPlaced = Number.isFinite(x) && Number.isFinite(y);
    marker(index).setAttribute("visibility", isPlaced ? "visible" : "hidden");
    if (isPlaced) marker(index).setAttribute("transform", `translate(${(x * width) / 100} ${(y * height) / 100})`);
  };

  const put = (index, event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    field(index, "x").value = within((100 * point.x) / width).toFixed(1);
    field(index, "y").value = within((100 * point.y) / height).toFixed(1);
    show(index);
  };

  let dragged = null;
  map.addEventListener("pointerdown", (event) => {
    const hit = event.target.closest("[data-marker]");
    const chosen = form.querySelector("input[name=chosen]:checked");
    if (!hit && !chosen) return;
    event.preventDefault();
    dragged = hit ? hit.dataset.marker : chosen.value;
    map.setPointerCapture(event.pointerId);
    if (!hit) put(dragged, event);
  });
  map.addEventListener("pointermove", (event) => { if (dragged !== null) put(dragged, event); });
  for (const end of ["pointerup", "pointercancel"]) map.addEventListener(end, () => { dragged = null; });
  form.addEventListener("input", (event) => {
    const place = event.target.closest("tr[data-place]");
    if (place) show(place.dataset.place);
  });
})();
