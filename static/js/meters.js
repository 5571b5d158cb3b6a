"use strict";
// Level meters: <div class="meters" data-meters="INTERFACE" data-channels="0 1" data-label="…"></div>
// Numbers come from the stream several times a second; a canvas a channel is painted once a frame.

{
  const FLOOR_DB = -60, FALL_DB_A_SECOND = 24, HOLD_MS = 1500, CLIP_MS = 4000, TELL_MS = 2000, WRITE_MS = 400, SILENT_AFTER_MS = 1500;
  const banks = new Map();
  const share = (db) => Math.max(0, Math.min(1, (db - FLOOR_DB) / -FLOOR_DB));
  const inWords = (db, clipped) =>
    db <= FLOOR_DB ? "silent" : `${Math.round(db)} decibel, ${clipped ? "clipping" : db > -6 ? "loud" : db < -45 ? "very quiet" : "fine"}`.replace("-", "−");

  const nameOf = (bank, index) => bank.dataset.names?.split("|")[index] || String(index + 1);
  const channelOf = (bank, index) => {
    const row = document.createElement("div");
    row.className = "meter";
    row.innerHTML = "<span></span><canvas aria-hidden=\"true\"></canvas><output></output>";
    const name = `Channel ${nameOf(bank, index)}`;
    row.firstChild.textContent = nameOf(bank, index);
    row.firstChild.title = nameOf(bank, index);
    row.setAttribute("role", "meter");
    row.setAttribute("aria-label", bank.dataset.label ? `${bank.dataset.label}, ${name.replace("Channel", "channel")}` : name);
    for (const [key, value] of [["valuemin", FLOOR_DB], ["valuemax", 0], ["valuenow", FLOOR_DB], ["valuetext", "no signal yet"]]) row.setAttribute(`aria-${key}`, value);
    bank.append(row);
    return { row, canvas: row.children[1], says: row.children[2], rms: -Infinity, loudest: -Infinity, shown: -Infinity, peak: -Infinity, peakAt: 0, clipAt: -Infinity, toldAt: 0, writtenAt: 0 };
  };

  const isSame = (one, other) => ["meters", "channels", "label", "names"].every((name) => one[name] === other[name]);
  const find = () => {
    for (const bank of document.querySelectorAll("[data-meters]")) {
      if (banks.has(bank)) continue;
      const before = [...banks.keys()].find((one) => !one.isConnected && isSame(one.dataset, bank.dataset));
      if (before) {  // the page has fetched itself again: the needles stay where they are
        bank.replaceChildren(...before.children);
        banks.set(bank, banks.get(before));
        banks.delete(before);
        continue;
      }
      bank.replaceChildren();
      const wanted = bank.dataset.channels ? bank.dataset.channels.split(" ").map(Number) : [0];
      banks.set(bank, { at: 0, channels: new Map(wanted.map((index) => [index, channelOf(bank, index)])) });
    }
    for (const bank of banks.keys()) if (!bank.isConnected) banks.delete(bank);
  };

  document.addEventListener("live:meters", (event) => {
    const now = performance.now();
    const { interface: id, channels } = event.detail;
    find();
    for (const [bank, held] of banks) {
      if (bank.dataset.meters !== id) continue;
      held.at = channels.length ? now : held.at;
      for (const [index, meter] of held.channels) {
        const heard = channels[index];
        if (!heard) continue;
        meter.rms = heard.rms ?? -Infinity;
        meter.loudest = Math.max(meter.loudest, meter.rms);
        const peak = heard.peak ?? -Infinity;
        if (peak >= meter.peak || now - meter.peakAt > HOLD_MS) { meter.peak = peak; meter.peakAt = now; }
        if (heard.clip) meter.clipAt = now;
      }
    }
  });

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let before = performance.now(), colours = null, coloursAt = 0;
  const paint = (now) => {
    const seconds = (now - before) / 1000;
    before = now;
    if (!colours || now - coloursAt > 2000) {
      const style = getComputedStyle(document.body);
      colours = Object.fromEntries(["meter-good", "meter-warn", "record", "ink"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
      const probe = document.createElement("i");
      document.body.append(probe);
      for (const name of Object.keys(colours)) { probe.style.color = `var(--${name})`; colours[name] = getComputedStyle(probe).color; }
      probe.remove();
      coloursAt = now;
    }
    for (const [bank, { at, channels }] of banks) {
      const silent = now - at > SILENT_AFTER_MS;
      for (const meter of channels.values()) {
        const target = silent ? -Infinity : meter.rms;
        meter.shown = still.matches ? target : Math.max(target, meter.shown - FALL_DB_A_SECOND * seconds);
        draw(meter, silent, now);
        if (now - meter.writtenAt > WRITE_MS) write(meter, silent, now);
        if (now - meter.toldAt > TELL_MS || meter.wasSilent !== silent) tell(meter, silent, now);
      }
      bank.classList.toggle("quiet", silent);
    }
    requestAnimationFrame(paint);
  };
  const draw = (meter, silent, now) => {
    const { canvas } = meter;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const bars = [[-Infinity, -18, "meter-good"], [-18, -6, "meter-warn"], [-6, 0, "record"]];
    for (const [from, to, colour] of bars) {
      const [left, right] = [share(from) * width, Math.min(share(to), share(meter.shown)) * width];
      if (right > left) { pen.fillStyle = colours[colour]; pen.fillRect(left, 0, right - left, height); }
    }
    if (!silent && meter.peak > FLOOR_DB) { pen.fillStyle = colours.ink; pen.fillRect(Math.min(width - 2 * ratio, share(meter.peak) * width), 0, 2 * ratio, height); }
    if (now - meter.clipAt < CLIP_MS) { pen.fillStyle = colours.record; pen.fillRect(width - 8 * ratio, 0, 8 * ratio, height); }
  };
  const write = (meter, silent, now) => {
    meter.writtenAt = now;
    meter.says.textContent = silent ? "–" : meter.rms <= -100 ? "−∞ dB" : `${meter.rms.toFixed(0).replace("-", "−")} dB`;
  };
  const tell = (meter, silent, now) => {
    meter.toldAt = now;
    meter.wasSilent = silent;
    const clipped = now - meter.clipAt < CLIP_MS;
    meter.row.setAttribute("aria-valuenow", Math.max(FLOOR_DB, Math.round(silent ? FLOOR_DB : meter.loudest)));
    meter.row.setAttribute("aria-valuetext", silent ? "no signal yet" : inWords(meter.loudest, clipped));
    meter.loudest = meter.rms;
  };

  find();
  document.addEventListener("htmx:afterSettle", find);
  requestAnimationFrame(paint);
}
