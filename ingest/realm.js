// A window whose built-in functions are the browser's own. On pages that were prepared before their
// scripts ran this is the page's window; else, where scripts replaced something, a new empty frame's.
let borrowed = null; // that frame, given back once its functions are kept
const realm = (() => {
  const native = (f) => typeof f === "function" && (Function.prototype.toString.call(f) + "").indexOf("[native code]") > 0;
  const own = (type, name) => {
    const found = window[type] && Object.getOwnPropertyDescriptor(window[type].prototype, name);
    return found ? found.get || found.value : null;
  };
  const checked = [["Element", "getAttribute"], ["Element", "matches"], ["Element", "querySelectorAll"], ["Document", "querySelectorAll"], ["Node", "childNodes"], ["Node", "parentNode"], ["Map", "get"], ["Map", "set"], ["String", "charCodeAt"], ["String", "slice"], ["String", "indexOf"], ["Function", "call"], ["Function", "bind"]];
  let clean = hooks !== null || native(window.getComputedStyle);
  if (hooks === null) for (let i = 0; i < checked.length; i++) clean = clean && native(own(checked[i][0], checked[i][1]));
  if (clean) return window;
  borrowed = document.createElement("iframe");
  borrowed.style.display = "none";
  document.documentElement.appendChild(borrowed);
  return borrowed.contentWindow || window;
})();
