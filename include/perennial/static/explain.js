/* Parts of the Explain page that take a while: fetched behind the page, or when they are asked for. The links work without this, too. */
"use strict";
(() => {
  const load = async (part, address) => {
    if (part.getAttribute("aria-busy") === "true") return;
    part.setAttribute("aria-busy", "true");
    const told = part.querySelector(".working");
    if (told) told.textContent = told.dataset.text;
    try {
      const answer = await fetch(address, { credentials: "same-origin", headers: { Accept: "text/html" } });
      const page = answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page && page.getElementById(part.id);
      if (!fresh) throw new Error(answer.status);
      const also = part.dataset.also && document.getElementById(part.dataset.also);
      if (also) also.replaceWith(page.getElementById(also.id));
      part.replaceWith(fresh);
      start(fresh);
    } catch {
      part.removeAttribute("aria-busy");
      if (told) told.textContent = "That did not work; the link shows why.";
    }
  };
  const start = (root) => root.querySelectorAll("a[data-part]").forEach((link) => link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    load(document.getElementById(link.dataset.part), link.href);
  }));
  document.addEventListener("DOMContentLoaded", () => {
    start(document);
    document.querySelectorAll("[data-load]").forEach((part) => load(part, part.dataset.load));
  });
})();
