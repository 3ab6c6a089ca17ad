"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const table = $("ops"), tip = $("tip");
  const rows = [...table.tBodies[0].rows], labels = [...document.querySelectorAll(".labels li")];
  const rowOf = (label) => $("op" + label.dataset.op);
  const labelOf = new Map(labels.map((label) => [rowOf(label), label]));

  // Filter by placement and by words.
  const chips = [...document.querySelectorAll("#legend .chip")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  function filter() {
    const kinds = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.kind));
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !kinds.has(row.dataset.kind) || !words.every((word) => texts.get(row).includes(word));
      shown += row.hidden ? 0 : 1;
    }
    $("shown").textContent = shown === rows.length ? "" : shown + " of " + rows.length;
  }
  $("filters").hidden = false;
  $("search").addEventListener("input", filter);
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }

  // The graph and the table show the same operator.
  function light(row, on) {
    row.classList.toggle("on", on);
    labelOf.get(row)?.classList.toggle("on", on);
  }
  function reveal(element) {
    element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
  for (const row of rows) {
    row.addEventListener("mouseenter", () => light(row, true));
    row.addEventListener("mouseleave", () => light(row, false));
    row.addEventListener("click", () => reveal(labelOf.get(row)));
  }

  // Reason and fix beside the pointer, copied as nodes from the table: never as text that is parsed again.
  function line(className, ...nodes) {
    const p = document.createElement("p");
    p.className = className;
    p.append(...nodes);
    return p;
  }
  function showTip(label, x, y) {
    const row = rowOf(label);
    const name = row.cells[1].querySelector(".layer").title;
    const place = row.cells[2].textContent;
    const head = "#" + label.dataset.op + " " + row.cells[1].querySelector("b").textContent + " \u2192 " + place;
    tip.replaceChildren(line("head", head), line("name", name), ...[...row.cells[5].children].map((p) => p.cloneNode(true)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 18, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(8, Math.min(y + 14, innerHeight - box.height - 8)) + "px";
  }
  for (const label of labels) {
    const row = rowOf(label);
    const hide = () => { tip.hidden = true; light(row, false); };
    label.addEventListener("mousemove", (event) => { showTip(label, event.clientX, event.clientY); light(row, true); });
    label.addEventListener("focus", () => {
      const box = label.getBoundingClientRect();
      showTip(label, box.left + 80, box.bottom - 14);
      light(row, true);
    });
    label.addEventListener("mouseleave", hide);
    label.addEventListener("blur", hide);
    const go = () => { row.hidden = false; reveal(row); };
    label.addEventListener("click", go);
    label.addEventListener("keydown", (event) => {
      if (event.key === "Enter") go();
      if (event.key === "Escape") hide();
    });
  }
})();
