// The page works without this script. With it charts answer, tables sort, and commands copy.
const state = { hidden: new Set(), clock: "wall", form: "relative", scale: "log" };
const views = [
  ["scale", "log", "linear"],
  ["clock", "wall", "cpu"],
  ["form", "relative", "absolute"],
];
const names = { wall: "wall time", cpu: "CPU time", absolute: "seconds" };
const panels = [...document.querySelectorAll(".panel")];
const specs = new Map(
  panels.map((panel) => [panel, panel.querySelector("script").textContent]),
);

function make(tag, properties, text = "") {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(text);
  return element;
}

function specOf(panel) {
  const linear = state.scale === "linear";
  const spec = JSON.parse(specs.get(panel), (key, value) => {
    if (linear && key === "values") return undefined; // ticks of a logarithmic axis
    return linear && key === "type" && value === "log" ? "linear" : value;
  });
  for (const parameter of spec.params ?? []) {
    if (parameter.name === "hidden") parameter.value = [...state.hidden];
    else if (parameter.name in state) parameter.value = state[parameter.name];
  }
  return spec;
}

const options = { ast: true, actions: false, renderer: "svg", logLevel: 1 };
const seen = new Set();
async function draw(panel) {
  const view = panel.querySelector(".view");
  const drawn = await vegaEmbed(view, specOf(panel), options);
  panel.finalize?.();
  panel.finalize = drawn.finalize;
  view.querySelector("svg").setAttribute("aria-hidden", "true"); // the view has a description
  panel.dataset.drawn = "yes";
}
const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && !seen.has(target)) {
        seen.add(target);
        draw(target);
      }
    }
  },
  { rootMargin: "200px" },
);
panels.forEach((panel) => observer.observe(panel));
function redraw() {
  seen.forEach(draw);
  document.body.dataset.state = JSON.stringify({ ...state, hidden: [...state.hidden] });
}

// What all charts show.
const controls = document.querySelector(".controls");
if (controls) {
  controls.hidden = false;
  const choices = controls.querySelector(".views");
  const texts = [...specs.values()].join();
  const used = { scale: '"type":"log"', clock: '"name":"clock"', form: '"name":"form"' };
  for (const [key, ...values] of views.filter(([key]) => texts.includes(used[key]))) {
    const button = make("button", { type: "button" }, "");
    const label = () => {
      const next = values.find((value) => value !== state[key]);
      button.textContent = `show ${names[next] ?? next}`;
    };
    button.dataset.view = key;
    button.addEventListener("click", () => {
      state[key] = values.find((value) => value !== state[key]);
      label();
      redraw();
    });
    label();
    choices.append(button);
  }
  const buttons = [...controls.querySelectorAll("[data-backend]")];
  const hide = (hidden) => {
    state.hidden = new Set(hidden);
    for (const button of buttons) {
      button.ariaPressed = String(!state.hidden.has(button.dataset.backend));
    }
    redraw();
  };
  for (const button of buttons) {
    const name = button.dataset.backend;
    button.title = "click: hide or show; with Shift: show only this one";
    button.addEventListener("click", (event) => {
      const others = buttons.map((other) => other.dataset.backend).filter((other) => other !== name);
      if (event.shiftKey) hide(others);
      else if (state.hidden.has(name)) hide([...state.hidden].filter((other) => other !== name));
      else hide([...state.hidden, name]);
    });
  }
  const all = make("button", { type: "button" }, "show all");
  all.addEventListener("click", () => hide([]));
  controls.querySelector(".backends").append(all);
}

// A table that sorts and filters.
for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    const button = make("button", { type: "button" }, title.textContent);
    title.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = title.ariaSort === "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.ariaSort = down ? "descending" : "ascending";
      const key = (row) => row.cells[column].dataset.key;
      const compared = (a, b) => {
        if ((key(a) === undefined) !== (key(b) === undefined)) return key(a) === undefined ? 1 : -1;
        const order = key(a) === undefined
          ? a.cells[column].textContent.localeCompare(b.cells[column].textContent)
          : key(a) - key(b);
        return down ? -order : order;
      };
      body.append(...rows.sort(compared));
    });
  });
  const count = make("span", { ariaLive: "polite" });
  const input = make("input", { type: "search", placeholder: "cnn jax", ariaLabel: "Show only rows with these words" });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
  });
  const filter = make("div", { className: "filter" });
  filter.append(make("span", {}, "Filter:"), input, count);
  table.parentElement.before(filter);
}

// Commands that can be copied.
for (const code of document.querySelectorAll("code.command")) {
  const button = make("button", { type: "button", className: "copy", ariaLabel: `copy: ${code.textContent}` }, "copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  });
  code.after(button);
}

// Charts as files.
function download(name, type, content) {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function cell(value) {
  if (value === undefined || value === null) return "";
  const text = String(value);
  const harmless = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
function rowsOf(panel) {
  const title = panel.querySelector("h3").textContent;
  const rows = Object.values(JSON.parse(specs.get(panel)).datasets).flat();
  return rows.map((row) => ({ panel: title, ...row }));
}
for (const figure of document.querySelectorAll("figure.chart")) {
  const caption = figure.querySelector("figcaption");
  const own = [...figure.querySelectorAll(".panel")];
  const asCsv = () => {
    const rows = own.flatMap(rowsOf);
    const columns = [...new Set(rows.flatMap(Object.keys))];
    const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
    return lines.map((line) => line.map(cell).join(",")).join("\n");
  };
  const asSvg = () => {
    let x = 0;
    const parts = own.map((panel) => {
      const svg = panel.querySelector("svg").cloneNode(true);
      svg.setAttribute("x", x);
      svg.setAttribute("y", 20);
      const title = make("b", {}, panel.querySelector("h3").textContent).innerHTML;
      const text = `<text x="${x}" y="14" font-family="sans-serif" font-weight="bold">${title}</text>`;
      x += Number(svg.getAttribute("width")) + 20;
      return text + new XMLSerializer().serializeToString(svg);
    });
    const height = 20 + Math.max(...own.map((panel) => Number(panel.querySelector("svg").getAttribute("height"))));
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${x}" height="${height}" color="#1c2430">${parts.join("")}</svg>`;
  };
  for (const [ending, type, content] of [["csv", "text/csv", asCsv], ["svg", "image/svg+xml", asSvg]]) {
    const button = make("button", { type: "button", ariaLabel: `download ${figure.dataset.name}.${ending}` }, ending.toUpperCase());
    button.addEventListener("click", () => download(`${figure.dataset.name}.${ending}`, type, content()));
    caption.append(button);
  }
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
document.body.dataset.ready = "yes";
