// Sort a table by the column whose head is clicked; a second click reverses the order.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      const key = (row) => {
        const text = row.cells[column].textContent.trim();
        const number = parseFloat(text);
        return { text, number, missing: text === "-" || text === "" };
      };
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        // Missing values stay at the end in both orders.
        if (a.missing !== b.missing) return a.missing ? 1 : -1;
        if (!isNaN(a.number) && !isNaN(b.number)) return down * (a.number - b.number);
        return down * a.text.localeCompare(b.text);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

// Highlight the trial under the pointer in all figures and in the table of trials.
for (const row of document.querySelectorAll("#trials tbody tr")) {
  row.dataset.trial = row.cells[0].textContent;
}
const marks = [...document.querySelectorAll("[data-trial]")];
document.addEventListener("pointerover", (event) => {
  const trial = event.target.closest("[data-trial]")?.dataset.trial;
  document.body.classList.toggle("one", trial !== undefined);
  for (const mark of marks) mark.classList.toggle("on", mark.dataset.trial === trial);
});
