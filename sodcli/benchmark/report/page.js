
"use strict";
(() => {
  const STEP = 100;
  const { columns, rows } = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("images");
  const filter = document.getElementById("filter");
  const more = document.getElementById("more");
  const numbers = new Intl.Collator("en", { numeric: true });
  let sorted = { column: -1, down: false };
  let limit = STEP;

  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  columns.forEach((name, at) => {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      sorted = { column: at, down: sorted.column === at && !sorted.down };
      limit = STEP;
      show();
    });
    cell.append(button);
    head.append(cell);
  });

  function compare(left, right) {
    const [a, b] = [left[sorted.column], right[sorted.column]];
    if (a === null || b === null) return (a === null) - (b === null); // no score: always last
    const order = typeof a === "number" ? a - b : numbers.compare(a, b);
    return sorted.down ? -order : order;
  }

  function show() {
    const part = filter.value.toLowerCase();
    const found = rows.filter((row) => row.slice(0, 3).some((word) => word.toLowerCase().includes(part)));
    if (sorted.column >= 0) found.sort(compare);
    body.replaceChildren(...found.slice(0, limit).map(line));
    [...head.cells].forEach((cell, at) => {
      if (at === sorted.column) cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    document.getElementById("shown").textContent =
      `${Math.min(limit, found.length)} of ${found.length} lines; click a heading to sort`;
    more.hidden = found.length <= limit;
  }

  function line(row) {
    const tr = document.createElement("tr");
    row.forEach((value, at) => {
      const td = tr.insertCell();
      if (at < 3) td.className = "word";
      td.textContent = value === null ? "-" : typeof value === "number" ? value.toFixed(4) : value;
    });
    return tr;
  }

  filter.addEventListener("input", () => { limit = STEP; show(); });
  more.addEventListener("click", () => { limit += 10 * STEP; show(); });
  show();
})();
