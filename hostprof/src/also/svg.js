
const width = 1200, margin = 10, letter = 6.7;
const frames = [...document.querySelectorAll("g")].map(g => {
  const rect = g.querySelector("rect"), text = g.querySelector("text");
  const [x, y, w] = ["x", "y", "width"].map(name => +rect.getAttribute(name));
  return { g, rect, text, x, y, w, name: g.querySelector("title").textContent.replace(/ · [^·]*$/, "") };
});
function show(frame, x, w) {
  frame.rect.setAttribute("x", x);
  frame.rect.setAttribute("width", w);
  frame.text.setAttribute("x", x + 2);
  const fits = Math.max(0, Math.floor((w - 4) / letter));
  frame.text.textContent = frame.name.length <= fits ? frame.name : fits < 3 ? "" : frame.name.slice(0, fits - 1) + "…";
}
function widen(to) {
  const scale = (width - 2 * margin) / to.w, slack = 0.2;
  for (const frame of frames) {
    const around = frame.x <= to.x + slack && frame.x + frame.w >= to.x + to.w - slack && frame.y >= to.y;
    const within = frame.x >= to.x - slack && frame.x + frame.w <= to.x + to.w + slack && frame.y <= to.y;
    frame.g.style.display = around || within ? "" : "none";
    frame.g.classList.toggle("o", around && frame !== to);
    if (around) show(frame, margin, width - 2 * margin);
    else if (within) show(frame, margin + (frame.x - to.x) * scale, frame.w * scale);
  }
}
const detail = document.getElementById("detail");
for (const frame of frames) {
  frame.g.addEventListener("click", () => widen(frame));
  frame.g.addEventListener("mouseover", () => { detail.textContent = frame.g.querySelector("title").textContent; });
}
