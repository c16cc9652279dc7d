"use strict";
// A photo that is chosen, dropped or pasted is sent at once; a part of it can be drawn with the mouse.
// Without this the buttons and the field of pixels do the same.

const upload = document.getElementById("upload");
const field = document.getElementById("photo");

if (upload && field) {
  field.addEventListener("change", () => field.files.length && upload.requestSubmit());
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? event.clipboardData.files : [];
    if (files.length && files[0].type.startsWith("image/")) {
      field.files = files;
      upload.requestSubmit();
    }
  });
}

const picture = document.getElementById("photo-picture");
const drawn = document.getElementById("drawn");
const box = document.getElementById("box");
const LEAST_PX = 8;

if (picture && drawn && box) {
  let start = null;

  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const view = picture.viewBox.baseVal;
    return { x: Math.min(Math.max(point.x, 0), view.width), y: Math.min(Math.max(point.y, 0), view.height) };
  };
  const corners = (end) => [
    Math.min(start.x, end.x), Math.min(start.y, end.y), Math.max(start.x, end.x), Math.max(start.y, end.y),
  ].map(Math.round);
  const isDrag = ([x1, y1, x2, y2]) => x2 - x1 >= LEAST_PX && y2 - y1 >= LEAST_PX;

  picture.addEventListener("dragstart", (event) => event.preventDefault());
  picture.addEventListener("pointerdown", (event) => {
    start = at(event);
  });
  picture.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x1, y1, x2, y2] = corners(at(event));
    drawn.setAttribute("x", x1);
    drawn.setAttribute("y", y1);
    drawn.setAttribute("width", x2 - x1);
    drawn.setAttribute("height", y2 - y1);
  });
  picture.addEventListener("pointerup", (event) => {
    const chosen = start ? corners(at(event)) : [];
    start = null;
    if (isDrag(chosen)) {
      box.value = chosen.join(",");
      box.form.requestSubmit();
    }
  });
  picture.addEventListener("click", (event) => {
    if (drawn.width.baseVal.value >= LEAST_PX) event.preventDefault();
  });
}
