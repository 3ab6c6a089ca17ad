"use strict";
(() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const table = $("ops"), body = table.tBodies[0], tip = $("tip");
  const rows = [...body.rows], labels = [...document.querySelectorAll(".labels li")];
  const rowOf = (label) => $("op" + label.dataset.op);
  const labelOf = new Map(labels.map((label) => [rowOf(label), label]));

  // Light and dark: the system decides until the button is pressed.
  $("theme").hidden = false;
  $("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

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

  // Sort by a column; numbers by value, the rest as text, equal ones in the order of the model.
  const place = new Map(rows.map((row, index) => [row, index]));
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    const isNumber = head.classList.contains("n");
    const key = (row) => {
      const cell = row.cells[column];
      return isNumber ? Number(cell.dataset.v ?? cell.textContent) : cell.textContent;
    };
    button.addEventListener("click", () => {
      const first = isNumber && column ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compare = (a, b) => (isNumber ? key(a) - key(b) : key(a).localeCompare(key(b)));
      body.append(...[...rows].sort((a, b) => sign * compare(a, b) || place.get(a) - place.get(b)));
    });
  });

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
