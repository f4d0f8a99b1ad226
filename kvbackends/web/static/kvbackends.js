// Keeps a page up to date, and appends the next results of a list.
"use strict";

const live = document.getElementById("live");
const pulse = document.getElementById("pulse");
const pause = document.getElementById("pause");
const said = document.getElementById("said");
let source = null;

function say(text) {
  if (said.textContent !== text) said.textContent = text;
}

function scrolling() {
  return [...live.querySelectorAll(".wide, pre")];
}

function show(html) {
  const selection = document.getSelection();
  if (!selection.isCollapsed && live.contains(selection.anchorNode)) return; // it may be copied
  const focused = live.contains(document.activeElement) && document.activeElement.id;
  const places = scrolling().map((each) => [each.scrollLeft, each.scrollTop]);
  live.innerHTML = html; // escaped by the server; the page's policy runs no script in it
  scrolling().forEach((each, index) => {
    [each.scrollLeft, each.scrollTop] = places[index] || [0, 0];
  });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  watchMore();
}

function listen() {
  if (source || document.hidden || pause.getAttribute("aria-pressed") === "true") return;
  source = new EventSource(live.dataset.live);
  source.onopen = () => say("Live");
  source.onerror = () => say("No connection: the page shows what was known last");
  source.addEventListener("changed", (event) => show(event.data));
}

function stop() {
  source?.close();
  source = null;
}

function setPaused(paused) {
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    stop();
    say("Paused");
  } else {
    listen();
  }
}

async function more(event) {
  event?.preventDefault();
  const link = document.getElementById("more");
  if (!link || link.dataset.loading) return;
  link.dataset.loading = "yes";
  setPaused(true); // an update would take the appended rows away
  const response = await fetch(link.href);
  if (!response.ok) {
    location.href = link.href;
    return;
  }
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  const rows = [...(next.getElementById("rows")?.rows ?? [])];
  const hadFocus = document.activeElement === link;
  document.getElementById("rows").append(...rows);
  const following = next.getElementById("more");
  if (following) link.replaceWith(following);
  else link.remove();
  if (hadFocus) rows[0]?.querySelector("a")?.focus();
  say(`${document.getElementById("rows").rows.length} results are listed`);
  watchMore();
}

const reached = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && window.scrollY > 0) more();
});

function watchMore() {
  reached.disconnect();
  const link = document.getElementById("more");
  if (!link) return;
  link.addEventListener("click", more);
  reached.observe(link);
}

if (live) {
  pulse.hidden = false;
  pause.addEventListener("click", () => setPaused(pause.getAttribute("aria-pressed") !== "true"));
  // A browser has six connections to a site: hidden pages leave them to the others.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", listen);
  watchMore();
}
