/* Draws the timeline, the heat map and the TCP graphs of the page that `vnic trace report` writes. */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const LEFT = 150, RIGHT = 70, BOTTOM = 40;

  // ---- elements ---------------------------------------------------------------------------------------------

  function make(name, attributes, ...content) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...content);
    return node;
  }

  function draw(parent, name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function button(text, title, action) {
    const node = make("button", { type: "button", title }, text);
    node.addEventListener("click", action);
    return node;
  }

  // ---- numbers ----------------------------------------------------------------------------------------------

  const count = value => Math.round(value).toLocaleString("en-US");

  function timeUnit(span) {
    if (span >= 2e9) return [1e9, "s"];
    if (span >= 2e6) return [1e6, "ms"];
    if (span >= 2e3) return [1e3, "µs"];
    return [1, "ns"];
  }

  function timeText(ns, span) {
    const [unit, name] = timeUnit(span === undefined ? Math.abs(ns) : span);
    return (ns / unit).toLocaleString("en-US", { maximumFractionDigits: 3 }) + " " + name;
  }

  /* Round places for about `wanted` lines between two values. */
  function ticks(low, high, wanted, whole) {
    const raw = (high - low) / wanted || 1;
    const power = Math.pow(10, Math.floor(Math.log10(raw)));
    let step = [1, 2, 5, 10].map(each => each * power).find(each => each >= raw);
    if (whole) step = Math.max(1, step);
    const places = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) places.push(at || 0);
    return places;
  }

  // ---- a picture with an axis, in which a part can be chosen -------------------------------------------------

  /* `paint(svg, width)` fills it and gives {x, y} scales with an inverse; `chosen(x0, x1, y0, y1)` a drag, in pixels. */
  function picture(host, height, paint, chosen, all, hover) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("role", "img");
    const readout = make("div", { class: "readout" });
    host.append(svg, readout);
    let start = null, frame = null;

    function redraw() {
      const width = Math.max(480, svg.clientWidth || host.clientWidth || 960), tall = height();
      svg.setAttribute("viewBox", `0 0 ${width} ${tall}`);
      svg.style.height = tall + "px";
      svg.replaceChildren();
      paint(svg, width);
    }

    function place(event) {
      const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
      const x = (event.clientX - box.left) * view.width / box.width;
      const y = (event.clientY - box.top) * view.height / box.height;
      return [Math.min(Math.max(x, LEFT), view.width - RIGHT), Math.min(Math.max(y, 0), view.height - BOTTOM)];
    }

    svg.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      start = place(event);
      svg.setPointerCapture(event.pointerId);
      frame = draw(svg, "rect", { class: "zoom", width: 0, height: 0 });
    });
    svg.addEventListener("pointermove", event => {
      const now = place(event);
      readout.textContent = hover(now[0], now[1]);
      if (!start) return;
      const flat = chosen.flat;
      frame.setAttribute("x", Math.min(start[0], now[0]));
      frame.setAttribute("width", Math.abs(now[0] - start[0]));
      frame.setAttribute("y", flat ? 0 : Math.min(start[1], now[1]));
      frame.setAttribute("height", flat ? svg.viewBox.baseVal.height - BOTTOM : Math.abs(now[1] - start[1]));
    });
    svg.addEventListener("pointerup", event => {
      if (!start) return;
      const from = start, to = place(event);
      start = null;
      frame.remove();
      if (Math.abs(to[0] - from[0]) > 4) chosen(from[0], to[0], from[1], to[1]);
    });
    svg.addEventListener("pointercancel", () => { start = null; if (frame) frame.remove(); });
    svg.addEventListener("dblclick", all);
    let later = 0;
    window.addEventListener("resize", () => { clearTimeout(later); later = setTimeout(redraw, 100); });
    return { svg, redraw };
  }

  function axis(svg, width, top, bottom, low, high, label, text, whole) {
    const x = value => LEFT + (value - low) / (high - low || 1) * (width - LEFT - RIGHT);
    for (const at of ticks(low, high, Math.max(3, width / 150), whole)) {
      draw(svg, "line", { class: "grid", x1: x(at), x2: x(at), y1: top, y2: bottom });
      draw(svg, "text", { x: x(at), y: bottom + 16, "text-anchor": "middle" }, text(at));
    }
    draw(svg, "line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom });
    draw(svg, "text", { class: "name", x: (LEFT + width - RIGHT) / 2, y: bottom + 34, "text-anchor": "middle" }, label);
    return x;
  }

  // ---- timeline and heat map --------------------------------------------------------------------------------

  const line = data.timeline, groups = line.number.length;
  const ends = {
    number: [line.number[0] || 0, line.end || 1],
    time: [0, Math.max(1, line.last.reduce((most, each) => Math.max(most, each), 0))],
  };
  const starts = { number: line.number, time: line.first };

  /* Most of a trace is often in a small part of its time: show that first. */
  function busy() {
    for (const share of [0.99, 0.95, 0.9, 0.8, 0.7]) {
      const most = line.first[Math.floor((groups - 1) * share)] || 0;
      if (most < ends.time[1] / 4) return [0, most * 1.05 || 1];
    }
    return ends.time;
  }

  const view = { by: "number", number: ends.number.slice(), time: busy().slice() };
  const pictures = [];
  const redrawLines = () => { pictures.forEach(each => each.redraw()); show(); };

  function zoom(low, high) {
    const [first, last] = ends[view.by], least = Math.max(1, (last - first) / 1e5);
    if (high - low < least) high = low + least;
    const span = Math.min(high - low, last - first);
    low = Math.min(Math.max(low, first), last - span);
    view[view.by] = [low, low + span];
    redrawLines();
  }

  function scale(factor, shift) {
    const [low, high] = view[view.by], half = (high - low) / 2 * factor, middle = (low + high) / 2;
    const at = middle + shift * (high - low);
    zoom(at - half, at + half);
  }

  const all = () => zoom(...ends[view.by]);

  /* Counts of a lane by column of the picture: [sums, most]. */
  function columns(lane, low, high, number) {
    const sums = new Float64Array(number), at = starts[view.by];
    let most = 0;
    for (let i = 0; i < lane.counts.length; i += 2) {
      const where = at[lane.counts[i]];
      if (where < low || where > high) continue;
      const column = Math.min(number - 1, Math.floor((where - low) / (high - low) * number));
      most = Math.max(most, sums[column] += lane.counts[i + 1]);
    }
    return [sums, most];
  }

  /* How many columns there is room for; by event, each is of a whole number of groups, so none is fuller by chance. */
  function columnsIn(low, high, most) {
    if (view.by !== "number") return most;
    const step = line.size * Math.max(1, Math.ceil((high - low) / line.size / most));
    return Math.max(1, Math.ceil((high - low) / step));
  }

  function lineAxis(svg, width, bottom) {
    const [low, high] = view[view.by];
    if (view.by === "number") return axis(svg, width, 0, bottom, low, high, "event number", count, true);
    const [unit, name] = timeUnit(high - low);
    const text = at => (at / unit).toLocaleString("en-US", { maximumFractionDigits: 3 });
    return axis(svg, width, 0, bottom, low, high, `virtual time since the trace began [${name}]`, text, false);
  }

  function marks(svg, x, bottom) {
    const [low, high] = view[view.by];
    for (const [number, time, text] of line.marks) {
      const at = view.by === "number" ? number : time;
      if (at < low || at > high) continue;
      const node = draw(svg, "line", { class: "mark", x1: x(at), x2: x(at), y1: 0, y2: bottom });
      draw(node, "title", {}, "mark: " + text);
    }
  }

  function paintLanes(svg, width) {
    const tall = 30, bottom = line.lanes.length * tall, [low, high] = view[view.by];
    const x = lineAxis(svg, width, bottom), room = width - LEFT - RIGHT, number = columnsIn(low, high, Math.floor(room / 3));
    const wide = (room / number * 0.8).toFixed(1);
    line.lanes.forEach((lane, row) => {
      const base = (row + 1) * tall, [sums, most] = columns(lane, low, high, number);
      draw(svg, "line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: base, y2: base });
      draw(svg, "text", { class: "name", x: LEFT - 10, y: base - 9, "text-anchor": "end" }, lane.name);
      draw(svg, "text", { x: width - RIGHT + 6, y: base - 9 }, most ? count(most) : "–");
      let path = "";
      sums.forEach((sum, column) => {
        if (!sum) return;
        const left = LEFT + column * room / number, up = Math.max(2, sum / most * (tall - 6));
        path += `M${left.toFixed(1)} ${base}v${-up.toFixed(1)}h${wide}v${up.toFixed(1)}z`;
      });
      draw(svg, "path", { d: path, style: `fill:var(--c${row % 11})`, "data-lane": lane.name });
    });
    marks(svg, x, bottom);
  }

  function paintUnits(svg, width) {
    const tall = 18, bottom = data.units.length * tall, [low, high] = view[view.by];
    const x = lineAxis(svg, width, bottom), room = width - LEFT - RIGHT, number = columnsIn(low, high, Math.floor(room / 5));
    const wide = (room / number * 0.92).toFixed(1);
    data.units.forEach((unit, row) => {
      const top = row * tall, [sums, most] = columns(unit, low, high, number);
      draw(svg, "text", { class: "name", x: LEFT - 10, y: top + 13, "text-anchor": "end" }, unit.name);
      draw(svg, "text", { x: width - RIGHT + 6, y: top + 13 }, most ? count(most) : "–");
      const shades = ["", "", "", ""];
      sums.forEach((sum, column) => {
        if (!sum) return;
        const left = LEFT + column * room / number;
        shades[Math.min(3, Math.floor(sum / most * 4))] += `M${left.toFixed(1)} ${top + 2}h${wide}v${tall - 4}h-${wide}z`;
      });
      shades.forEach((path, shade) => {
        if (path) draw(svg, "path", { d: path, style: "fill:var(--c0)", "fill-opacity": 0.28 + 0.24 * shade });
      });
    });
    marks(svg, x, bottom);
  }

  function hoverOf(rows, tall) {
    return (x, y) => {
      const [low, high] = view[view.by], svg = pictures[0].svg.viewBox.baseVal, room = svg.width - LEFT - RIGHT;
      const at = low + (x - LEFT) / room * (high - low), near = (high - low) / room * 3;
      const row = rows[Math.min(rows.length - 1, Math.floor(y / tall))];
      if (!row) return "";
      const [sums] = columns(row, at - near, at + near, 1);
      const where = view.by === "number" ? `near event ${count(at)}` : `near ${timeText(at, high - low)}`;
      return `${where}: ${row.name}, ${count(sums[0])}`;
    };
  }

  const modes = {};
  const range = make("span", {});

  function show() {
    for (const [name, node] of Object.entries(modes)) node.setAttribute("aria-pressed", String(name === view.by));
    const [low, high] = view[view.by], [first, last] = ends[view.by];
    let seen = 0;
    const at = starts[view.by];
    for (let i = 0; i < groups; i++) if (at[i] >= low && at[i] <= high) seen += line.size;
    const percent = line.events ? Math.min(100, seen / line.events * 100) : 0;
    const what = view.by === "number" ? `events ${count(low)} to ${count(high)}`
      : `${timeText(low, high)} to ${timeText(high)} of ${timeText(last - first)}`;
    range.textContent = `${what}: ${percent > 99.95 ? "100" : percent.toFixed(1)} % of all events` +
      (line.size > 1 ? `; resolved to ${count(line.size)} events` : "");
  }

  function lineControls() {
    const host = make("div", { class: "controls" });
    for (const [name, text] of [["number", "by event"], ["time", "by virtual time"]]) {
      modes[name] = button(text, `the axis is ${text.slice(3)}`, () => { view.by = name; redrawLines(); });
      host.append(modes[name]);
    }
    host.append(
      button("+", "closer", () => scale(0.5, 0)), button("−", "farther", () => scale(2, 0)),
      button("◀", "earlier", () => scale(1, -0.5)), button("▶", "later", () => scale(1, 0.5)),
      button("all", "the whole trace", all), range);
    return host;
  }

  function lanes(identity, rows, tall, paint) {
    const host = document.getElementById(identity);
    host.replaceChildren();
    if (!rows.length || !groups) {
      host.append(make("p", { class: "none" }, "Nothing of that kind in this trace."));
      return;
    }
    if (identity === "timeline-chart") host.append(lineControls());
    const invert = x => {
      const [low, high] = view[view.by], width = made.svg.viewBox.baseVal.width;
      return low + (x - LEFT) / (width - LEFT - RIGHT) * (high - low);
    };
    const chosen = (from, to) => zoom(invert(Math.min(from, to)), invert(Math.max(from, to)));
    chosen.flat = true;
    const made = picture(host, () => rows.length * tall + BOTTOM, paint, chosen, all, hoverOf(rows, tall));
    pictures.push(made);
    if (identity === "units-chart") host.append(shades());
  }

  function shades() {
    const legend = make("div", { class: "legend" }, "events in a column, of the row's highest column (the figure on its right): ");
    for (const [shade, text] of ["up to a quarter", "up to half", "up to three quarters", "more"].entries()) {
      const swatch = make("i", { class: "swatch", style: `background:var(--c0);opacity:${0.28 + 0.24 * shade}` });
      legend.append(make("span", {}, swatch, text));
    }
    return legend;
  }

  // ---- TCP --------------------------------------------------------------------------------------------------

  const KINDS = [
    ["data", "data"], ["again", "retransmission"], ["late", "fills a gap"], ["acks", "acknowledged (ACK)"],
    ["windows", "receiver's window"], ["sacks", "selective acknowledgement (SACK)"], ["flags", "SYN, FIN, RST"],
  ];
  const COLOURS = { data: "data", again: "again", late: "late", acks: "ack", windows: "window", sacks: "sack" };

  /* The least and the greatest time and sequence number of what is drawn. */
  function extent(half) {
    const box = [Infinity, -Infinity, Infinity, -Infinity];
    const take = (time, seq) => {
      box[0] = Math.min(box[0], time); box[1] = Math.max(box[1], time);
      box[2] = Math.min(box[2], seq); box[3] = Math.max(box[3], seq);
    };
    for (const [first, at, last, end] of half.data) { take(first, at); take(last, end); }
    for (const each of [...half.again, ...half.late]) { take(each[0], each[1]); take(each[0], each[2]); }
    for (const [time, at] of half.acks) if (time <= box[1] || box[1] < 0) take(time, at);
    if (box[0] > box[1]) return [0, 1, 0, 1];
    const wide = (box[1] - box[0] || 1) * 0.03, tall = (box[3] - box[2] || 1) * 0.06;
    return [box[0] - wide, box[1] + wide, box[2] - tall, box[3] + tall];
  }

  function tcp() {
    const host = document.getElementById("tcp-chart");
    host.replaceChildren();
    if (!data.connections.length) {
      host.append(make("p", { class: "none" }, "No TCP in the frames of this trace."));
      return;
    }
    const choices = [];
    const select = make("select", { id: "tcp-choice", "aria-label": "connection and direction" });
    data.connections.forEach(connection => connection.halves.forEach(half => {
      if (!half.data.length && !half.flags.length) return;
      select.append(make("option", { value: choices.length }, `${half.name}: ${count(half.bytes)} bytes`));
      choices.push(half);
    }));
    const best = choices.reduce((most, half, at) => half.bytes > choices[most].bytes ? at : most, 0);
    let half = choices[best], box = extent(half);
    select.value = String(best);
    const note = make("span", {});
    const legend = make("div", { class: "legend" });
    const whole = () => { box = extent(half); made.redraw(); };
    const closer = factor => {
      const [x0, x1, y0, y1] = box, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
      box = [x - (x - x0) * factor, x + (x1 - x) * factor, y - (y - y0) * factor, y + (y1 - y) * factor];
      made.redraw();
    };
    select.addEventListener("change", () => { half = choices[Number(select.value)]; told(); whole(); });
    host.append(make("div", { class: "controls" }, make("label", {}, "connection ", select),
      button("+", "closer", () => closer(0.5)), button("−", "farther", () => closer(2)),
      button("all", "the whole connection", whole), note));

    const TOP = 8, TALL = 460;
    const frameOf = svg => [svg.viewBox.baseVal.width - LEFT - RIGHT, TALL - TOP - BOTTOM];
    const invert = (px, py) => {
      const [width, height] = frameOf(made.svg);
      return [box[0] + (px - LEFT) / width * (box[1] - box[0]), box[3] - (py - TOP) / height * (box[3] - box[2])];
    };

    function told() {
      note.textContent = half.left_out ? `${count(half.left_out)} points are left out` : "";
      legend.replaceChildren(...KINDS.filter(([kind]) => half[kind].length).map(([kind, name]) => {
        const swatch = make("i", { style: `background:var(--${COLOURS[kind] || "ink"})` });
        return make("span", {}, swatch, kind === "data" || kind === "acks" || kind === "windows" ? name
          : `${name}: ${count(half[kind].length)}`);
      }));
    }

    function paint(svg, width) {
      const bottom = TALL - BOTTOM, [unit, name] = timeUnit(box[1] - box[0]);
      const number = at => (at / unit).toLocaleString("en-US", { maximumFractionDigits: 4 });
      const x = axis(svg, width, TOP, bottom, box[0], box[1], `time since the connection's first segment [${name}]`, number, false);
      const y = seq => bottom - (seq - box[2]) / (box[3] - box[2]) * (bottom - TOP);
      for (const at of ticks(box[2], box[3], 8, true)) {
        draw(svg, "line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at) });
        draw(svg, "text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, count(at));
      }
      draw(svg, "line", { class: "axis", x1: LEFT, x2: LEFT, y1: TOP, y2: bottom });
      draw(svg, "text", { class: "name", "text-anchor": "middle", transform: `translate(16 ${(TOP + bottom) / 2}) rotate(-90)` },
        "sequence number, relative [bytes]");
      const clip = draw(svg, "clipPath", { id: "tcp-clip" });
      draw(clip, "rect", { x: LEFT, y: TOP, width: width - LEFT - RIGHT, height: bottom - TOP });
      const inside = draw(svg, "g", { "clip-path": "url(#tcp-clip)" });
      const spot = (time, seq) => `${x(time).toFixed(1)} ${y(seq).toFixed(1)}`;
      const stroke = (kind, path, wide) => {
        if (path) draw(inside, "path", { d: path, fill: "none", "data-kind": kind, style: `stroke:var(--${COLOURS[kind]});stroke-width:${wide}` });
      };
      const steps = points => points.map(([time, seq], at) => at ? `H${x(time).toFixed(1)}V${y(seq).toFixed(1)}` : `M${spot(time, seq)}`).join("");
      const strokes = pieces => pieces.map(([time, at, end]) => `M${spot(time, at)}L${spot(time, end)}`).join("");
      stroke("windows", steps(half.windows), 1.3);
      stroke("acks", steps(half.acks), 1.5);
      stroke("sacks", strokes(half.sacks), 3);
      stroke("data", half.data.map(([first, at, last, end]) => `M${spot(first, at)}L${spot(last, end)}`).join(""), 2);
      stroke("late", strokes(half.late), 3);
      stroke("again", strokes(half.again), 3);
      for (const [time, seq, letter] of half.flags) {
        draw(inside, "text", {
          class: "name", x: x(time) + (letter === "S" ? 6 : -6), y: y(seq) + (letter === "S" ? 15 : -6),
          "text-anchor": letter === "S" ? "start" : "end",
        }, { S: "SYN", F: "FIN", R: "RST" }[letter]);
        draw(inside, "circle", { cx: x(time), cy: y(seq), r: 3, style: "fill:var(--ink)" });
      }
    }

    const chosen = (px0, px1, py0, py1) => {
      if (Math.abs(py1 - py0) < 8) { py0 = TOP; py1 = TALL - BOTTOM; }
      const [x0, y0] = invert(Math.min(px0, px1), Math.max(py0, py1));
      const [x1, y1] = invert(Math.max(px0, px1), Math.min(py0, py1));
      box = [x0, x1, y0, y1];
      made.redraw();
    };
    const hover = (px, py) => {
      const [time, seq] = invert(px, py);
      return `${timeText(time, box[1] - box[0])}, sequence number ${count(seq)}`;
    };
    const made = picture(host, () => TALL, paint, chosen, whole, hover);
    host.append(legend);
    told();
    made.redraw();
  }

  // ---- events -----------------------------------------------------------------------------------------------

  function search() {
    const field = document.getElementById("search"), found = document.getElementById("search-found");
    const rows = [...document.querySelectorAll("#event-rows tr")];
    const texts = rows.map(row => row.textContent.toLowerCase());
    let later = 0;
    const apply = () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, at) => {
        const isGap = row.className === "gap", is = wanted ? !isGap && texts[at].includes(wanted) : true;
        row.hidden = !is;
        shown += is && !isGap;
      });
      found.textContent = wanted ? ` ${count(shown)} of those that are listed` : "";
    };
    field.addEventListener("input", () => { clearTimeout(later); later = setTimeout(apply, 120); });
  }

  lanes("timeline-chart", line.lanes.filter(lane => lane.counts.length).length ? line.lanes : [], 30, paintLanes);
  lanes("units-chart", data.units, 18, paintUnits);
  if (pictures.length) redrawLines();
  tcp();
  search();
})();
