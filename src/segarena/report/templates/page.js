"use strict";
// What the page does: filters that reach every table and figure, charts when they come into view,
// and the case viewer. Texts are only ever set as text. `segarena` is what data scripts call.
const segarena = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return value.toFixed(size >= 100 ? 0 : size >= 5 ? 1 : 3);
  };
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const percent = (share) => {
    if (share === null) return "–";
    if (share > 0 && share < 0.01) return "< 1 %";
    if (share > 0.99 && share < 1) return "> 99 %";
    return `${Math.round(share * 100)} %`;
  };
  const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  // A name that may be broken after an underscore.
  const breakable = (text) => text.split(/(?<=_)/).flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
  const number = (text) => make("td", text, "number");
  const headCell = (text, className) => {
    const cell = make("th", text, className);
    cell.scope = "col";
    return cell;
  };

  // ---- what the filters say

  const choice = () => ({
    metric: at("metric").value, scheme: at("scheme").value, subgroup: at("subgroup").value,
    sought: at("search").value.trim().toLocaleLowerCase(),
  });
  const isSought = (team, sought) => team.name.toLocaleLowerCase().includes(sought);
  const metricOf = (name) => data.metrics.find((one) => one.name === name);

  // The places of the cases of a group of the sheet; of all cases where the group is another kind.
  function membersOf(subgroup) {
    const every = data.cases.map((_, i) => i);
    const [column, ...rest] = subgroup.split(": ");
    const group = data.groups[column];
    const value = group && group.values.indexOf(rest.join(": "));
    return group && value >= 0 ? every.filter((i) => group.of[i] === value) : every;
  }

  const failures = { rows: [], messages: [] };
  const failedOf = (team, members) => failures.rows.filter((row) => row[0] === team && members.has(row[1])).length;

  // ---- leaderboard

  const order = { key: "rank", down: false };

  function row(i, { metric, scheme, subgroup }, members) {
    const [score, rank, low, high, share, group] = data.table[`${subgroup}|${metric}|${scheme}`][i];
    const means = data.metrics.map((one) => data.table[`${subgroup}|${one.name}|mean_then_rank`][i][0]);
    let [asked, usable] = [0, 0];
    for (const j of members) {
      asked += data.asked[i][2 * j];
      usable += data.asked[i][2 * j + 1];
    }
    return {
      ...data.teams[i], score, rank, low, high, share, group, means,
      usable: asked ? usable / asked : null, failed: failedOf(i, members),
    };
  }

  function compare(a, b) {
    const value = (one) => (/^\d+$/.test(order.key) ? one.means[order.key] : one[order.key]);
    const [x, y] = [value(a), value(b)];
    const missing = (x === null) - (y === null);
    if (missing) return missing;
    const found = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (order.down ? -found : found) || a.rank - b.rank || a.name.localeCompare(b.name);
  }

  function drawRow(one, scoreDigits) {
    const line = make("tr");
    const interval = make("td", undefined, "interval");
    const bar = make("span", undefined, "bar");
    bar.setAttribute("aria-hidden", "true");
    const places = { "--from": one.low, "--to": one.high, "--at": one.rank, "--of": data.teams.length };
    for (const [name, value] of Object.entries(places)) bar.style.setProperty(name, value);
    interval.append(bar, `${one.low}–${one.high}`);
    const name = make("th", one.name);
    name.scope = "row";
    line.append(number(one.rank), name, number(one.group), interval);
    line.append(number(percent(one.share)), number(fixed(one.score, scoreDigits)));
    one.means.forEach((mean, i) => line.append(number(fixed(mean, data.metrics[i].digits))));
    line.append(number(percent(one.usable)), make("td", one.failed, one.failed ? "number bad" : "number"));
    const cases = make("td", undefined, "interval");
    ["best", "median", "worst"].forEach((word, which) => {
      const found = data.extremes[one.id];
      if (!found) return;
      const link = make("a", word);
      link.href = `#case/${one.id}/${found[which]}/${data.interactions}`;
      link.setAttribute("aria-label", `${word} case of ${one.name}`);
      cases.append(link, " ");
    });
    line.append(cases);
    return line;
  }

  function drawBoard(chosen) {
    const { metric, scheme, subgroup, sought } = chosen;
    const members = new Set(membersOf(subgroup));
    const rows = data.teams.map((_, i) => row(i, chosen, members)).filter((one) => one.rank !== null);
    rows.sort(compare);
    const kept = rows.filter((one) => isSought(one, sought));
    const tested = scheme.startsWith("test"), ranked = scheme.startsWith("rank");
    const about = metricOf(metric);
    const digits = about && !tested && !ranked ? about.digits : 2;
    at("board").tBodies[0].replaceChildren(...kept.map((one) => drawRow(one, digits)));
    at("certain").textContent = data.certain[`${subgroup}|${metric}|${scheme}`];
    at("score-head").textContent = !about ? "Mean rank"
      : tested ? "Share beaten"
      : ranked ? `${scheme.endsWith("mean") ? "Mean" : "Median"} rank`
      : `${scheme.startsWith("mean") ? "Mean" : "Median"} ${about.text}`;
    for (const head of at("board").tHead.rows[0].cells) {
      const button = head.querySelector("button");
      if (button && button.dataset.key === order.key) {
        head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    }
  }

  for (const button of at("board").tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const key = button.dataset.key;
      const metric = data.metrics[key];
      const first = ["share", "failed"].includes(key) || Boolean(metric && metric.larger);
      order.down = order.key === key ? !order.down : first;
      order.key = key;
      drawBoard(choice());
    });
  }

  // ---- tables of coloured cells

  // Dark is bad, so that what fails is seen first.
  function paint(cell, share) {
    const bad = 1 - Math.max(0, Math.min(1, share));
    const mix = (from, to) => Math.round(from + (to - from) * bad);
    const colour = [mix(240, 8), mix(246, 48), mix(251, 107)];
    cell.style.background = `rgb(${colour.join(" ")})`;
    // Black or white, whichever has more contrast (WCAG's relative luminance).
    const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    cell.style.color = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
  }

  // How good a value is, from 0 to 1: in the metric's range, or in that of the values shown.
  function goodness(metric, values) {
    const known = values.filter((value) => value !== null && value !== undefined);
    const low = metric.low ?? Math.min(...known, 0), high = metric.high ?? known.reduce((a, b) => Math.max(a, b), low);
    const share = (value) => (high > low ? (value - low) / (high - low) : 1);
    return { low, high, of: (value) => (metric.larger ? share(value) : 1 - share(value)) };
  }

  // ---- every case

  const heat = { page: 0, size: 20 };

  function chosenMeasure(metric) {
    const about = metricOf(metric);
    const found = about ? data.measures.findIndex((one) => one.name === about.base) : 0;
    return Math.max(0, found);
  }

  function drawHeat(chosen) {
    if (!at("heat")) return;
    const which = chosenMeasure(chosen.metric), metric = data.measures[which];
    const values = data.values[which];
    const teams = data.teams.map((team, i) => i).filter((i) => isSought(data.teams[i], chosen.sought));
    const every = membersOf(chosen.subgroup);
    const mean = (j) => {
      const known = teams.map((i) => values[i][j]).filter((value) => value !== null);
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : Infinity;
    };
    const spread = (j) => {
      const known = teams.map((i) => values[i][j]).filter((value) => value !== null);
      return known.length ? Math.max(...known) - Math.min(...known) : 0;
    };
    const by = at("heat-order").value;
    const keys = new Map(every.map((j) => [j, by === "spread" ? -spread(j) : metric.larger ? mean(j) : -mean(j)]));
    if (by !== "name") every.sort((a, b) => keys.get(a) - keys.get(b) || a - b);
    const pages = Math.max(1, Math.ceil(every.length / heat.size));
    heat.page = Math.min(heat.page, pages - 1);
    const rows = every.slice(heat.page * heat.size, (heat.page + 1) * heat.size);
    const scale = goodness(metric, values.flat());
    const failed = new Map(failures.rows.map((one) => [`${one[0]}/${one[1]}`, one[5]]));
    const head = make("tr");
    head.append(headCell("Case"));
    const narrow = teams.length > 12;
    for (const i of teams) head.append(headCell(data.teams[i].name, narrow ? "number turned" : "number"));
    const lines = rows.map((j) => {
      const line = make("tr");
      const name = make("th");
      name.append(...breakable(data.cases[j]));
      name.scope = "row";
      line.append(name);
      for (const i of teams) {
        const cell = make("td"), value = values[i][j], why = failed.get(`${i}/${j}`);
        const link = make("a", narrow ? (why ? "✕" : "·") : `${why ? "✕ " : ""}${fixed(value, metric.digits)}`);
        link.href = `#case/${data.teams[i].id}/${data.cases[j]}/${data.interactions}`;
        const text = `${data.teams[i].name} on ${data.cases[j]}: ${metric.name} ${fixed(value, metric.digits)}${why ? `, ${why}` : ""}`;
        link.setAttribute("aria-label", text);
        link.title = text;
        if (value !== null) paint(link, scale.of(value));
        cell.append(link);
        if (why) cell.className = "failing";
        line.append(cell);
      }
      return line;
    });
    at("heat").tHead.replaceChildren(head);
    at("heat").tBodies[0].replaceChildren(...lines);
    at("heat-lead").textContent = `${metric.name} after the last interaction, by case and submission.`;
    at("heat-page").textContent = pages > 1
      ? `cases ${heat.page * heat.size + 1} to ${heat.page * heat.size + rows.length} of ${every.length.toLocaleString("en")}`
      : count(every.length, "case");
    at("heat-before").parentElement.hidden = pages === 1;
    at("heat-before").disabled = heat.page === 0;
    at("heat-next").disabled = heat.page === pages - 1;
    at("heat-range").textContent = `Light is good: ${metric.name} from ${fixed(scale.low, 0)} to ${fixed(scale.high, metric.high === null ? metric.digits : 0)}.`;
  }

  if (at("heat")) {
    at("heat-order").addEventListener("change", () => { heat.page = 0; drawHeat(choice()); });
    at("heat-before").addEventListener("click", () => { heat.page -= 1; drawHeat(choice()); });
    at("heat-next").addEventListener("click", () => { heat.page += 1; drawHeat(choice()); });
  }

  // ---- failures, labels, time and memory

  const list = { size: 50 };

  function drawFailures(chosen) {
    if (!at("failed")) return;
    const members = new Set(membersOf(chosen.subgroup));
    const found = failures.rows.filter((one) => members.has(one[1]) && isSought(data.teams[one[0]], chosen.sought));
    at("failed").tBodies[0].replaceChildren(...found.slice(0, list.size).map(([i, j, first, last, calls, status, message]) => {
      const line = make("tr"), team = data.teams[i], name = data.cases[j];
      const cell = make("th"), link = make("a");
      link.append(...breakable(name));
      cell.scope = "row";
      link.href = `#case/${team.id}/${name}/${first}`;
      cell.append(link);
      const which = calls === 1 ? `${first}` : calls === last - first + 1 ? `${first}–${last}` : `${calls} of ${first}–${last}`;
      line.append(cell, make("td", team.name), make("td", which), make("td", status));
      const log = make("td", undefined, "log");
      log.append(make("code", `results/predict/${data.protocol}/${team.id}/${name}/${first}.log`));
      line.append(make("td", failures.messages[message], "message"), log);
      return line;
    }));
    const more = at("failed-all");
    more.hidden = found.length <= list.size;
    more.textContent = `Show all ${found.length.toLocaleString("en")}`;
  }

  if (at("failed-all")) {
    at("failed-all").addEventListener("click", () => { list.size = Infinity; drawFailures(choice()); });
  }

  function drawLabels(chosen) {
    if (!at("label-means")) return;
    const metric = data.measures[chosenMeasure(chosen.metric)];
    const rows = data.label_rows[metric.name] || [];
    const teams = data.teams.map((team, i) => i).filter((i) => isSought(data.teams[i], chosen.sought));
    const scale = goodness(metric, rows.flatMap((one) => one.means));
    const head = make("tr");
    head.append(headCell("Label"), headCell("Name"), headCell("Cases", "number"));
    for (const i of teams) head.append(headCell(data.teams[i].name, "number"));
    const lines = rows.map((one) => {
      const line = make("tr"), label = make("th", one.label);
      label.scope = "row";
      line.append(label, make("td", `${one.name}${one.is_region ? " (region)" : ""}`), number(one.cases.toLocaleString("en")));
      for (const i of teams) {
        const cell = number(fixed(one.means[i], metric.digits));
        if (one.means[i] !== null) paint(cell, scale.of(one.means[i]));
        line.append(cell);
      }
      return line;
    });
    if (data.invented.some((cases) => cases)) {
      const line = make("tr"), label = make("th", "not asked for");
      label.scope = "row";
      line.append(label, make("td", "cases whose last answer has such a label"), make("td"));
      for (const i of teams) line.append(number(data.invented[i].toLocaleString("en")));
      lines.push(line);
    }
    at("label-means").tHead.replaceChildren(head);
    at("label-means").tBodies[0].replaceChildren(...lines);
    at("labels-lead").textContent = `Mean ${metric.name} after the last interaction.`;
  }

  function drawCosts(chosen) {
    if (!at("costs")) return;
    const rows = data.resources[chosen.subgroup] || data.resources[data.subgroups[0].name] || [];
    const kept = rows.filter(([i]) => isSought(data.teams[i], chosen.sought));
    at("costs").tBodies[0].replaceChildren(...kept.map(([i, calls, ...rest]) => {
      const line = make("tr"), name = make("th", data.teams[i].name);
      name.scope = "row";
      line.append(name, number(calls.toLocaleString("en")));
      rest.slice(0, 5).forEach((value) => line.append(number(fixed(value, 2))));
      const [memory, limit, gpu] = rest.slice(5);
      const peak = number(fixed(memory, 1));
      if (memory !== null && limit !== null) {
        const bar = make("span", undefined, "fill");
        bar.style.setProperty("--part", Math.min(1, memory / limit));
        bar.setAttribute("aria-hidden", "true");
        peak.prepend(bar);
      }
      line.append(peak, number(fixed(limit, 1)), make("td", gpu || "none"));
      return line;
    }));
  }

  function drawAll() {
    const chosen = choice();
    drawBoard(chosen);
    drawHeat(chosen);
    drawFailures(chosen);
    drawLabels(chosen);
    drawCosts(chosen);
    drawCharts();
    hint();
  }

  // Where a table or figure goes on beyond the edge, the page says so in words.
  function hint() {
    for (const box of document.querySelectorAll(".scroll")) {
      const more = box.scrollWidth > box.clientWidth + 1;
      box.classList.toggle("more", more);
      const after = box.nextElementSibling;
      const has = after && after.classList.contains("sideways");
      if (more && !has) box.after(make("p", "Scroll sideways for more →", "sideways"));
      if (!more && has) after.remove();
    }
  }

  for (const id of ["metric", "scheme", "subgroup"]) {
    at(id).addEventListener("change", () => { heat.page = 0; drawAll(); });
  }
  at("search").addEventListener("input", drawAll);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("choice").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("resize", hint);

  // ---- what is loaded when it is looked at

  const waiting = new Map();
  const loaded = new Map();

  function load(path) {
    if (!waiting.has(path)) {
      waiting.set(path, new Promise((resolve) => {
        const script = make("script");
        script.src = path;
        script.onload = () => resolve(loaded.get(path));
        script.onerror = () => resolve(undefined);
        document.head.append(script);
      }));
    }
    return waiting.get(path);
  }

  // ---- charts

  const seenCharts = new Set();

  function unpacked({ columns, texts, rows }) {
    return rows.map((values) => {
      const row = {};
      columns.forEach((name, i) => {
        if (values[i] === null || values[i] === undefined) return;
        row[name] = texts[name] ? texts[name][values[i]] : values[i];
      });
      return row;
    });
  }

  // The rows of a spec that the filters leave; what a row is for stands in its columns.
  function chosenRows(spec, chosen) {
    const about = metricOf(chosen.metric);
    const cases = new Set(membersOf(chosen.subgroup).map((i) => data.cases[i]));
    const names = new Set(data.teams.filter((team) => isSought(team, chosen.sought)).map((team) => team.name));
    const every = Object.values(spec.datasets).flat();
    const panels = new Set(every.map((row) => row.panel));
    const panel = about && [about.name, about.base].find((name) => panels.has(name));
    const keep = (row) => (row.subgroup === undefined || row.subgroup === chosen.subgroup)
      && (row.for_metric === undefined || row.for_metric === chosen.metric)
      && (row.for_scheme === undefined || row.for_scheme === chosen.scheme)
      && (row.panel === undefined || !panel || row.panel === panel)
      && (row.case === undefined || cases.has(row.case))
      && [row.name, row.algorithm, row.other].every((name) => name === undefined || names.has(name));
    return Object.fromEntries(Object.entries(spec.datasets).map(([key, rows]) => [key, rows.filter(keep)]));
  }

  // A copy of the spec that fits into so many pixels: fewer panels side by side, narrower ones.
  function fitted(spec, datasets, width) {
    const narrow = width < 640;
    const copy = structuredClone({ ...spec, datasets: undefined });
    const columns = Math.max(1, Math.min(4, Math.floor(width / 230)));
    const fitLegends = (part) => {
      if (!part || typeof part !== "object") return;
      if (part.legend && part.legend.columns) part.legend.columns = columns;
      Object.values(part).forEach(fitLegends);
    };
    fitLegends(copy);
    copy.datasets = datasets;
    copy.config = { ...copy.config, font: getComputedStyle(document.body).fontFamily };
    for (const part of ["axis", "legend", "header", "title"]) {
      copy.config[part] = { ...copy.config[part], labelFontSize: 12, titleFontSize: 12, fontSize: 13 };
    }
    copy.config.axis.titleFontWeight = "normal";
    copy.config.legend = { ...copy.config.legend, orient: "top", titleFontWeight: "normal", ...(narrow ? { columns: 1, direction: "vertical" } : {}) };
    if (copy.facet) {
      const field = copy.facet.field;
      const panels = new Set(Object.values(datasets).flat().map((row) => row[field]).filter(Boolean)).size;
      const most = Math.max(1, Math.floor(width / (copy.spec.width + 90)));
      copy.columns = Math.min(panels, most) || 1;
      while (copy.columns > 2 && panels % copy.columns) copy.columns -= 1;
      const room = Math.floor(width / copy.columns) - (field === "group" ? 190 : 85);
      copy.spec.width = Math.max(120, Math.min(copy.spec.width, room));
    } else if (copy.concat) {
      const has = (one) => (datasets[(one.data || {}).name] || []).length;
      copy.concat = copy.concat.filter(has);
      if (!copy.concat.length) return null;
      const one = copy.concat[0].width;
      const each = (typeof one === "number" ? one : one.step * data.teams.length) + 85;
      const most = Math.max(1, Math.min(copy.concat.length, Math.floor(width / each)));
      copy.columns = Math.ceil(copy.concat.length / Math.ceil(copy.concat.length / most));
    } else if (typeof copy.width === "number") {
      copy.width = Math.max(140, Math.min(copy.width, width - (copy.mark ? 190 : 80)));
    }
    return copy;
  }

  const specs = new Map();

  function drawChart(place) {
    const name = place.dataset.figure;
    const chosen = choice();
    Promise.all([load(`data/figure.${name}.js`), load("data/vega.js")]).then(([packed]) => {
      if (!packed || !window.vegaEmbed) return;
      if (!specs.has(name)) {
        const datasets = Object.entries(packed.datasets).map(([key, table]) => [key, unpacked(table)]);
        specs.set(name, { ...packed, datasets: Object.fromEntries(datasets) });
      }
      const spec = specs.get(name);
      const datasets = chosenRows(spec, chosen);
      const rows = Object.values(datasets).reduce((sum, part) => sum + part.length, 0);
      const room = place.closest("figure").clientWidth || document.body.clientWidth;
      const fits = rows ? fitted(spec, datasets, room) : null;
      if (!fits) {
        place.replaceChildren(make("p", "This figure has nothing for the choice above.", "note"));
        return;
      }
      const inside = make("div");
      const renderer = rows > 20000 ? "canvas" : place.dataset.renderer;
      window.vegaEmbed(inside, fits, { actions: false, renderer }).then(() => {
        place.replaceChildren(inside);
        // The figure has one name and its table is the CSV; single marks would be read one by one.
        for (const mark of inside.querySelectorAll("svg [role]")) {
          for (const name of ["role", "aria-label", "aria-roledescription"]) mark.removeAttribute(name);
        }
        const picture = inside.querySelector("svg, canvas");
        if (picture) {
          picture.setAttribute("role", "img");
          picture.setAttribute("aria-label", place.closest("figure").querySelector("h3").textContent);
        }
        hint();
      });
    });
  }

  function drawCharts() {
    for (const place of seenCharts) drawChart(place);
  }

  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          seen.unobserve(entry.target);
          seenCharts.add(entry.target);
          drawChart(entry.target);
        }
      }
    }, { rootMargin: "100px" });
    window.addEventListener("load", () => {
      for (const place of document.querySelectorAll(".chart")) seen.observe(place);
    });
  }

  // ---- cases

  const view = { team: data.teams[0].id, case: data.cases[0], k: data.interactions };
  const LAYERS = ["truth", "answer", "errors"];
  const LONGEST_SIDE_PX = 640; // on the page: a small picture is not blown up to its width

  function place(image, plane, picture, rows, row) {
    // The picture holds all planes side by side and, for answers, a row an interaction.
    image.style.width = `${(100 * picture.width) / plane.width}%`;
    image.style.left = `${(-100 * plane.left) / plane.width}%`;
    image.style.top = `${(-100 * row * picture.height) / plane.height}%`;
    image.style.height = `${(100 * rows * picture.height) / plane.height}%`;
  }

  function drawPlane(plane, picture, team) {
    const figure = make("figure", undefined, "plane");
    const { name } = data.teams.find((one) => one.id === team);
    figure.style.flexGrow = Math.max(plane.width, picture.width / 6);
    figure.style.maxWidth = `${Math.max(LONGEST_SIDE_PX / 4, LONGEST_SIDE_PX * Math.min(1, plane.width / plane.height))}px`;
    const box = make("div", undefined, "window");
    box.style.aspectRatio = `${plane.width} / ${plane.height}`;
    const where = plane.slices > 1 ? `${plane.name}, slice ${plane.slice} of ${plane.slices}` : plane.name;
    const layers = [
      ["image", `cases/${view.case}.webp`, `${view.case}, ${where}`, 1, 0],
      ["truth", `cases/${view.case}.truth.png`, "Tint of the ground truth", 1, 0],
      ["errors", `errors/${team}/${view.case}.png`, `Errors of ${name}`, data.interactions, view.k - 1],
      ["answer", `answers/${team}/${view.case}.png`, `Outline of the answer of ${name}`,
        data.interactions, view.k - 1],
    ];
    for (const [kind, source, text, rows, row] of layers) {
      const image = make("img", undefined, kind);
      image.alt = text;
      image.src = source;
      image.hidden = kind !== "image" && !at(`show-${kind}`).checked;
      if (rows > 1) image.dataset.plane = picture.planes.indexOf(plane);
      place(image, plane, picture, rows, row);
      box.append(image);
    }
    figure.append(box, make("figcaption", where));
    return figure;
  }

  function drawNumbers(series, place) {
    const { k } = view;
    const parts = data.measured.map((name) => `${name} ${shown(series.values[name][place][k - 1])}`);
    const failure = (i) => series.failed.find((one) => one[0] === view.case && one[1] === i + 1);
    // A call that took no time at all was none: the user was satisfied, or had nothing to say.
    const asked = (i) => series.seconds[place][i] !== 0 || failure(i);
    const time = (i) => (asked(i) ? shown(series.seconds[place][i]) : "not asked");
    parts.push(time(k - 1) + (asked(k - 1) ? " s" : ""));
    const failed = failure(k - 1);
    const other = series.invented.find((one) => one[0] === view.case && one[1] === k);
    if (other) parts.push(`${other[2]} label${other[2] > 1 ? "s" : ""} not asked for (grey)`);
    at("numbers").textContent = parts.join(" · ") + (failed ? ` · failed, ${failed[2]}` : "");
    at("k-shown").textContent = k;
    if (at("to-viewer")) at("to-viewer").href = `viewer/index.html#case/${view.team}/${view.case}/${k}`;
    at("k").value = k;
    at("k").setAttribute("aria-valuetext", `interaction ${k} of ${data.interactions}`);
    const head = make("tr");
    for (const text of ["Interaction", ...data.measured, "Seconds"]) {
      const cell = make("th", text);
      cell.scope = "col";
      head.append(cell);
    }
    at("series").tHead.replaceChildren(head);
    at("series").tBodies[0].replaceChildren(...Array.from({ length: data.interactions }, (_, i) => {
      const line = make("tr", undefined, i + 1 === k ? "current" : "");
      const first = make("th", i + 1);
      first.scope = "row";
      line.append(first);
      for (const name of data.measured) line.append(make("td", shown(series.values[name][place][i]), "number"));
      line.append(make("td", time(i), "number"));
      return line;
    }));
  }

  function drawPlanes(picture, team) {
    const group = make("div", undefined, "planes");
    group.append(...picture.planes.map((plane) => drawPlane(plane, picture, team)));
    return group;
  }

  function drawTeams(picture) {
    const other = at("other").value;
    const teams = other && other !== view.team ? [view.team, other] : [view.team];
    at("planes").classList.toggle("alone", picture.planes.length === 1);
    at("planes").replaceChildren(...teams.map((team) => {
      const group = make("div");
      if (teams.length > 1) group.append(make("h4", data.teams.find((one) => one.id === team).name));
      group.append(drawPlanes(picture, team));
      return group;
    }));
  }

  function drawLegend(picture) {
    const entries = picture.labels.map(([id, colour]) => {
      const { name } = data.labels[id] || {};
      return [name ? `${id} ${name}` : `${id}`, colour || "#aaaaaa"];
    });
    const first = entries.filter(([, colour]) => colour !== "#aaaaaa");
    const others = entries.length - first.length;
    if (others) first.push([`${others} smaller label${others > 1 ? "s" : ""}`, "#aaaaaa"]);
    at("convention").textContent = picture.convention;
    at("legend").replaceChildren(...first.map(([text, colour]) => {
      const key = make("span", undefined, "key");
      key.style.borderColor = colour;
      key.setAttribute("aria-hidden", "true");
      const item = make("li");
      item.append(key, ` ${text}`);
      return item;
    }));
  }

  async function drawCase() {
    const wanted = { ...view };
    const name = data.teams.find((one) => one.id === view.team).name;
    const [series, picture] = await Promise.all([
      load(`data/team.${wanted.team}.js`), load(`cases/${wanted.case}.js`),
    ]);
    if (wanted.team !== view.team || wanted.case !== view.case) return;
    at("viewer").hidden = false;
    at("team").value = view.team;
    at("case").value = view.case;
    at("viewer-title").textContent = `${name} on ${view.case}`;
    const found = data.extremes[view.team] || [];
    for (const button of document.querySelectorAll("[data-extreme]")) {
      button.setAttribute("aria-pressed", String(found[button.dataset.extreme] === view.case));
    }
    if (series) drawNumbers(series, data.cases.indexOf(view.case));
    if (picture) {
      drawTeams(picture);
      drawLegend(picture);
    } else {
      at("planes").replaceChildren(make("p", "There is no picture of this case."));
    }
    at("viewer").dataset.shown = `${view.team}/${view.case}/${view.k}`;
  }

  function slide() {
    view.k = Number(at("k").value);
    load(`cases/${view.case}.js`).then((picture) => {
      if (!picture) return;
      for (const image of document.querySelectorAll("#planes img[data-plane]")) {
        place(image, picture.planes[image.dataset.plane], picture, data.interactions, view.k - 1);
      }
    });
    load(`data/team.${view.team}.js`).then((series) => {
      if (series) drawNumbers(series, data.cases.indexOf(view.case));
      at("viewer").dataset.shown = `${view.team}/${view.case}/${view.k}`;
    });
  }

  function show(change) {
    Object.assign(view, change);
    drawCase();
  }

  function followHash(scroll) {
    const [kind, team, name, k] = decodeURIComponent(location.hash.slice(1)).split("/");
    if (kind !== "case" || !data.cases.includes(name)) return;
    if (!data.teams.some((one) => one.id === team)) return;
    const number = Math.min(data.interactions, Math.max(1, Number(k) || data.interactions));
    show({ team, case: name, k: number });
    if (scroll) at("cases").scrollIntoView();
  }

  at("team").addEventListener("change", () => show({ team: at("team").value }));
  at("case").addEventListener("change", () => show({ case: at("case").value }));
  at("other").addEventListener("change", drawCase);
  at("k").addEventListener("input", slide);
  for (const kind of LAYERS) {
    at(`show-${kind}`).addEventListener("change", (event) => {
      for (const image of document.querySelectorAll(`img.${kind}`)) image.hidden = !event.target.checked;
    });
  }
  for (const button of document.querySelectorAll("[data-extreme]")) {
    button.addEventListener("click", () => {
      const found = data.extremes[view.team];
      if (found) show({ case: found[button.dataset.extreme] });
    });
  }
  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      const all = data.cases.length;
      const next = (data.cases.indexOf(view.case) + Number(button.dataset.step) + all) % all;
      show({ case: data.cases[next] });
    });
  }
  window.addEventListener("hashchange", () => followHash(true));
  const cases = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      cases.disconnect();
      if (at("viewer").hidden) drawCase();
    }
  });
  window.addEventListener("load", () => {
    followHash(true);
    cases.observe(at("cases"));
  });

  drawAll();
  load("data/failures.js").then(drawAll);

  return {
    failures: (value) => Object.assign(failures, value),
    team: (name, value) => loaded.set(`data/team.${name}.js`, value),
    picture: (name, value) => loaded.set(`cases/${name}.js`, value),
    figure: (name, value) => loaded.set(`data/figure.${name}.js`, value),
  };
})();
