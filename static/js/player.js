"use strict";
// The sound of one recording: finished, or while it grows. What it is stands in `.sound-facts`, which the page refreshes.
//
// A finished WAV or FLAC is sought in the file. MP3 cannot be sought exactly by browsers, and what grows has no end:
// there every seek opens a new stream that begins at the moment. `base` is the moment at which the element reads zero:
// frames of FLAC carry their own time, others count from where the stream began.

{
  const byId = (id) => document.getElementById(id);
  const audio = byId("audio"), seek = byId("seek"), stage = byId("timeline");
  const BEHIND_S = 0.3, RETRY_MS = 800, SETTLE_MS = 120, NEAR_S = 2.4, CATCH_UP = 1.15;
  let facts = null, base = 0, streams = false, pending = null, loading = null, wants = false, opening = null, retries = 0, isNewest = false;

  // ---- what is there ----

  const read = () => {
    const { sound, codec, seconds, rate, channels, audio: file, liveSound, peaks, ageMs } = stage.querySelector(".sound-facts").dataset;
    return {
      sound, codec, file, live: liveSound, peaks, growing: sound === "growing",
      seconds: Number(seconds), rate: Number(rate), channels: Number(channels),
      startedAt: ageMs ? performance.now() - Number(ageMs) : null,
    };
  };
  const happened = () => [...stage.querySelectorAll(".mark")].map(({ dataset }) => ({ at: Number(dataset.at), length: Number(dataset.length), kind: dataset.kind }));
  const total = () => Math.max(facts.growing ? Math.max(wave.known, base + audio.currentTime) : facts.seconds, 0.001);
  const now = () => pending ?? loading ?? base + audio.currentTime;

  // ---- moving ----

  const setSource = (address, from) => {
    loading = from;
    audio.src = address;
    audio.playbackRate = audio.defaultPlaybackRate = Number(byId("speed").value);
    if (wants) audio.play().catch(stopped);
  };
  audio.addEventListener("loadeddata", () => {
    if (loading === null) return;
    const tellsItsTime = audio.buffered.length > 0 && audio.buffered.start(0) > loading / 2;
    base = streams && !tellsItsTime ? loading : 0;
    if (!streams) audio.currentTime = loading;
    loading = null;
    tick();
  });
  const begin = (seconds) => {
    const isOpen = !streams && loading === null && audio.readyState > 0 && audio.currentSrc.endsWith(facts.file);
    streams = facts.growing || (facts.codec === "mp3" && seconds > 0);
    pending = null;
    if (streams) setSource(`${facts.live}?from_seconds=${seconds.toFixed(3)}`, seconds);
    else if (!isOpen) setSource(facts.file, seconds);
    else {
      audio.currentTime = seconds;
      if (wants) audio.play().catch(stopped);
    }
    tick();
  };
  const moveTo = (seconds, { play = wants } = {}) => {
    if (facts.sound === "none") return;
    const last = facts.growing ? Math.max(0, total() - BEHIND_S) : facts.seconds;
    isNewest = facts.growing && seconds >= last;
    pending = Math.min(Math.max(0, seconds), last);
    wants = play;
    retries = 0;
    wave.reveal(pending);
    clearTimeout(opening);
    opening = setTimeout(() => open(), streams || facts.growing || facts.codec === "mp3" ? SETTLE_MS : 0);
    tick();
  };
  const open = async () => {
    if (isNewest) {
      await wave.grow();
      pending = Math.max(pending ?? 0, total() - BEHIND_S);
    }
    begin(pending ?? 0);
  };
  const play = () => {
    wants = true;
    const isFresh = !audio.currentSrc || !audio.getAttribute("src");
    if (pending !== null || isFresh || audio.error) {
      moveTo(pending ?? (facts.growing ? total() : 0), { play: true });
    } else if (audio.ended || now() >= total() - 0.05) moveTo(facts.growing ? total() : 0, { play: true });
    else audio.play().catch(stopped);
    tick();
  };
  /** Whoever listens to the newest gets nearer to it, a little faster than it is spoken, while enough is there. */
  const keepNear = (behind) => {
    const { buffered, currentTime } = audio;
    const ahead = buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
    const rate = Number(byId("speed").value);
    if (!isNewest || rate !== 1) return;
    if (ahead < 0.3 || behind < NEAR_S) audio.playbackRate = rate;
    else if (ahead > 0.6) audio.playbackRate = rate * CATCH_UP;
  };
  const pause = () => {
    wants = false;
    audio.pause();
    if (facts.growing) pending = now();
    tick();
  };
  const stopped = (fault) => {
    if (fault.name === "AbortError") return;
    if (fault.name === "NotAllowedError") { wants = false; say("Press play to hear it."); }
    tick();
  };
  const say = (text) => { byId("player-says").textContent = text; };

  /** The stream broke off, or what was there has been heard: go on where it was, a few times. */
  const goOn = () => {
    pending = now();
    if ((retries += 1) > 5) { wants = false; say("The sound cannot be had now. Press play to try again."); tick(); return; }
    clearTimeout(opening);
    opening = setTimeout(() => { if (wants && pending !== null) begin(pending); }, RETRY_MS * retries);
  };
  audio.addEventListener("ended", () => {
    if (wants && (facts.growing || now() < total() - 1)) goOn();
    else { wants = false; tick(); }
  });
  audio.addEventListener("error", () => { if (audio.getAttribute("src") && wants) goOn(); });
  audio.addEventListener("playing", () => { retries = 0; say(""); });
  for (const name of ["play", "pause", "playing", "waiting", "timeupdate", "seeked", "loadedmetadata"]) audio.addEventListener(name, () => tick());

  // ---- showing ----

  const exactly = (seconds) => `${reelkeeper.asClock(seconds)}.${Math.floor((seconds % 1) * 10)}`;
  const inWords = (seconds) => {
    const whole = Math.floor(seconds);
    const parts = [[Math.floor(whole / 3600), "hour"], [Math.floor(whole / 60) % 60, "minute"], [whole % 60, "second"]];
    return parts.filter(([number], index) => number || index === 2).map(([number, unit]) => `${number} ${unit}${number === 1 ? "" : "s"}`).join(" ");
  };
  const share = (seconds) => `${Math.min(100, Math.max(0, (seconds / total()) * 100))}%`;
  const line = document.querySelector("#detail .head-line");
  let told = -1;
  const tick = () => {
    const at = Math.min(now(), total());
    byId("position").textContent = exactly(at);
    byId("transport").classList.toggle("playing", wants);
    byId("play").setAttribute("aria-label", wants ? "Pause" : "Play");
    seek.querySelector(".head-line").style.insetInlineStart = share(at);
    const inView = (at - wave.view.start) / wave.view.span;
    line.hidden = inView < 0 || inView > 1;
    line.style.insetInlineStart = `${inView * 100}%`;
    if (facts.growing && facts.startedAt !== null) {
      const behind = (performance.now() - facts.startedAt) / 1000 - at;
      byId("edge").classList.toggle("at-edge", wants && behind < 5);
      byId("edge-says").textContent = wants ? `${behind.toFixed(1)} s behind` : "Newest";
      keepNear(behind);
    }
    const second = Math.floor(at);
    if (second !== told) {
      told = second;
      seek.setAttribute("aria-valuemax", Math.floor(total()));
      seek.setAttribute("aria-valuenow", second);
      seek.setAttribute("aria-valuetext", `${inWords(at)} of ${inWords(total())}`);
    }
  };
  const frame = () => {
    if (wants && !audio.paused) { tick(); wave.reveal(now()); }
    requestAnimationFrame(frame);
  };

  const wave = reelkeeper.wave({
    canvas: byId("wave"),
    view: byId("detail"),
    onSeek: (seconds) => moveTo(seconds),
    onView(view, whole) {
      const shown = seek.querySelector(".window");
      shown.hidden = view.span >= whole - 0.001;
      shown.style.insetInlineStart = `${(view.start / whole) * 100}%`;
      shown.style.inlineSize = `${Math.min(1, view.span / whole) * 100}%`;
      byId("spread").textContent = `${exactly(view.span)} in view`;
      if (facts) tick();
    },
    onGrow() {
      byId("total").textContent = reelkeeper.asClock(total());
      fit();
    },
  });
  /** The overview of what grows covers what it was drawn of. */
  const fit = () => {
    for (const drawing of stage.querySelectorAll("svg")) drawing.style.inlineSize = facts.growing ? share(facts.seconds) : "";
  };

  const settle = () => {
    const before = facts;
    const at = before && now();
    facts = read();
    for (const part of [seek, byId("detail"), byId("transport")]) part.hidden = facts.sound === "none";
    byId("player").hidden = facts.sound === "none";
    byId("edge").hidden = !facts.growing;
    document.querySelector(".follow").hidden = !facts.growing;
    if (facts.sound === "none") { wants = false; audio.pause(); return; }
    wave.show(facts, happened());
    byId("total").textContent = reelkeeper.asClock(total());
    fit();
    if (before?.growing && !facts.growing && !wants) pending = Math.min(at, facts.seconds);
    tick();
  };
  document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target === stage) settle(); });
  setInterval(() => {
    const isBehind = facts?.growing && wave.known - facts.seconds > Math.max(2, wave.known * 0.02);
    if (isBehind && !document.hidden) htmx.trigger(stage, "live");
  }, 2500);

  // ---- hands ----

  const at = (event) => {
    const box = seek.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * total();
  };
  let dragging = false;
  seek.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    dragging = true;
    seek.setPointerCapture(event.pointerId);
    hover(event);
  });
  seek.addEventListener("pointerup", (event) => {
    if (dragging) moveTo(at(event));
    dragging = false;
  });
  const hover = (event) => {
    const shown = seek.querySelector(".hover");
    shown.hidden = false;
    shown.textContent = reelkeeper.asClock(at(event));
    shown.style.insetInlineStart = share(at(event));
  };
  seek.addEventListener("pointermove", hover);
  seek.addEventListener("pointerleave", () => { seek.querySelector(".hover").hidden = true; });

  const moments = () => [...new Set([...stage.querySelectorAll("[data-seek]")].map((mark) => Number(mark.dataset.seek)))].sort((a, b) => a - b);
  const toEvent = (by) => {
    const places = moments();
    const found = by > 0 ? places.find((place) => place > now() + 0.5) : places.findLast((place) => place < now() - 2);
    if (found === undefined) reelkeeper.announce(by > 0 ? "No later event" : "No earlier event");
    else moveTo(found, { play: true });
  };
  const speedBy = (by) => {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(speed.length - 1, Math.max(0, speed.selectedIndex + by));
    speed.dispatchEvent(new Event("change"));
    reelkeeper.announce(`Speed ${speed.value}`);
  };
  const mute = () => {
    audio.muted = !audio.muted;
    byId("mute").setAttribute("aria-pressed", audio.muted);
  };
  const link = () => {
    const address = `${location.origin}${location.pathname}?t=${now().toFixed(1)}`;
    history.replaceState(null, "", address);
    if (navigator.clipboard) navigator.clipboard.writeText(address).then(() => say(`Copied: ${address}`));
    else say(address);
  };
  const toggle = () => (wants ? pause() : play());

  byId("play").addEventListener("click", toggle);
  byId("mute").addEventListener("click", mute);
  byId("moment").addEventListener("click", link);
  byId("edge").addEventListener("click", () => { byId("follow").checked = true; wave.follow(true); moveTo(total(), { play: true }); });
  byId("speed").addEventListener("change", () => { audio.playbackRate = audio.defaultPlaybackRate = Number(byId("speed").value); });
  byId("follow").addEventListener("change", () => wave.follow(byId("follow").checked));
  byId("detail").addEventListener("wave:left", () => { byId("follow").checked = false; });
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-move], [data-event], [data-zoom], [data-pan], [data-seek]");
    if (!pressed || facts.sound === "none") return;
    const { move, event: by, zoom, pan, seek: place } = pressed.dataset;
    if (move) moveTo(now() + Number(move));
    else if (by) toEvent(Number(by));
    else if (zoom === "all") wave.all();
    else if (zoom) wave.zoom(zoom === "in" ? 0.5 : 2, now() >= wave.view.start && now() <= wave.view.start + wave.view.span ? now() : undefined);
    else if (pan) wave.pan(Number(pan) * wave.view.span * 0.8);
    else if (place && !event.ctrlKey && !event.metaKey) { event.preventDefault(); moveTo(Number(place), { play: true }); }
  });
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    const typing = target.closest("input:not([type=checkbox], [type=range]), select, textarea");
    const isOn = target === seek || localStorage.getItem("keys") !== "off";
    if (!isOn || typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || facts.sound === "none" || document.querySelector("dialog[open]")) return;
    if (key === " " && target.closest("button, a, summary, input")) return;
    const step = event.shiftKey ? 60 : 5;
    const acts = {
      " ": toggle,
      ArrowLeft: () => moveTo(now() - step),
      ArrowRight: () => moveTo(now() + step),
      Home: () => moveTo(0),
      End: () => moveTo(total()),
      ",": () => toEvent(-1),
      ".": () => toEvent(1),
      "<": () => speedBy(-1),
      ">": () => speedBy(1),
      m: mute,
      c: link,
      "+": () => wave.zoom(0.5, now()),
      "=": () => wave.zoom(0.5, now()),
      "-": () => wave.zoom(2, now()),
      0: () => wave.all(),
    };
    if (target === seek) Object.assign(acts, { PageUp: acts.ArrowRight, PageDown: acts.ArrowLeft });
    if (acts[key]) { event.preventDefault(); acts[key](); }
  });

  // ---- stopped from here: the page stays, with what it plays ----

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.act || event.defaultPrevented || !form.closest("dialog")) return;
    event.preventDefault();
    fetch(form.action, { method: "POST", headers: { "Content-Type": "application/x-www-form-urlencoded" } })
      .then((answer) => {
        const isDone = answer.ok && new URL(answer.url).pathname === location.pathname;
        if (isDone) form.closest("dialog").close();
        else form.submit();
      }, () => {
        form.closest("dialog").close();
        reelkeeper.complain("The controller does not answer, and nothing was stopped. Try again in a moment.");
      });
  });

  audio.controls = false;
  audio.removeAttribute("src");
  audio.load();
  settle();
  const wanted = Number(new URLSearchParams(location.search).get("t"));
  if (wanted > 0 && facts.sound !== "none") { pending = Math.min(wanted, total()); wave.leave(); byId("follow").checked = false; wave.reveal(pending); tick(); }
  requestAnimationFrame(frame);
}
