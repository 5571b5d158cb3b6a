"use strict";
// The first run: a password that can be looked at, and what is heard of each input in words.

{
  for (const box of document.querySelectorAll("[data-shows]")) {
    const field = document.getElementById(box.dataset.shows);
    box.addEventListener("change", () => { field.type = box.checked ? "text" : "password"; });
  }

  const SILENT_DB = -55, LOUD_DB = -6, HELD_MS = 2000, SAY_MS = 700;
  const heard = new Map();
  let touched = false;
  document.addEventListener("change", (event) => { touched ||= event.target.name === "interface_id"; });
  document.addEventListener("live:meters", ({ detail: { interface: id, channels } }) => {
    const now = performance.now(), input = heard.get(id) ?? { peaks: [], clipAt: -Infinity, saidAt: 0, since: now };
    heard.set(id, input);
    channels.forEach((channel, index) => {
      if (channel.peak != null && channel.peak > (input.peaks[index]?.peak ?? -Infinity)) input.peaks[index] = { peak: channel.peak, at: now };
      else if (input.peaks[index] && now - input.peaks[index].at > HELD_MS) input.peaks[index] = channel.peak == null ? undefined : { peak: channel.peak, at: now };
      if (channel.clip) input.clipAt = now;
    });
    if (now - input.saidAt > SAY_MS) { input.saidAt = now; say(id, input, now); }
  });
  const say = (id, input, now) => {
    const line = document.querySelector(`[data-heard="${CSS.escape(id)}"]`);
    if (!line) return;
    const moving = input.peaks.flatMap((held, index) => (held && held.peak > SILENT_DB ? [index + 1] : []));
    const state = now - input.clipAt < HELD_MS ? "clipping" : moving.length ? "heard" : "silent";
    const loudest = Math.max(...input.peaks.map((held) => held?.peak ?? -Infinity));
    const words = {
      clipping: "Clipping: turn it down a little.",
      heard: `I hear you on ${moving.length > 2 ? `${moving.length} channels` : `channel${moving.length > 1 ? "s" : ""} ${moving.join(" and ")}`}${loudest > LOUD_DB ? ", loud" : ""}.`,
      silent: "Silent.",
    }[state];
    line.dataset.state = state;
    if (line.textContent !== words) line.textContent = words;
    prefer();
  };
  /** The microphone or line that is heard, as long as nobody has chosen and what is preselected stays silent. */
  const prefer = () => {
    const chosen = document.querySelector("[name=interface_id]:checked");
    if (touched || !chosen || document.querySelector(`[data-heard="${CSS.escape(chosen.value)}"]`)?.dataset.state !== "silent") return;
    const better = document.querySelector(".choice-of-input:not([data-test]) [data-state=heard]");
    if (better) better.closest(".choice-of-input").querySelector("[name=interface_id]").checked = true;
  };
}
