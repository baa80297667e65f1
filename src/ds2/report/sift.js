"use strict";
// Filters and sorts the rows of tables of examples; without it they stand as they are.
for (const table of document.querySelectorAll("table.sift")) {
  const body = table.tBodies[0], rows = [...body.rows], region = table.closest(".scroll");
  const text = (row, place) => row.cells[place].textContent.trim();
  const number = (words) => Number.parseFloat(words.replace("\u2212", "-").replaceAll(",", ""));
  const tools = document.createElement("div");
  tools.className = "tools";
  const labelled = (words, control) => {
    const label = document.createElement("label");
    label.append(words, " ", control);
    tools.append(label);
    return control;
  };
  const which = labelled("Show", document.createElement("select"));
  for (const kind of ["all", ...new Set(rows.map((row) => text(row, 1)))]) which.add(new Option(kind, kind));
  const words = labelled("with the words", document.createElement("input"));
  words.type = "search";
  const count = document.createElement("output");
  tools.append(count);
  region.before(tools);
  const filter = () => {
    const wanted = words.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (which.value === "all" || text(row, 1) === which.value)
        && row.textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  which.addEventListener("change", filter);
  words.addEventListener("input", filter);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const values = new Map(rows.map((row) => [row, text(row, place)]));
      const numeric = rows.some((row) => !Number.isNaN(number(values.get(row))))
        && !head.classList.contains("words");
      const order = (one, other) => {
        const a = values.get(one), b = values.get(other);
        if (!numeric) return a.localeCompare(b);
        const x = number(a), y = number(b);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return x - y;
      };
      body.append(...rows.sort((one, other) => (up ? 1 : -1) * order(one, other)));
    });
  });
  filter();
}
