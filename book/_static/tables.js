// Long tables fold, a click on a heading sorts, and what is shown can be taken away as CSV.
const MOST_ROWS = 12;

function csvOf(rows) {
  const cell = value => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  return rows.map(row => row.map(value => cell(String(value ?? ""))).join(",")).join("\r\n");
}

function take(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", text], {type: "text/csv"}));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function button(text, does) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", does);
  return made;
}

const textOf = cell => cell.textContent.trim();
const numberOf = cell => parseFloat(textOf(cell).replace("\u2212", "-").replaceAll(",", ""));

function sortBy(table, heading, column) {
  const body = table.tBodies[0], rows = [...body.rows];
  const down = heading.getAttribute("aria-sort") === "ascending";
  const isNumber = rows.some(row => !isNaN(numberOf(row.cells[column])));
  const value = row => isNumber ? numberOf(row.cells[column]) : textOf(row.cells[column]);
  const before = (a, b) => isNumber ? a - b : a.localeCompare(b);
  rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (isNumber && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y); // dashes stay last
    return down ? before(y, x) : before(x, y);
  });
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows);
}

function fold(table, folded) {
  [...table.tBodies[0].rows].forEach((row, i) => { row.hidden = folded && i >= MOST_ROWS; });
}

// Of a notebook's outputs, and as they are written in Markdown: of those, short ones stay plain.
const TABLES = ".cell_output table.dataframe, .pst-scrollable-table-container > table";

for (const [i, table] of document.querySelectorAll(TABLES).entries()) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  const rows = () => [...table.tBodies[0].rows];
  if (!heads.length || rows().some(row => row.cells.length !== heads.length)) continue;
  if (!table.matches(".dataframe") && rows().length <= MOST_ROWS) continue;
  const bar = document.createElement("p");
  bar.className = "table-bar";
  let folded = rows().length > MOST_ROWS;
  fold(table, folded);
  if (folded) {
    const all = `All ${rows().length} rows`;
    bar.append(button(all, event => {
      fold(table, folded = !folded);
      event.target.textContent = folded ? all : "Fewer rows";
    }));
  }
  if (rows().length > 1) {
    heads.forEach((heading, column) => {
      const name = textOf(heading);
      if (!name) return;
      const sorter = button("", () => { sortBy(table, heading, column); fold(table, folded); });
      sorter.append(...heading.childNodes);
      sorter.title = "sort";
      heading.append(sorter);
    });
  }
  const page = location.pathname.split("/").pop().replace(".html", "");
  bar.append(button("CSV", () => {
    const shown = [heads, ...rows().map(row => [...row.cells])];
    take(`${page}-table-${i + 1}.csv`, csvOf(shown.map(cells => cells.map(textOf))));
  }));
  (table.closest(".pst-scrollable-table-container") ?? table).after(bar);
}
