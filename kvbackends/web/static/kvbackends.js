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

// Changes what differs and keeps the rest, with its focus, its selection and where it was scrolled.
function patch(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, fresh);
}

// An element with an id stays the element of that id; the others are matched by their places.
function patchChildren(old, fresh) {
  const named = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let place = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = next.id ? named.get(next.id) : place && !place.id && place;
    if (!same || same.nodeName !== next.nodeName) {
      old.insertBefore(next, place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else old.insertBefore(same, place);
    patch(same, next);
  }
  while (place) {
    const following = place.nextSibling;
    place.remove();
    place = following;
  }
}

function show(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html; // escaped by the server; the page's policy runs no script in it
  patchChildren(live, fresh.content);
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
