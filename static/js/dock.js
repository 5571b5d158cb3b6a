"use strict";
// Play from a list: one player at the foot of the page. Without script the same links lead to the recording's page.

{
  const dock = document.getElementById("dock"), audio = dock.querySelector("audio"), name = dock.querySelector("[data-dock-name]");
  let playing = null;

  const show = () => {
    for (const link of document.querySelectorAll("[data-play]")) {
      link.classList.toggle("on", link.dataset.play === playing && !audio.paused);
    }
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-play]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (playing === link.dataset.play && !audio.paused) { audio.pause(); return; }
    if (playing !== link.dataset.play) {
      playing = audio.src = link.dataset.play;
      name.textContent = link.dataset.name;
      name.href = link.href;
      dock.hidden = false;
    }
    audio.play().catch(() => {});
  });
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest?.("[data-row]");
    if (event.key !== "p" || !row || localStorage.getItem("keys") === "off" || event.ctrlKey || event.metaKey || event.altKey) return;
    row.querySelector("[data-play]")?.click();
  });
  dock.querySelector("[data-dock-close]").addEventListener("click", () => {
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
    playing = null;
    dock.hidden = true;
    show();
  });
  name.addEventListener("click", () => {
    const at = audio.duration === Infinity ? 0 : audio.currentTime;
    if (at > 1) name.href = `${name.href.split("?")[0]}?t=${at.toFixed(1)}`;
  });
  for (const type of ["play", "pause", "ended"]) audio.addEventListener(type, show);
  document.addEventListener("htmx:afterSwap", show);
}
