"use strict";
// The viewer: NiiVue shows the image and one overlay. What is painted into the overlay (a tint for
// the truth, lines for the answer, errors, prompts) is decided here, voxel by voxel, so that it is
// what the pictures of the report show. Texts are only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const PROMPT_COLOURS = [[0, 255, 0], [255, 0, 255], [255, 255, 255]]; // foreground, background, box
  const UNKNOWN = [170, 170, 170, 255];
  const LAYERS = ["truth", "answer", "prompts", "errors"];
  const RENDER = "4"; // NiiVue's number of the 3D view
  const TINT = 96, VEIL = 168;
  const view = { team: data.teams[0].id, case: data.cases[0], k: data.interactions };
  const shown = { case: null, about: null, truth: null };
  let answers, prompts, nv;

  function say(text) {
    at("message").textContent = text;
    at("message").hidden = !text;
  }

  async function read(path) {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path} is not there. Archives leave out the volumes of the viewer.`);
    return answer;
  }

  // A .nii.gz of labels that we wrote: little-endian, uint8 or uint16, data from byte 352.
  async function frames(path, count) {
    let bytes = new Uint8Array(await (await read(path)).arrayBuffer());
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) { // some servers have unpacked it
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    }
    const wide = new DataView(bytes.buffer).getInt16(72, true) === 16;
    const all = wide ? new Uint16Array(bytes.buffer, 352) : new Uint8Array(bytes.buffer, 352);
    const size = all.length / count;
    return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
  }

  // Colours as RGBA: of tints and lines by label, of errors and prompts by kind.
  function palette(about) {
    const solid = at("view").value === RENDER;
    const by = (opacity) => new Map(about.labels.map((one) => [one.label, [...one.colour, opacity]]));
    return {
      tints: by(TINT),
      lines: by(255),
      errors: data.errors.map((colour) => [...colour, solid ? 255 : VEIL]),
      prompts: PROMPT_COLOURS.map((colour) => [...colour, 255]),
    };
  }

  // The axes (0 z, 1 y, 2 x) along which a line is a border: those of the plane that is looked at,
  // or of the file's slices where all planes are. A voxel can only be painted in one way.
  function lineAxes() {
    const across = shown.about.order[at("view").value];
    return [0, 1, 2].filter((axis) => axis !== (across === undefined ? 0 : across));
  }

  function atBorder(labels, i, axes, sizes, strides) {
    const label = labels[i];
    return axes.some((axis) => {
      const stride = strides[axis], place = Math.floor(i / stride) % sizes[axis];
      return (place > 0 && labels[i - stride] !== label)
        || (place < sizes[axis] - 1 && labels[i + stride] !== label);
    });
  }

  function paint() {
    const volume = nv.volumes[1];
    const { truth, about } = shown;
    const answer = answers[view.k - 1], marks = prompts[view.k - 1];
    const [, nx, ny, nz] = volume.hdr.dims;
    const sizes = [nz, ny, nx], strides = [nx * ny, nx, 1], axes = lineAxes();
    const solid = at("view").value === RENDER;
    const { tints, lines, errors, prompts: ofPrompts } = palette(about);
    const [missed, excess, confused] = errors;
    const on = Object.fromEntries(LAYERS.map((kind) => [kind, at(`show-${kind}`).checked]));
    const out = volume.img.fill(0);
    for (let i = 0; i < truth.length; i += 1) {
      const one = truth[i], other = answer[i], mark = marks[i];
      if (!one && !other && !mark) continue;
      let colour = on.truth && one ? tints.get(one) : undefined;
      if (on.errors && one !== other) colour = other === 0 ? missed : one === 0 ? excess : confused;
      if (on.answer && other && (solid ? !on.errors : atBorder(answer, i, axes, sizes, strides))) {
        colour = lines.get(other) || UNKNOWN;
      }
      if (on.prompts && mark) colour = ofPrompts[mark - 1];
      if (colour) out.set(colour, 4 * i);
    }
    nv.updateGLVolume();
  }

  function drawView() {
    const value = at("view").value;
    const single = shown.about.plane;
    for (const option of at("view").options) option.disabled = single !== null && option.value !== String(single);
    if (single !== null) at("view").value = String(single);
    nv.setSliceType(single !== null ? single : value === "planes" ? nv.sliceTypeMultiplanar : Number(value));
    nv.setOpacity(0, at("view").value === RENDER ? 0 : 1);
  }

  function drawLegend() {
    const { about } = shown;
    at("legend").replaceChildren(...about.labels.map((one) => {
      const item = document.createElement("li"), patch = document.createElement("span");
      patch.className = "patch";
      patch.style.background = `rgb(${one.colour.join(",")})`;
      item.append(patch, ` ${one.id} ${one.name}`);
      return item;
    }));
    const size = [...about.shape].reverse().join(" × ");
    at("note").textContent = [`${size} voxels`, about.convention, about.left_out].filter(Boolean).join("; ");
  }

  async function loadCase(name) {
    const folder = `cases/${encodeURIComponent(name)}`;
    const about = await (await read(`${folder}/about.json`)).json();
    await nv.loadVolumes([
      { url: `${folder}/image.nii.gz`, name: "image.nii.gz", colormap: "gray", cal_min: 0, cal_max: 255 },
      { url: `${folder}/truth.nii.gz`, name: "truth.nii.gz", opacity: 1 },
    ]);
    const volume = nv.volumes[1];
    const truth = Uint16Array.from(volume.img);
    volume.img = new Uint8Array(4 * truth.length); // what is painted: RGBA
    volume.hdr.datatypeCode = 2304;
    volume.hdr.numBitsPerVoxel = 32;
    volume.hdr.intent_code = 0;
    volume.colormapLabel = null;
    nv.opts.isOrientationTextVisible = about.letters;
    Object.assign(shown, { case: name, about, truth });
  }

  let turn = 0;

  async function draw() {
    turn += 1;
    const mine = turn, wanted = { ...view };
    try {
      if (shown.case !== wanted.case) say("Loading");
      const [first, second] = await Promise.all(["answers", "prompts"].map((kind) =>
        frames(`${kind}/${wanted.team}/${encodeURIComponent(wanted.case)}.nii.gz`, data.interactions)));
      if (mine !== turn) return;
      if (shown.case !== wanted.case) await loadCase(wanted.case);
      if (mine !== turn) return;
      [answers, prompts] = [first, second];
      at("team").value = wanted.team;
      at("case").value = wanted.case;
      say("");
      drawLegend();
      drawView();
      interact();
    } catch (error) {
      say(error.message);
    }
  }

  function interact() {
    const hash = `#case/${view.team}/${view.case}/${view.k}`;
    at("k").value = view.k;
    at("k-shown").textContent = view.k;
    at("back").href = `../index.html${hash}`;
    history.replaceState(null, "", hash);
    paint();
    document.body.dataset.shown = `${view.team}/${view.case}/${view.k}`;
  }

  function followHash() {
    const [kind, team, name, k] = decodeURIComponent(location.hash.slice(1)).split("/");
    if (kind !== "case" || !data.cases.includes(name)) return;
    if (!data.teams.some((one) => one.id === team)) return;
    const number = Math.min(data.interactions, Math.max(1, Number(k) || data.interactions));
    Object.assign(view, { team, case: name, k: number });
  }

  async function start() {
    if (location.protocol === "file:") {
      say("A browser does not let a page on disk read other files. Run `segarena view FOLDER` with the folder of this report, which shows it at an address of this machine.");
      return;
    }
    if (!document.createElement("canvas").getContext("webgl2")) {
      say("This browser has no WebGL 2, which the viewer needs. The pictures of the report need none.");
      return;
    }
    nv = new niivue.Niivue({
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      multiplanarShowRender: 0,
      dragAndDropEnabled: false,
      isNearestInterpolation: true,
      crosshairWidth: 0.1,
      crosshairWidthUnit: "percent",
      crosshairColor: [1, 1, 1, 0.35],
      showAllOrientationMarkers: true,
      fontColor: [1, 1, 1, 1],
      backColor: [0, 0, 0, 1],
      loadingText: "",
      logLevel: "error",
    });
    await nv.attachToCanvas(at("canvas"));
    followHash();
    for (const id of ["team", "case"]) {
      at(id).addEventListener("change", () => { view[id] = at(id).value; draw(); });
    }
    at("k").addEventListener("input", () => { view.k = Number(at("k").value); if (answers) interact(); });
    at("view").addEventListener("change", () => { if (answers) { drawView(); paint(); } });
    for (const kind of LAYERS) {
      at(`show-${kind}`).addEventListener("change", () => { if (answers) paint(); });
    }
    at("choice").addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", () => { followHash(); draw(); });
    draw();
  }

  start();
})();
