// The form "Stay in touch", answered in its place. Without this file it works all the same, with one button more.
//
// It belongs to every <form data-tidings> on the page, whichever site that is: it fills in the time zone, does the small
// computation that stands in the place of a captcha, and shows the answer where the form was.
(() => {
  "use strict";

  // SHA-256 (FIPS 180-4) of a text of at most 55 ASCII characters: one block. Here because the browser's own is there
  // over https alone, and takes longer to call than to do.
  const K = new Int32Array(64), H = new Int32Array(8), W = new Int32Array(64);
  for (let n = 2, at = 0; at < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    if (at < 8) H[at] = (n ** (1 / 2) % 1) * 2 ** 32;
    K[at++] = (n ** (1 / 3) % 1) * 2 ** 32;
  }
  const turn = (x, by) => (x >>> by) | (x << (32 - by));

  // The first 32 bits of the hash.
  function firstWord(text) {
    W.fill(0, 0, 16);
    for (let i = 0; i < text.length; i++) W[i >> 2] |= text.charCodeAt(i) << (24 - (i & 3) * 8);
    W[text.length >> 2] |= 0x80 << (24 - (text.length & 3) * 8);
    W[15] = text.length * 8;
    for (let i = 16; i < 64; i++) {
      const a = W[i - 15], b = W[i - 2];
      W[i] = W[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + W[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    return (H[0] + a) >>> 0;
  }

  // A number that makes the hash of "pass:number" begin with so many zero bits.
  async function work(pass, bits) {
    const below = 2 ** (32 - bits);
    for (let number = 0; ; number++) {
      if (firstWord(pass + ":" + number) < below) return number;
      // The page stays alive meanwhile.
      if (number % 5000 === 4999) await new Promise((resume) => setTimeout(resume));
    }
  }

  async function post(form, more) {
    const body = new URLSearchParams(new FormData(form));
    for (const [name, value] of Object.entries(more)) body.set(name, value);
    const headers = { Accept: "application/json" };
    const answer = await fetch(form.action, { method: "POST", headers, body, credentials: "omit" });
    return answer.json();
  }

  // What the form has to say, in its place or above it.
  function say(form, answer) {
    const old = form.querySelector(".message");
    if (old) old.remove();
    const box = document.createElement("div");
    const add = (kind, text) => text && (box.appendChild(document.createElement(kind)).textContent = text);
    // No heading: which level it would be of, only the page knows.
    if (add("p", answer.heading)) box.firstChild.style.fontWeight = "bold";
    add("p", answer.text);
    box.tabIndex = -1;
    const done = answer.state === "asked";
    box.className = done ? "message good" : "message bad";
    box.setAttribute("role", done ? "status" : "alert");
    if (done) form.replaceChildren(box);
    else form.prepend(box);
    box.focus();
  }

  function take(form) {
    const zone = form.elements.namedItem("time_zone");
    if (zone && !zone.value) {
      try {
        zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
        if (zone.list && !zone.list.options.length && Intl.supportedValuesOf) {
          zone.list.append(...Intl.supportedValuesOf("timeZone").map((name) => new Option(name, name)));
        }
      } catch { /* It is left to the reader. */ }
    }
    let busy = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (busy) return;
      busy = true;
      const button = form.querySelector("button");
      const label = button && button.textContent;
      if (button && form.dataset.busy) button.textContent = form.dataset.busy;
      form.setAttribute("aria-busy", "true");
      try {
        let answer = await post(form, {});
        if (answer.state === "press") {
          // Without work to do there is something to read first.
          if (typeof answer.work !== "number") return form.submit();
          answer = await post(form, { pass: answer.pass, work: await work(answer.pass, answer.work) });
        }
        if (answer.state === "press") return form.submit();
        say(form, answer);
      } catch {
        form.submit();
      } finally {
        busy = false;
        form.removeAttribute("aria-busy");
        if (button && button.isConnected) button.textContent = label;
      }
    });
  }

  document.querySelectorAll("form[data-tidings]").forEach(take);
})();
