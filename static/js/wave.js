"use strict";
// The waveform close up: a canvas over peaks that are fetched in tiles, each level four times coarser than the one before.
// `reelkeeper.wave(parts)` draws; the player tells it what to show and hears where somebody pressed.

{
  const BIN_FRAMES = 512, LEVELS = 10, TILE_BINS = 1024, TILES_KEPT = 300, RULER = 20, SHORTEST_S = 1, GROW_MS = 1000, WIDEST_BIN_PX = 1.7;
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400];
  const framesIn = (level) => BIN_FRAMES * 4 ** level;

  reelkeeper.wave = ({ canvas, view: frame, onSeek, onView, onGrow }) => {
    const pen = canvas.getContext("2d");
    const tiles = new Map();
    let facts = null, moments = [], known = 0, all = true, follows = false, asked = false, colours = null, fetches = 0;
    const view = { start: 0, span: 1 };

    // ---- peaks ----

    const levelFor = () => {
      const framesPerPixel = (view.span * facts.rate) / Math.max(1, canvas.width);
      let level = 0;
      while (level < LEVELS - 1 && framesIn(level + 1) <= framesPerPixel * WIDEST_BIN_PX) level += 1;
      return level;
    };
    /** What a short tile lacks, and its last bin again: that one may have been still filling. */
    const fetchTile = async (level, index) => {
      const key = `${level}:${index}`;
      const held = tiles.get(key);
      if (held?.coming) return held.coming;
      const tile = held ?? { data: new Int8Array(0), bins: 0 };
      const epoch = fetches, from = Math.max(0, tile.bins - 1);
      tile.coming = (async () => {
        const answer = await fetch(`${facts.peaks}?level=${level}&start=${index * TILE_BINS + from}&count=${TILE_BINS - from}`);
        const drawn = answer.status === 200 && !answer.redirected && new Int8Array(await answer.arrayBuffer());
        if (epoch !== fetches) return;
        tile.failed = !drawn;
        if (!drawn) return;
        const stride = 2 * facts.channels, bins = from + Math.floor(drawn.length / stride);
        const data = new Int8Array(bins * stride);
        data.set(tile.data.subarray(0, from * stride));
        data.set(drawn.subarray(0, (bins - from) * stride), from * stride);
        [tile.data, tile.bins] = [data, bins];
        tile.whole = tile.bins === TILE_BINS;
        const frames = Number(answer.headers.get("Reelkeeper-Frames"));
        if (frames / facts.rate > known) {
          known = frames / facts.rate;
          onGrow(known);
        }
      })().catch(() => { tile.failed = true; }).finally(() => { tile.coming = null; tile.at = performance.now(); later(); });
      tiles.delete(key);
      tiles.set(key, tile);
      while (tiles.size > TILES_KEPT) tiles.delete(tiles.keys().next().value);
      return tile.coming;
    };
    const tileOf = (level, index) => {
      const tile = tiles.get(`${level}:${index}`);
      const isLacking = tile && (tile.failed || (facts.growing && !tile.whole)) && !tile.coming && performance.now() - tile.at > GROW_MS;
      if (!tile || isLacking) fetchTile(level, index);
      return tile;
    };

    // ---- painting ----

    const palette = () => {
      const probe = document.createElement("i");
      document.body.append(probe);
      const style = {};
      for (const name of ["wave", "line", "muted", "warn", "bad"]) {
        probe.style.color = `var(--${name})`;
        style[name] = getComputedStyle(probe).color;
      }
      probe.remove();
      return style;
    };
    const later = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; paint(); });
    };
    const paint = () => {
      if (!facts || !canvas.clientWidth) return;
      const ratio = Math.min(2, devicePixelRatio || 1);
      const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      colours = palette();
      pen.clearRect(0, 0, width, height);
      const level = levelFor(), lane = (height - RULER * ratio) / facts.channels;
      for (let channel = 0; channel < facts.channels; channel += 1) paintChannel(channel, level, lane * channel, lane, width, ratio);
      paintMoments(width, height - RULER * ratio, ratio);
      paintRuler(width, height, ratio);
    };
    const paintMoments = (width, height, ratio) => {
      for (const { at, length, kind } of moments) {
        const x = ((at - view.start) / view.span) * width, wide = Math.max(2 * ratio, (length / view.span) * width);
        if (x > width || x + wide < 0) continue;
        pen.strokeStyle = pen.fillStyle = kind === "critical" ? colours.bad : colours.warn;
        pen.lineWidth = ratio;
        if (kind !== "gap") { pen.fillRect(x, 0, 1.5 * ratio, height); continue; }
        pen.save();
        pen.beginPath();
        pen.rect(x, 0, wide, height);
        pen.clip();
        for (let from = Math.max(x, 0) - height; from < Math.min(x + wide, width); from += 7 * ratio) {
          pen.beginPath();
          pen.moveTo(from, height);
          pen.lineTo(from + height, 0);
          pen.stroke();
        }
        pen.restore();
      }
    };
    const paintChannel = (channel, level, top, lane, width, ratio) => {
      const middle = top + lane / 2, half = lane / 2 - 2 * ratio, perBin = framesIn(level) / facts.rate;
      pen.fillStyle = colours.line;
      pen.fillRect(0, Math.round(middle), width, Math.max(1, ratio / 2));
      if (channel) pen.fillRect(0, Math.round(top), width, ratio);
      pen.fillStyle = colours.wave;
      const stride = 2 * facts.channels, end = Math.ceil(known / perBin);
      for (let x = 0; x < width; x += 1) {
        const first = Math.floor((view.start + (x / width) * view.span) / perBin);
        const last = Math.max(first + 1, Math.floor((view.start + ((x + 1) / width) * view.span) / perBin));
        let low = 127, high = -128;
        for (let bin = Math.max(0, first); bin < last && bin < end; bin += 1) {
          const tile = tileOf(level, Math.floor(bin / TILE_BINS)), at = bin % TILE_BINS;
          if (!tile || at >= tile.bins) continue;
          low = Math.min(low, tile.data[at * stride + 2 * channel]);
          high = Math.max(high, tile.data[at * stride + 2 * channel + 1]);
        }
        if (low > high) continue;
        const above = Math.max(0.5, high / 128 * half), below = Math.max(0.5, -low / 128 * half);
        pen.fillRect(x, middle - above, 1, above + below);
      }
      if (facts.channels > 1) {
        pen.fillStyle = colours.muted;
        pen.font = `${11 * ratio}px system-ui, sans-serif`;
        pen.fillText(`${channel + 1}`, 5 * ratio, top + 13 * ratio);
      }
    };
    const paintRuler = (width, height, ratio) => {
      const step = STEPS.find((seconds) => (seconds / view.span) * width >= 84 * ratio) ?? STEPS.at(-1);
      pen.font = `${11 * ratio}px system-ui, sans-serif`;
      pen.textAlign = "left";
      for (let index = Math.ceil(view.start / step); index * step <= view.start + view.span; index += 1) {
        const at = index * step, x = Math.round(((at - view.start) / view.span) * width);
        pen.fillStyle = colours.line;
        pen.fillRect(x, height - RULER * ratio, ratio, 6 * ratio);
        pen.fillStyle = colours.muted;
        pen.fillText(step < 1 ? reelkeeper.asClock(at) + (at % 1).toFixed(1).slice(1) : reelkeeper.asClock(at + 0.001), x + 4 * ratio, height - 5 * ratio);
      }
    };

    // ---- what is in view ----

    const total = () => Math.max(known, 0.001);
    const settle = (start, span) => {
      view.span = Math.min(Math.max(span, SHORTEST_S), Math.max(total(), SHORTEST_S));
      view.start = Math.min(Math.max(0, start), Math.max(0, total() - view.span));
      all = view.span >= total() - 0.001;
      onView(view, total());
      later();
    };
    const tail = () => {
      const span = Math.max(view.tail ?? 30, SHORTEST_S);
      view.span = span;
      view.start = Math.max(0, known - span);
      onView(view, total());
      later();
    };
    const api = {
      view,
      get known() { return known; },
      /** What is to be drawn, and what happened when; the same again keeps what is in view. */
      show(next, happened) {
        moments = happened;
        const isNew = !facts;
        const hasSettled = facts?.growing && !next.growing;
        facts = next;
        if (hasSettled) { tiles.clear(); fetches += 1; }
        known = facts.growing ? Math.max(known, facts.seconds) : facts.seconds;
        canvas.style.height = `${Math.min(facts.channels, 8) * (facts.channels > 2 ? 52 : 84) + RULER}px`;
        if (isNew) {
          follows = facts.growing;
          if (follows) tail();
          else settle(0, known <= 600 ? known : 120);
        } else if (!follows) settle(view.start, all ? known : view.span);
        later();
      },
      follow(on) {
        follows = on;
        if (on) { view.tail = Math.min(view.span, 120); tail(); }
      },
      zoom(factor, around = view.start + view.span / 2) {
        const span = Math.min(Math.max(view.span * factor, SHORTEST_S), total());
        if (follows) { view.tail = span; tail(); } else settle(around - ((around - view.start) / view.span) * span, span);
      },
      all() { api.leave(); settle(0, total()); },
      pan(seconds) { api.leave(); settle(view.start + seconds, view.span); },
      /** Keeps the moment in view. */
      reveal(seconds) {
        if (follows || all) return;
        if (seconds < view.start || seconds > view.start + view.span) settle(seconds - view.span * 0.1, view.span);
      },
      leave() {
        if (follows) { follows = false; frame.dispatchEvent(new CustomEvent("wave:left")); }
      },
      paint: later,
    };

    // ---- hands ----

    const secondsAt = (x) => {
      const box = canvas.getBoundingClientRect();
      return view.start + ((x - box.left) / box.width) * view.span;
    };
    let grabbed = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      grabbed = { x: event.clientX, start: view.start, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!grabbed) return;
      const by = event.clientX - grabbed.x;
      if (Math.abs(by) > 4) grabbed.moved = true;
      if (grabbed.moved) { api.leave(); settle(grabbed.start - (by / canvas.clientWidth) * view.span, view.span); }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (grabbed && !grabbed.moved) onSeek(secondsAt(event.clientX));
      grabbed = null;
    });
    canvas.addEventListener("pointercancel", () => { grabbed = null; });
    canvas.addEventListener("wheel", (event) => {
      const unit = event.deltaMode === 1 ? 24 : 1;
      if (event.ctrlKey || event.metaKey || event.altKey) {
        event.preventDefault();
        api.zoom(Math.exp(event.deltaY * unit * 0.004), secondsAt(event.clientX));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        api.pan(((event.deltaX || event.deltaY) * unit / canvas.clientWidth) * view.span);
      }
    }, { passive: false });

    // ---- while it grows ----

    api.grow = async () => {
      const level = levelFor(), before = known;
      await fetchTile(level, Math.floor(known * facts.rate / framesIn(level) / TILE_BINS));
      if (known > before && follows) tail();
      else if (known > before && all) settle(0, known);
    };
    setInterval(() => { if (facts?.growing && !document.hidden) api.grow(); }, GROW_MS);

    new ResizeObserver(later).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
    return api;
  };
}
