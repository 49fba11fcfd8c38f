
"use strict";
for (const control of document.querySelectorAll("[data-script]")) control.hidden = false;

for (const button of document.querySelectorAll(".copy")) {
  const command = button.previousElementSibling;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const selection = getSelection();
    selection.selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      if (!document.execCommand("copy")) return;
    }
    selection.removeAllRanges();
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

const search = document.getElementById("search");
const state = document.getElementById("state");
function show() {
  const wanted = search.value.trim().toLowerCase();
  let rows = 0;
  for (const group of document.querySelectorAll(".reason")) {
    const fits = !state?.value || group.dataset.state === state.value;
    const all = group.firstElementChild.textContent.toLowerCase().includes(wanted);
    let shown = 0;
    for (const row of group.querySelectorAll("tbody tr")) {
      row.hidden = !fits || !(all || row.textContent.toLowerCase().includes(wanted));
      shown += !row.hidden;
    }
    group.hidden = !shown;
    rows += shown;
  }
  document.getElementById("none").hidden = rows > 0;
}
if (search) {
  search.addEventListener("input", show);
  state?.addEventListener("change", show);
  show();
}
