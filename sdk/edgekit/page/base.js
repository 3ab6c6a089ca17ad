"use strict";
(() => {
  // Light and dark: the system decides until the button is pressed.
  const root = document.documentElement, theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  // Sort by a column; numbers by value, the rest as text, equal ones in the order of the page.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], rows = [...body.rows];
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
  }
})();
