// A page of the twin. What is done on it is told to the server by the element's position; the page
// that follows comes back as HTML. Answers come in the order in which things were done.
"use strict";

let page = 0;
let held = false; // a mouse button is down: what it is pressed on must still be there when it goes up
let waiting = null;
let order = Promise.resolve();

function show(told) {
  page = told.page;
  document.title = told.title;
  if (told.html !== null) {
    document.body.innerHTML = told.html;
    prepare();
  }
  if (parent !== window) parent.postMessage({ steps: told.steps, said: told.said }, location.origin);
}

// A list without a choice shows none; in HTML alone it would show its first option.
function prepare() {
  for (const list of document.querySelectorAll("select[data-none]")) list.selectedIndex = -1;
  for (const box of document.querySelectorAll("input[data-mixed]")) box.indeterminate = true;
}

function act(verb, element, value) {
  const body = { page, at: element ? Number(element.dataset.at) : null, verb, value: value ?? null };
  order = order.then(async () => {
    const headers = { "content-type": "application/json", "x-twin": "1" };
    const answer = await fetch("act", { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) return;
    const told = await answer.json();
    if (held) waiting = told;
    else show(told);
  });
}

const at = (event) => event.target.closest?.("[data-at]");

document.addEventListener("pointerdown", () => (held = true), true);
document.addEventListener("pointerup", () => setTimeout(() => {
  held = false;
  const told = waiting;
  waiting = null;
  if (told) show(told);
}), true);
document.addEventListener("change", (event) => {
  const element = at(event);
  if (!element) return;
  if (element.type === "checkbox" || element.type === "radio") act(element.checked ? "check" : "uncheck", element);
  else if (element.tagName === "SELECT") act("select", element, element.selectedOptions[0]?.label ?? "");
  else act("fill", element, element.value);
});
document.addEventListener("click", (event) => {
  const element = at(event);
  if (event.target.closest?.("a")) event.preventDefault();
  if (element && !/^(INPUT|SELECT|OPTION)$/.test(element.tagName)) act("click", element);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const element = at(event);
  if (element && element.tagName === "INPUT") setTimeout(() => act("press", null, "Enter"));
  else if (element && element.tagName === "DIV") act("click", element);
});
prepare();
