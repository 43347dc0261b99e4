// Before the first paint, so that a chosen theme does not flash the other one.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const kept = localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;

  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("#theme");
    const name = () => { button.textContent = now() === "dark" ? "Light" : "Dark"; };
    button.setAttribute("aria-label", "Switch between light and dark");
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      name();
    });
    dark.addEventListener("change", name);
    name();
  });
})();
