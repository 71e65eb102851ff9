"use strict";
// What a reader may do with the page: sort, filter, divide an amount, save tables.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function key(cell) {
    const text = cell.dataset.key ?? cell.textContent.trim();
    const number = Number(text.replace(/\s*%$/, ""));
    if (text === "" || text === "–" || text === "nan") return null;
    return Number.isNaN(number) ? text : number;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(table, column, ascending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
    const filled = rows.filter(([k]) => k !== null);
    filled.sort(([a], [b]) => (ascending ? compare(a, b) : compare(b, a)));
    const empty = rows.filter(([k]) => k === null); // last, whichever way
    body.append(...[...filled, ...empty].map(([, row]) => row));
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if ("unsorted" in head.dataset) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        // of amounts the largest are asked for first, of names and ranks the first
        const first = head.classList.contains("t") || column === 0;
        const ascending = now ? now === "descending" : first;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(table, column, ascending);
      });
    });
  }

  function makeFilter(tools) {
    const rows = all("tbody tr", document.getElementById(tools.dataset.for));
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const box = tools.querySelector("[data-filter]"), show = tools.querySelector("[data-show]");
    const count = tools.querySelector("output");
    const apply = () => {
      const word = box.value.trim().toLowerCase(), finding = show ? show.value : "";
      let shown = 0;
      for (const row of rows) {
        const fits = texts.get(row).includes(word) && (!finding || row.dataset.finding === finding);
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${rows.length} shown`;
    };
    box.addEventListener("input", apply);
    if (show) show.addEventListener("change", apply);
    apply();
  }

  // Whole cents by largest remainders, among equal ones by name, as `unshapley payout` divides.
  function divide(cents, rows) {
    const parts = rows.map(([name, share]) => ({ name, part: cents * share }));
    parts.forEach((p) => (p.whole = Math.floor(p.part)));
    let left = cents - parts.reduce((sum, p) => sum + p.whole, 0);
    const byRemainder = [...parts].sort((a, b) => a.whole - a.part - (b.whole - b.part) || (a.name < b.name ? -1 : 1));
    for (const p of byRemainder) if (left-- > 0) p.whole += 1;
    return parts.map((p) => p.whole / 100);
  }

  function makePayout(box) {
    const cells = all("[data-share]");
    const shares = cells.map((cell) => [cell.parentNode.cells[1].textContent, Number(cell.dataset.key)]);
    const percents = cells.map((cell) => cell.textContent);
    const wrong = box.closest(".tools").querySelector("[data-wrong]");
    const some = shares.some(([, share]) => share > 0);
    box.addEventListener("input", () => {
      const text = box.value.trim();
      const amount = /^(\d+|\d{1,3}([ ,']\d{3})+)(\.\d{1,2})?$/.test(text) ? Number(text.replace(/[ ,']/g, "")) : NaN;
      const valid = text === "" || (amount < 1e13 && some);
      box.setAttribute("aria-invalid", String(!valid));
      wrong.textContent = valid ? "" : some ? "an amount such as 10000 or 0.01" : "no value is positive";
      const paid = valid && amount ? divide(Math.round(amount * 100), shares) : null;
      cells.forEach((cell, i) => {
        cell.textContent = paid ? paid[i].toLocaleString("en", { minimumFractionDigits: 2 }) : percents[i];
      });
    });
  }

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name.split("/").pop();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // The page's colours are variables of its style; a saved picture has them as they are in print.
  const plain = (svg) => svg.replace(/var\(--(\w+)\)/g, (_, name) => page.colours[name]);

  function saveAsPng(name, svg, width, height) {
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * width, 2 * height];
      const context = canvas.getContext("2d");
      context.fillStyle = page.colours.paper;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(name, blob, "image/png"));
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  }

  async function draw(figure) {
    const name = figure.dataset.picture, spec = page.pictures[name];
    const options = { ast: true, actions: false, renderer: "svg", mode: "vega-lite", logLevel: 1 };
    const { view } = await vegaEmbed(figure.querySelector(".picture"), spec, options);
    const drawn = figure.querySelector("svg");
    drawn.setAttribute("aria-hidden", "true"); // what stands around it has a description
    for (const button of all("[data-kind]", figure)) {
      button.addEventListener("click", async () => {
        const svg = plain(await view.toSVG());
        if (button.dataset.kind === "svg") save(`${name}.svg`, svg, "image/svg+xml");
        else saveAsPng(`${name}.png`, svg, drawn.clientWidth, drawn.clientHeight);
      });
    }
  }

  all("table[data-sort]").forEach(makeSortable);
  all(".tools[data-for]").forEach(makeFilter);
  all("[data-amount]").forEach(makePayout);
  all("[data-table]").forEach((button) =>
    button.addEventListener("click", () => save(button.dataset.table, page.tables[button.dataset.table], "text/csv;charset=utf-8")),
  );
  all(".tools").forEach((tools) => (tools.hidden = false));
  performance.mark("usable");
  window.addEventListener("load", async () => {
    for (const figure of all("figure[data-picture]")) {
      // one that fails leaves the others, and its numbers in the tables
      await draw(figure).catch((error) => figure.querySelector(".picture").append(`not drawn: ${error}`));
    }
    document.documentElement.dataset.drawn = "";
  });
})();
