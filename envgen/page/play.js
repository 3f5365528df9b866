// The frame around the twin: the task, and the verdict when the person says that it is done.
"use strict";

const byId = (id) => document.getElementById(id);

async function ask(path, body) {
  const headers = { "content-type": "application/json", "x-twin": "1" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  return answer.json();
}

function begin(told) {
  document.title = told.name;
  byId("task").textContent = told.instruction;
  byId("steps").textContent = "0 actions";
  byId("said").textContent = "";
  byId("verdict").hidden = true;
  byId("answer").value = "";
  byId("page").contentWindow.location.replace("page");
}

function judge(told) {
  const box = byId("verdict");
  box.textContent = told.value === null ? "This task cannot be judged." : told.value === 1 ? "Right." : "Not right:";
  box.classList.toggle("right", told.value === 1);
  const list = document.createElement("ul");
  for (const reason of told.reasons) {
    const item = document.createElement("li");
    item.textContent = reason;
    list.append(item);
  }
  if (told.reasons.length) box.append(list);
  box.hidden = false;
}

window.addEventListener("message", (event) => {
  if (event.origin !== location.origin || !event.data) return;
  byId("steps").textContent = `${event.data.steps} action${event.data.steps === 1 ? "" : "s"}`;
  byId("said").textContent = event.data.said;
});
document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  judge(await ask("done", { answer: byId("answer").value || null }));
});
byId("again").addEventListener("click", async () => begin(await ask("begin", { other: false })));
byId("other").addEventListener("click", async () => begin(await ask("begin", { other: true })));
ask("task", {}).then(begin);
