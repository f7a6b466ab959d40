/* The theme of the Airflow around this page, tables that sort and filter, and forms that say that they are at work. */
"use strict";
(() => {
  const root = document.documentElement;
  const outer = (() => { try { return window.parent.document.documentElement; } catch { return null; } })();
  const follow = () => {
    const told = outer && ["dark", "light"].find((name) => outer.classList.contains(name) || outer.dataset.theme === name);
    if (told && outer !== root) root.dataset.theme = told;
    document.dispatchEvent(new Event("themechange"));
  };
  follow();
  if (outer && outer !== root) new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class", "data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);

  /* Airflow's frame may neither be left nor open a tab. A link in the document around it may, so it is clicked instead. */
  if (outer && outer !== root) document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[target]");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    const twin = outer.ownerDocument.createElement("a");
    twin.href = link.href; twin.target = link.target === "_blank" ? "_blank" : "_self"; twin.rel = link.rel;
    event.preventDefault();
    outer.ownerDocument.body.append(twin); twin.click(); twin.remove();
  });

  /* <table data-sort>: a click on the head of a column sorts by the cells' data-value, or by their text. */
  const sort = (table, column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => { const cell = row.cells[column]; return cell.dataset.value ?? cell.textContent.trim(); };
    const compare = (a, b) => { const [x, y] = [key(a), key(b)], [p, q] = [Number(x), Number(y)]; return x === "" ? 1 : y === "" ? -1 : (Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q) * (down ? -1 : 1); };
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };
  const makeSortable = (table) => [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (head.dataset.sort === "no" || !head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button"; button.append(...head.childNodes); head.append(button);
    button.addEventListener("click", () => sort(table, column, head));
  });

  /* <input data-filter="#table"> and <select data-filter="#table" data-by="state">: rows that do not match are hidden. */
  const narrow = (id) => {
    const controls = [...document.querySelectorAll(`[data-filter="${id}"]`)], table = document.querySelector(id);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !controls.every((control) => !control.value || (control.dataset.by ? row.dataset[control.dataset.by] === control.value : row.textContent.toLowerCase().includes(control.value.toLowerCase())));
      shown += row.hidden ? 0 : 1;
    }
    const told = document.querySelector(`[data-count="${id}"]`);
    if (told) told.textContent = `${shown} of ${table.tBodies[0].rows.length}`;
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("table[data-sort]").forEach(makeSortable);
    document.querySelectorAll("[data-filter]").forEach((control) => { control.hidden = false; control.addEventListener("input", () => narrow(control.dataset.filter)); });
    document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", () => {
      form.setAttribute("aria-busy", "true");
      const told = form.querySelector(".working");
      if (told) told.textContent = told.dataset.text || "Working …";
    }));
    addEventListener("pageshow", (event) => { if (event.persisted) document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy")); });
  });
})();
