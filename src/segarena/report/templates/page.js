"use strict";
// What the page does: the leaderboard's filters and order, charts when they come into view, and the
// case viewer. Texts are only ever set as text. `segarena` is what data scripts call.
const segarena = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return value.toFixed(size >= 100 ? 0 : size >= 5 ? 1 : 3);
  };
  const percent = (share) => {
    if (share === null) return "–";
    if (share > 0 && share < 0.01) return "< 1 %";
    if (share > 0.99 && share < 1) return "> 99 %";
    return `${Math.round(share * 100)} %`;
  };

  // ---- leaderboard

  const order = { key: "rank", down: false };

  function row(i) {
    const metric = at("metric").value, scheme = at("scheme").value, group = at("subgroup").value;
    const [score, rank, low, high, share] = data.table[`${group}|${metric}|${scheme}`][i];
    const means = data.metrics.map((one) => data.table[`${group}|${one.name}|mean_then_rank`][i][0]);
    return { ...data.teams[i], score, rank, low, high, share, means };
  }

  function compare(a, b) {
    const value = (one) => (/^\d+$/.test(order.key) ? one.means[order.key] : one[order.key]);
    const [x, y] = [value(a), value(b)];
    const missing = (x === null) - (y === null);
    if (missing) return missing;
    const found = typeof x === "string" ? x.localeCompare(y) : x - y;
    return (order.down ? -found : found) || a.rank - b.rank || a.name.localeCompare(b.name);
  }

  function drawRow(one) {
    const line = make("tr");
    const interval = make("td", undefined, "interval");
    const bar = make("span", undefined, "bar");
    bar.setAttribute("aria-hidden", "true");
    const places = { "--from": one.low, "--to": one.high, "--at": one.rank, "--of": data.teams.length };
    for (const [name, value] of Object.entries(places)) bar.style.setProperty(name, value);
    interval.append(bar, `${one.low}–${one.high}`);
    const name = make("th", one.name);
    name.scope = "row";
    line.append(make("td", one.rank, "number"), name, interval);
    for (const text of [percent(one.share), shown(one.score), ...one.means.map(shown)]) {
      line.append(make("td", text, "number"));
    }
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

  function drawBoard() {
    const metric = at("metric").value, scheme = at("scheme").value, group = at("subgroup").value;
    const sought = at("search").value.trim().toLocaleLowerCase();
    const rows = data.teams.map((_, i) => row(i)).filter((one) => one.rank !== null);
    rows.sort(compare);
    const kept = rows.filter((one) => one.name.toLocaleLowerCase().includes(sought));
    at("board").tBodies[0].replaceChildren(...kept.map(drawRow));
    at("certain").textContent = data.certain[`${group}|${metric}|${scheme}`];
    const tested = scheme.startsWith("test");
    at("score-head").textContent = metric === data.final ? "Mean rank"
      : tested ? "Share beaten"
      : scheme.startsWith("rank") ? `${scheme.endsWith("mean") ? "Mean" : "Median"} rank`
      : `${scheme.startsWith("mean") ? "Mean" : "Median"} ${metric}`;
    for (const head of at("board").tHead.rows[0].cells) {
      const button = head.querySelector("button");
      if (button && button.dataset.key === order.key) {
        head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    }
  }

  for (const id of ["metric", "scheme", "subgroup"]) at(id).addEventListener("change", drawBoard);
  at("search").addEventListener("input", drawBoard);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("choice").addEventListener("submit", (event) => event.preventDefault());
  for (const button of at("board").tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const key = button.dataset.key;
      const metric = data.metrics[key];
      order.down = order.key === key ? !order.down : key === "share" || Boolean(metric && metric.larger);
      order.key = key;
      drawBoard();
    });
  }
  drawBoard();

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

  function drawChart(place) {
    const name = place.dataset.figure;
    load(`data/figure.${name}.js`).then((spec) => {
      if (!spec || !window.vegaEmbed) return;
      const inside = make("div");
      window.vegaEmbed(inside, spec, { actions: false, renderer: place.dataset.renderer })
        .then(() => place.replaceChildren(inside));
    });
  }

  if ("IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          seen.unobserve(entry.target);
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
      const count = data.cases.length;
      const next = (data.cases.indexOf(view.case) + Number(button.dataset.step) + count) % count;
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

  return {
    team: (name, value) => loaded.set(`data/team.${name}.js`, value),
    picture: (name, value) => loaded.set(`cases/${name}.js`, value),
    figure: (name, value) => loaded.set(`data/figure.${name}.js`, value),
  };
})();
