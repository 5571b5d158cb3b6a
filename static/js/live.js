"use strict";
// One stream a visible tab. Events say what changed; the element that shows it fetches itself again.
//
// <body data-live="/events?topics=job,node">  opens it.  <p data-live-on="job:ID recording" hx-get=… hx-trigger="live">
// hears of it; `job:new` hears of jobs that nothing on the page shows. Every opening of the stream is followed by
// `resync`: then every such element fetches itself once, with those that lie within it. Each has an id.

{
  const QUIET_MS = 5000, TELL_AFTER_MS = 3000, SILENT_MS = 40000, ROW_MS = 50, WHOLE_MS = 300, REST_MS = 200, AGAIN_MS = 5000, METERS = 64;
  const NOUNS = ["recording", "job", "node", "health", "upload", "schedule", "settings", "audit"];
  const badge = document.getElementById("live");
  const address = document.body.dataset.live;
  let stream = null, closing = null, telling = null, heardAt = 0, updatedAt = null, retry = 500;

  const say = (state, text) => {
    if (badge) {
      badge.dataset.state = state;
      const words = badge.querySelector("[data-says]");
      if (words.textContent !== text) words.textContent = text;
    }
    document.body.classList.toggle("stale", state !== "live");
    document.dispatchEvent(new CustomEvent("live:state", { detail: state }));
  };

  // ---- elements ----

  // By id: the answer to an earlier fetch may put another element in the place of the one that heard the news.
  const waiting = new Map();
  const isInUse = (element) =>
    (element.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, summary")) ||
    element.querySelector("details.menu[open], dialog[open], input:checked:not([data-plain])");
  const refresh = (id) => {
    waiting.delete(id);
    const element = document.getElementById(id);
    if (!element) return;
    // What is on its way may be older than this news; what has just come does not hear yet.
    if (element.closest(".htmx-request, .htmx-added, .htmx-settling")) return wake(element);
    if (element.matches(":active")) return wake(element, REST_MS);  // a press that loses its element is no click
    if (isInUse(element)) {
      if ("stale" in element.dataset) return;
      element.dataset.stale = "";
      element.addEventListener("focusout", () => {
        delete element.dataset.stale;
        wake(element, REST_MS);
      }, { once: true });
      return;
    }
    delete element.dataset.stale;
    htmx.trigger(element, "live");
  };
  const wake = ({ id }, ms = ROW_MS) => {
    if (!waiting.has(id)) waiting.set(id, setTimeout(refresh, ms, id));
  };
  // HTMX gives the focus back to the element of the same id; here also to the link to the same place.
  const held = new Map();
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { target } = detail;
    if (detail.requestConfig.triggeringEvent?.type === "live" && target.matches(":active")) {
      detail.shouldSwap = false;
      wake(target, REST_MS);
      return;
    }
    const link = document.activeElement;
    if (target.contains(link) && !link.id) held.set(target.id, link.getAttribute("href"));
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const [id, href] of held) {
      const same = href && document.querySelector(`#${CSS.escape(id)} a[href="${CSS.escape(href)}"]`);
      if (same && document.activeElement === document.body) same.focus();
    }
    held.clear();
  });

  /** What could not be fetched shows that it is old, and is fetched again. */
  const failed = ({ detail }) => {
    const { elt: element, xhr, requestConfig } = detail;
    if (requestConfig?.triggeringEvent?.type !== "live" || (xhr.status >= 400 && xhr.status < 500)) return;
    element.dataset.stale = "";
    setTimeout(() => {
      delete element.dataset.stale;
      wake(element);
    }, AGAIN_MS);
  };
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) document.addEventListener(name, failed);
  const tell = (noun, id) => {
    const found = (on) => document.querySelectorAll(`[data-live-on~="${CSS.escape(on)}"]`);
    const known = found(`${noun}:${id}`);
    known.forEach((element) => wake(element));
    if (!known.length) found(`${noun}:new`).forEach((element) => wake(element, WHOLE_MS));
    found(noun).forEach((element) => wake(element, WHOLE_MS));
  };

  // ---- the stream ----

  const heard = () => { heardAt = performance.now(); updatedAt = new Date(); };
  const isLive = () => {
    clearTimeout(telling);
    telling = null;
    retry = 500;
    heard();
    say("live", "Live");
  };
  const isLost = () => {
    telling ??= setTimeout(() => say("reconnecting",
      `Reconnecting… last update ${updatedAt ? updatedAt.toLocaleTimeString([], { hour12: false, timeZone: document.body.dataset.zone || undefined }) : "at load"}`), TELL_AFTER_MS);
  };
  const isInView = (element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  /** The inputs whose levels are wanted: all, or those in view where a page has more than one stream may carry. */
  const watched = () => {
    const banks = [...document.querySelectorAll("[data-meters]")], idsOf = (some) => [...new Set(some.map((bank) => bank.dataset.meters))];
    const ids = idsOf(banks);
    return (ids.length > METERS ? idsOf(banks.filter(isInView)).slice(0, METERS) : ids).sort().join(",");
  };
  const fullAddress = () => {
    const ids = watched();
    return ids ? `${address}${address.includes("?") ? "&" : "?"}meters=${ids}` : address;
  };
  const open = () => {
    clearTimeout(closing);
    closing = null;
    if (stream || document.hidden) return;
    const opened = stream = new EventSource(fullAddress());
    opened.metersAsked = watched();
    opened.addEventListener("open", isLive);
    opened.addEventListener("error", () => {
      if (opened !== stream) return;
      isLost();
      if (opened.readyState === EventSource.CLOSED) {
        shut();
        document.querySelectorAll("#bar-counts").forEach((element) => wake(element));  // leads to the sign-in when the session has ended
        setTimeout(open, retry);
        retry = Math.min(retry * 2, 5000);
      }
    });
    opened.addEventListener("ping", heard);
    opened.addEventListener("resync", () => {
      isLive();
      for (const element of document.querySelectorAll("[data-live-on]")) {
        if (!element.parentElement.closest("[data-live-on]")) wake(element, WHOLE_MS);
      }
    });
    for (const noun of NOUNS) {
      opened.addEventListener(noun, (event) => {
        heard();
        tell(noun, event.data.split(" ")[0]);
      });
    }
    opened.addEventListener("meters", (event) => {
      heard();
      document.dispatchEvent(new CustomEvent("live:meters", { detail: JSON.parse(event.data) }));
    });
  };
  const shut = () => {
    stream?.close();
    stream = null;
  };

  if (address) {
    if (document.hidden) say("paused", "Paused");
    else say("off", "Connecting…");
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) open();
      else closing ??= setTimeout(() => {
        closing = null;
        shut();
        clearTimeout(telling);
        telling = null;
        say("paused", "Paused");
      }, QUIET_MS);
    });
    addEventListener("pagehide", shut);
    addEventListener("pageshow", (event) => { if (event.persisted) open(); });
    setInterval(() => {
      if (stream && heardAt && performance.now() - heardAt > SILENT_MS) { isLost(); shut(); open(); }
      else if (stream && stream.metersAsked !== watched()) { shut(); open(); }
    }, 1000);
    open();
  }
}
