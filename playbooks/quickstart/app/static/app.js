// A field whose choice decides about other fields asks the server for the form again,
// with everything entered so far.
for (const field of document.querySelectorAll("select[data-refresh]")) {
  field.addEventListener("change", () => {
    const entered = new URLSearchParams();
    for (const [name, value] of new FormData(field.form)) {
      if (name !== "csrf" && value !== "") entered.set(name, value);
    }
    location.assign(`${field.form.getAttribute("action")}?${entered}`);
  });
}
