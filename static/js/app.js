"use strict";
// What every page has: dialogs, single keys, clocks that count, the zone of the browser.

{
  const byId = (id) => document.getElementById(id);

  // ---- the zone, told once, so that the server writes times as people read them ----

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`reelkeeper_zone=${zone}`)) {
    document.cookie = `reelkeeper_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  // ---- clocks: data-since is the instant (ms) at which they would have read zero ----

  const two = (number) => String(number).padStart(2, "0");
  const asClock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };
  const tick = () => {
    for (const clock of document.querySelectorAll("[data-elapsed-ms]")) {
      clock.since ??= performance.now() - Number(clock.dataset.elapsedMs);
      clock.textContent = asClock((performance.now() - clock.since) / 1000);
    }
  };
  tick();
  setInterval(tick, 500);

  // ---- dialogs: a link to a page whose form also fits a dialog ----

  const dialog = byId("dialog");
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener && dialog && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      htmx.ajax("GET", opener.getAttribute("href"), { target: "#dialog-body", swap: "innerHTML", source: "#dialog-body" }).then(() => {
        const title = dialog.querySelector("h1, h2");
        if (!title) return;
        dialog.setAttribute("aria-label", title.textContent);
        if (!dialog.open) dialog.showModal();
        const first = dialog.querySelector("[autofocus]");
        first?.focus();
        first?.select?.();
      }, () => {});  // htmx:sendError has said it
    }
    const closer = event.target.closest("[data-close]");
    if (closer && closer.closest("dialog")) {
      event.preventDefault();
      closer.closest("dialog").close();
    }
    const named = event.target.closest("[data-open]");
    if (named) byId(named.dataset.open).showModal();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const copier = event.target.closest("[data-copy]");
    if (copier) {
      navigator.clipboard?.writeText(copier.dataset.copy).then(() => announce("Copied"));
    }
  });
  dialog?.addEventListener("close", () => byId("dialog-body").replaceChildren());

  const announce = (text) => { byId("announce").textContent = text; };
  const complain = (text) => {
    const alert = byId("alert");
    if (!alert) return;
    alert.textContent = text;
    alert.hidden = false;
  };
  window.reelkeeper = { announce, asClock, complain };

  // ---- a second press within the first second is a slip of the hand ----

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent && performance.now() - Number(form.dataset.sent) < 1000) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else form.dataset.sent = performance.now();
  }, true);

  // ---- what HTMX reports ----

  document.addEventListener("htmx:responseError", (event) => {
    const live = event.detail.requestConfig.triggeringEvent?.type === "live";
    if (!live) complain(new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").body.textContent.trim() || "The controller refused this.");
  });
  document.addEventListener("htmx:sendError", (event) => {
    if (event.detail.requestConfig.triggeringEvent?.type !== "live") complain("The controller does not answer. Nothing was lost here: try again in a moment.");
  });
  document.addEventListener("htmx:afterSwap", (event) => event.target.querySelector("[data-focus]")?.focus());
  document.querySelector("[data-focus]")?.focus();

  // ---- meters: their script comes with the first of them ----

  const bringMeters = () => {
    if (!document.querySelector("[data-meters]") || document.querySelector("script[data-of-meters]")) return;
    const script = document.createElement("script");
    script.src = document.body.dataset.metersScript;
    script.dataset.ofMeters = "";
    document.head.append(script);
  };
  bringMeters();
  document.addEventListener("htmx:afterSettle", bringMeters);

  // ---- single keys ----

  const keysOn = () => localStorage.getItem("keys") !== "off";
  const box = byId("keys-on");
  if (box) {
    box.checked = keysOn();
    box.addEventListener("change", () => localStorage.setItem("keys", box.checked ? "on" : "off"));
  }
  let after = null;
  const step = (by) => {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[Math.min(rows.length - 1, Math.max(0, at + by))] ?? rows[0];
    (row.querySelector("a") ?? row).focus();
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
    if (!keysOn() || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key;
    if (after === "g") {
      after = null;
      document.querySelector(`[data-go="${CSS.escape(key)}"]`)?.click();
      return;
    }
    const acts = {
      r: () => byId("record-button")?.click(),
      g: () => { after = "g"; setTimeout(() => { after = null; }, 1500); },
      j: () => step(1),
      k: () => step(-1),
      "/": () => document.querySelector("input[type=search]")?.focus(),
      "?": () => byId("keys")?.showModal(),
    };
    if (acts[key]) {
      event.preventDefault();
      acts[key]();
    }
  });
}
