// Filters and sorting of the table of claims; the state lives in the URL's hash, so that links can preset it.
"use strict";
(() => {
  const form = document.getElementById("filters");
  const table = document.getElementById("claims");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const fields = [...form.elements].filter((field) => field.name);
  const texts = rows.map((row) => `${row.textContent} ${row.dataset.text}`.toLowerCase());
  const byName = new Intl.Collator("en", { numeric: true });
  let order = { key: "", down: false };

  const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

  const compare = (column) => (a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (x === "" || y === "") return (x === "") - (y === ""); // what was not measured goes last, either way
    const numeric = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
    return (order.down ? -1 : 1) * (numeric ? x - y : byName.compare(x, y));
  };

  function show() {
    const wanted = fields.filter((field) => field.value !== "");
    let visible = 0;
    rows.forEach((row, index) => {
      const matches = wanted.every((field) => field.name === "text"
        ? field.value.toLowerCase().split(/\s+/).every((word) => texts[index].includes(word))
        : row.dataset[field.name] === field.value);
      row.hidden = !matches;
      visible += matches;
    });
    const column = heads.findIndex((head) => head.dataset.key === order.key);
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== column ? "none" : order.down ? "descending" : "ascending"));
    body.append(...(column < 0 ? rows : [...rows].sort(compare(column))));
    document.querySelector("#count").innerHTML = `<b>${visible}</b> of ${rows.length} claims shown`;
    document.getElementById("nothing").hidden = visible > 0;
  }

  function remember() {
    const state = new URLSearchParams(fields.filter((field) => field.value !== "").map((field) => [field.name, field.value]));
    if (order.key) state.set("sort", (order.down ? "-" : "") + order.key);
    history.replaceState(null, "", `#${state}`);
    show();
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    fields.forEach((field) => { field.value = state.get(field.name) ?? ""; });
    fields.forEach((field) => { if (field.selectedIndex === -1) field.value = ""; }); // unknown values filter nothing
    const sort = state.get("sort") ?? "";
    order = { key: sort.replace(/^-/, ""), down: sort.startsWith("-") };
    show();
  }

  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      order = { key: head.dataset.key, down: order.key === head.dataset.key && !order.down };
      remember();
    });
    head.append(button);
  });
  for (const event of ["input", "change"]) form.addEventListener(event, remember);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    fields.forEach((field) => { field.value = ""; });
    order = { key: "", down: false };
    remember();
  });
  window.addEventListener("hashchange", restore);
  form.hidden = false;
  restore();
})();
