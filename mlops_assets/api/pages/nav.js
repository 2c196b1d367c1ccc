// The links from page to page, the same on each: a page says in its navigation's data-page where it belongs.
// Add a page here.

import { el } from "./dom.js";
import { at } from "./http.js";

const PAGES = [
  ["rollouts", "Rollouts"], ["drift", "Drift"], ["scores", "Scores"],
  ["pipelines", "Pipelines"], ["runs", "Runs"], ["artifacts", "Artifacts"],
];

const nav = document.querySelector("nav.pages");
nav.replaceChildren(...PAGES.map(([path, title]) => {
  const here = path === nav.dataset.page;
  const link = el("a", { href: at(path), "aria-current": here ? "page" : null }, title);
  return here ? el("h1", {}, link) : link;
}));
