// What a pointer, a finger or a keyboard can do in report.html. Without it everything still reads.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const button = (from, label) => {
    const made = document.createElement("button");
    made.type = "button";
    made.append(...from.childNodes);
    if (label) made.title = label;
    return made;
  };

  // Entries of legends show and hide a mode in all plots.
  const hidden = new Set();
  const toggle = (mode) => {
    if (!hidden.delete(mode)) hidden.add(mode);
    const off = hidden.has(mode);
    for (const group of all("g.mode")) if (group.dataset.mode === mode) group.classList.toggle("off", off);
    for (const key of all(".legend button")) if (key.dataset.mode === mode) key.setAttribute("aria-pressed", String(!off));
    all("svg.panel").forEach(rove);
  };
  for (const key of all(".legend [data-mode]")) {
    const made = button(key, "Show or hide in all plots");
    made.dataset.mode = key.dataset.mode;
    made.setAttribute("aria-pressed", "true");
    made.addEventListener("click", () => toggle(made.dataset.mode));
    key.replaceWith(made);
  }

  // A point says its figures when it is pointed at or has the focus.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  let leaving;
  let shown;
  const stay = () => clearTimeout(leaving);
  const hide = () => {
    stay();
    tip.hidden = true;
  };
  const leave = () => {
    stay();
    // Long enough to move the pointer from the point to its words.
    leaving = setTimeout(hide, 200);
  };
  const show = (point) => {
    stay();
    shown = point;
    tip.textContent = point.getAttribute("aria-label") + (point.hasAttribute("href") ? " (Enter or click: its rows)" : "");
    tip.hidden = false;
    place();
  };
  const place = () => {
    const at = shown.querySelector(".hit, path, circle").getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const left = Math.min(Math.max(4, at.left + at.width / 2 - size.width / 2), wide - size.width - 4);
    const above = at.top - size.height - 4;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 0 ? above : at.bottom + 4}px`;
  };
  tip.addEventListener("pointerenter", stay);
  tip.addEventListener("pointerleave", leave);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  // A point that takes the focus scrolls into view: its words go with it.
  addEventListener("scroll", () => tip.hidden || place(), { passive: true, capture: true });

  // One point of each panel is in the order of Tab; arrows lead to the others.
  const visible = (panel) => all(".pt", panel).filter((point) => !point.closest(".off"));
  const rove = (panel) => {
    const points = visible(panel);
    const current = points.find((point) => point.tabIndex === 0) || points[0];
    for (const point of all(".pt", panel)) point.setAttribute("tabindex", point === current ? "0" : "-1");
  };
  const centre = (point) => {
    const box = point.querySelector(".hit, path, circle").getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = (panel, from, [dx, dy]) => {
    const [x, y] = centre(from);
    let best;
    for (const point of visible(panel)) {
      const [px, py] = centre(point);
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      // A line's neighbour may lie far above or below it: across counts for less than along the same mode.
      const other = point.closest(".mode") === from.closest(".mode") || dy ? 0 : 1000;
      const cost = along + 2 * across + other;
      if (point !== from && along > 0.5 && (!best || cost < best.cost)) best = { point, cost };
    }
    return best && best.point;
  };
  for (const panel of all("svg.panel")) {
    for (const point of all(".pt", panel)) {
      const title = point.querySelector("title");
      point.setAttribute("aria-label", title.textContent);
      if (!point.hasAttribute("href")) point.setAttribute("role", "img");
      title.remove();
    }
    rove(panel);
    panel.addEventListener("pointerover", (event) => {
      const point = event.target.closest(".pt");
      if (point) show(point);
    });
    panel.addEventListener("pointerout", leave);
    panel.addEventListener("focusin", (event) => show(event.target.closest(".pt")));
    panel.addEventListener("focusout", hide);
    panel.addEventListener("keydown", (event) => {
      const from = event.target.closest(".pt");
      const to = from && arrows[event.key] && step(panel, from, arrows[event.key]);
      if (!to) return;
      event.preventDefault();
      from.setAttribute("tabindex", "-1");
      to.setAttribute("tabindex", "0");
      to.focus();
    });
  }

  // Headers sort: numbers by their value, words by the alphabet, what is missing last.
  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    if (text === "" || text === "—") return null;
    const number = Number(text.replaceAll(",", ""));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b);
  };
  for (const table of all("table.data")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const made = button(head, "Sort by this column");
      head.append(made);
      made.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [value(row, column), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return down ? compare(b, a) : compare(a, b);
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // Rows stand in sections that are closed; not every browser opens them for a link.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
