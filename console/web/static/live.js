"use strict";
// Keeps a page true: asks for it again and puts the fresh parts in place. A part with data-key is left alone while its
// key stays the same, so that nobody's typing is lost. When no answer comes the page says that it is old.
const everyMs = 1000 * Number(document.body.dataset.refresh || 0);
let lastAnswer = new Date();
let asking = false;

function put(old, fresh) {
  if (old.dataset.key !== undefined && old.dataset.key === fresh.dataset.key) return;
  if (old.isEqualNode(fresh)) return;
  const open = new Set(Array.from(old.querySelectorAll("details[open]"), (item) => item.id));
  for (const item of fresh.querySelectorAll("details")) if (open.has(item.id)) item.open = true;
  old.replaceWith(document.adoptNode(fresh));
}

async function refresh() {
  if (asking) return;
  asking = true;
  const banner = document.getElementById("old");
  try {
    const reply = await fetch(location.href, { signal: AbortSignal.timeout(8000) });
    if (!reply.ok) throw new Error(String(reply.status));
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) put(old, fresh);
    }
    lastAnswer = new Date();
    banner.hidden = true;
  } catch {
    banner.textContent = "No answer from Karaula since " + lastAnswer.toLocaleTimeString() + ". What you see is old.";
    banner.hidden = false;
  } finally {
    asking = false;
  }
}

if (everyMs) {
  setInterval(refresh, everyMs);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
}
