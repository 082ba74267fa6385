"use strict";
// Keeps a page true: asks for it again and changes what differs, so that focus, selection and open details stay. A part
// with data-key is left alone while its key stays the same: nobody's typing is lost. When no answer comes, or an old
// one, the page says that it is old.
const EVERY_MS = 1000 * Number(document.body.dataset.refresh);
const DEADLINE_MS = 5000;
const LINES_KEPT = 200;
const banner = document.getElementById("old");
let asking = false;
let again = false;
let stream = null;

function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
  if (old.dataset.key !== undefined && old.dataset.key === fresh.dataset.key) return;
  const mine = (name) => name === "open" && old.nodeName === "DETAILS";
  for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name) && !mine(name)) old.removeAttribute(name);
  for (const name of fresh.getAttributeNames()) if (!mine(name)) old.setAttribute(name, fresh.getAttribute(name));
  let at = old.firstChild;
  for (const child of Array.from(fresh.childNodes)) {
    const same = child.id ? Array.from(old.children).find((one) => one.id === child.id) : null;
    if (same && same !== at) { old.insertBefore(same, at); morph(same, child); }
    else if (!at || (at.id && at.id !== child.id)) old.insertBefore(child, at);
    else { const next = at.nextSibling; morph(at, child); at = next; }
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const reply = await fetch(document.body.dataset.self, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!reply.ok) throw new Error(String(reply.status));
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    document.title = page.title;
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) morph(old, document.adoptNode(fresh));
    }
    banner.hidden = true;
  } catch {
    banner.textContent = "No answer from Karaula since " + document.getElementById("when").textContent + ". What you see is old.";
    banner.hidden = false;
  }
  document.body.classList.toggle("stale", !banner.hidden);
  asking = false;
  listen();
  if (again) { again = false; refresh(); }
}

// A run that is not over tells each change at once. Hidden tabs let go: a browser keeps few connections to one server.
function listen() {
  const from = document.getElementById("head")?.dataset.stream;
  if (stream && (!from || document.hidden)) { stream.close(); stream = null; }
  if (stream || !from || document.hidden) return;
  stream = new EventSource(from);
  stream.addEventListener("run", refresh);
  stream.addEventListener("joint", refresh);
  stream.addEventListener("line", (event) => {
    const said = JSON.parse(event.data);
    const place = document.querySelector('[data-lines="' + CSS.escape(said.step) + '"]');
    if (!place) return;
    place.hidden = false;
    place.textContent = (place.textContent + said.line + "\n").split("\n").slice(-LINES_KEPT - 1).join("\n");
    place.scrollTop = place.scrollHeight;
  });
}

if (EVERY_MS) {
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) refresh(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  listen();
}
