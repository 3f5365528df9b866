// What the page cannot take away: the browser's own functions, kept before the page can replace
// them, and what follows from them about one element (style, role, visibility).
// Parameters: `hooks` (what hooks.js remembers, or null), `realm` (a clean window).

const MapType = realm.Map;
const of = Function.prototype.call.bind(Function.prototype.bind, Function.prototype.call);
const getter = (type, name) => {
  const found = realm[type] && Object.getOwnPropertyDescriptor(realm[type].prototype, name);
  return found && found.get ? of(found.get) : () => undefined;
};
const method = (type, name) => of(realm[type].prototype[name]);

const parentNode = getter("Node", "parentNode");
const firstChild = getter("Node", "firstChild");
const nextSibling = getter("Node", "nextSibling");
const previousSibling = getter("Node", "previousSibling");
const nodeType = getter("Node", "nodeType");
const nodeValue = getter("Node", "nodeValue");
const isConnected = getter("Node", "isConnected");
const ownerDocument = getter("Node", "ownerDocument");
const getRootNode = method("Node", "getRootNode");
const contains = method("Node", "contains");
const localName = getter("Element", "localName");
const shadowRootOf = getter("Element", "shadowRoot");
const getAttribute = method("Element", "getAttribute");
const matches = method("Element", "matches");
const queryElement = method("Element", "querySelectorAll");
const queryDocument = method("Document", "querySelectorAll");
const queryFragment = method("DocumentFragment", "querySelectorAll");
const idInDocument = method("Document", "getElementById");
const idInFragment = method("DocumentFragment", "getElementById");
const listLength = getter("NodeList", "length");
const collectionLength = getter("HTMLCollection", "length");
const hostOf = getter("ShadowRoot", "host");
const assignedNodes = method("HTMLSlotElement", "assignedNodes");
const frameDocument = getter("HTMLIFrameElement", "contentDocument");
const oldFrameDocument = getter("HTMLFrameElement", "contentDocument");
const documentElement = getter("Document", "documentElement");
const propertyValue = method("CSSStyleDeclaration", "getPropertyValue");
const computedStyle = of(realm.getComputedStyle);
const charCode = method("String", "charCodeAt");
const fromCharCode = realm.String.fromCharCode;
const slice = method("String", "slice");
const indexOf = method("String", "indexOf");
const lower = method("String", "toLowerCase");
const mapGet = method("Map", "get");
const mapSet = method("Map", "set");
const mapHas = method("Map", "has");
const weakHas = method("WeakSet", "has");
const weakAdd = method("WeakSet", "add");
const weakGet = method("WeakMap", "get");
const ownNames = realm.Object.getOwnPropertyNames;
const inputType = getter("HTMLInputElement", "type");
const inputChecked = getter("HTMLInputElement", "checked");
const inputIndeterminate = getter("HTMLInputElement", "indeterminate");
const inputList = getter("HTMLInputElement", "list");
const valueOf = {
  input: getter("HTMLInputElement", "value"),
  textarea: getter("HTMLTextAreaElement", "value"),
  select: getter("HTMLSelectElement", "value"),
};
const labelsOf = {
  input: getter("HTMLInputElement", "labels"),
  textarea: getter("HTMLTextAreaElement", "labels"),
  select: getter("HTMLSelectElement", "labels"),
  button: getter("HTMLButtonElement", "labels"),
  meter: getter("HTMLMeterElement", "labels"),
  progress: getter("HTMLProgressElement", "labels"),
  output: getter("HTMLOutputElement", "labels"),
};
const labelControl = getter("HTMLLabelElement", "control");
const selectOptions = getter("HTMLSelectElement", "options");
const selectMultiple = getter("HTMLSelectElement", "multiple");
const selectSize = getter("HTMLSelectElement", "size");
const datalistOptions = getter("HTMLDataListElement", "options");
const optionLabel = getter("HTMLOptionElement", "label");
const optionSelected = getter("HTMLOptionElement", "selected");
const tableRows = getter("HTMLTableElement", "rows");
const rowCells = getter("HTMLTableRowElement", "cells");
const cellSpan = getter("HTMLTableCellElement", "colSpan");
const onClick = getter("HTMLElement", "onclick");
const onMouseDown = getter("HTMLElement", "onmousedown");
const contentEditable = getter("HTMLElement", "isContentEditable");
const titleOf = getter("Document", "title");
const urlOf = getter("Document", "URL");
const viewOf = getter("Document", "defaultView");

const known = hooks || { shadows: new realm.WeakMap(), clickable: new realm.WeakSet(), secret: new realm.WeakSet(), ignored: new realm.WeakSet(), touched: new realm.WeakSet() };
const ELEMENT = 1;
const TEXT = 3;
const HTML = "http://www.w3.org/1999/xhtml";
const namespaceOf = getter("Element", "namespaceURI");

const set = (words) => {
  const made = realm.Object.create(null);
  let word = "";
  for (let i = 0; i <= words.length; i++) {
    if (i === words.length || words[i] === " ") {
      if (word) made[word] = true;
      word = "";
    } else word += words[i];
  }
  return made;
};

const SKIPPED = set("script style template noscript head meta link title base param source track col colgroup datalist audio video object embed hr desc defs symbol clipPath metadata");
const ROLES = set("alert alertdialog application article banner blockquote button caption cell checkbox columnheader combobox complementary contentinfo definition dialog document feed figure form generic grid gridcell group heading img image link list listbox listitem log main marquee math menu menubar menuitem menuitemcheckbox menuitemradio meter navigation none note option paragraph presentation progressbar radio radiogroup region row rowgroup rowheader scrollbar search searchbox separator slider spinbutton status switch tab table tablist tabpanel term textbox timer toolbar tooltip tree treegrid treeitem");
const FLAT = set("generic none presentation rowgroup document application strong emphasis text");
const FIELDS = set("textbox searchbox spinbutton combobox listbox slider checkbox radio switch");
const LEAVES = set("link button checkbox radio switch menuitem tab option img");
const INTERACTIVE = set("link button clickable tab menuitem radio option checkbox switch treeitem textbox searchbox spinbutton combobox listbox slider");
const NAMED_BY_CONTENT = set("button cell checkbox columnheader heading link menuitem option radio row rowheader switch tab tooltip treeitem clickable");
const SAME_ROLE = { gridcell: "cell", menuitemcheckbox: "menuitem", menuitemradio: "menuitem", image: "img", treegrid: "table", grid: "table", feed: "list", directory: "list" };
const INPUT_ROLES = { button: "button", submit: "button", reset: "button", image: "button", file: "button", checkbox: "checkbox", radio: "radio", range: "slider", number: "spinbutton", search: "searchbox" };
const TAG_ROLES = { button: "button", textarea: "textbox", option: "option", nav: "navigation", main: "main", aside: "complementary", article: "article", ul: "list", ol: "list", menu: "list", li: "listitem", dt: "term", dd: "definition", p: "paragraph", dialog: "dialog", fieldset: "group", output: "status", progress: "progressbar", meter: "meter", figure: "figure", blockquote: "blockquote", caption: "caption", h1: "heading", h2: "heading", h3: "heading", h4: "heading", h5: "heading", h6: "heading", search: "search", iframe: "iframe", frame: "iframe" };

// One line of clean text: white space runs become one space; what has no glyph of its own (control
// and zero-width characters, private-use icon letters, halves of characters) is left out.
function clean(text, keepLines) {
  let out = "";
  let gap = false;
  for (let i = 0; i < text.length; i++) {
    const c = charCode(text, i);
    if (keepLines && c === 10) {
      out += "\n";
      gap = false;
    } else if (c === 32 || (c >= 9 && c <= 13) || c === 0x85 || c === 0xa0 || c === 0x1680 || (c >= 0x2000 && c <= 0x200a) || c === 0x2028 || c === 0x2029 || c === 0x202f || c === 0x205f || c === 0x3000) {
      if (keepLines) out += " ";
      else gap = out !== "";
    } else if (c < 32 || (c >= 0x7f && c < 0xa0) || c === 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c === 0xfeff || (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xfff9 && c <= 0xfffb) || c === 0xffff || c === 0xfffe) {
      continue;
    } else if (c >= 0xd800 && c <= 0xdfff) {
      const next = i + 1 < text.length ? charCode(text, i + 1) : 0;
      if (c > 0xdbff || next < 0xdc00 || next > 0xdfff) continue;
      i++;
      if (c >= 0xdb80) continue; // planes 15 and 16: private use
      if (gap) out += " ";
      gap = false;
      out += fromCharCode(c, next);
    } else {
      if (gap) out += " ";
      gap = false;
      out += text[i];
    }
  }
  return out;
}

// A JSON string, without the page's toJSON having a say.
function quote(text) {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = charCode(text, i);
    if (c === 34 || c === 92) out += "\\" + text[i];
    else if (c < 32 || c === 0x7f || (c >= 0xd800 && c <= 0xdfff) || c === 0x2028 || c === 0x2029) {
      const hex = "0123456789abcdef";
      out += "\\u" + hex[c >> 12] + hex[(c >> 8) & 15] + hex[(c >> 4) & 15] + hex[c & 15];
    } else out += text[i];
  }
  return out + '"';
}

function cut(text, length) {
  if (text.length <= length) return text;
  const last = charCode(text, length - 1);
  return clean(slice(text, 0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length));
}

const attr = (el, name) => getAttribute(el, name);
const has = (el, name) => getAttribute(el, name) !== null;
const isTrue = (el, name) => getAttribute(el, name) === "true";
const tagOf = (el) => localName(el);
const isHtml = (el) => namespaceOf(el) === HTML;

function matching(el, selector) {
  try {
    return matches(el, selector);
  } catch (error) {
    return false;
  }
}

// The shadow root of an element, also a closed one where the hooks saw it being made.
function shadowOf(el) {
  return shadowRootOf(el) || weakGet(known.shadows, el) || null;
}

// The parent as the eye has it: out of a shadow root into its host.
function above(node) {
  const parent = parentNode(node);
  if (!parent) return null;
  const type = nodeType(parent);
  if (type === ELEMENT) return parent;
  return type === 11 ? hostOf(parent) || null : null;
}

// Children as the eye has them: of the shadow root instead of its host, slotted nodes in their slot,
// only the summary of closed details.
function childrenOf(el) {
  const found = [];
  const tag = tagOf(el);
  if (tag === "slot" && isHtml(el)) {
    const slotted = assignedNodes(el);
    if (slotted.length) {
      for (let i = 0; i < slotted.length; i++) found[i] = slotted[i];
      return found;
    }
  }
  const closed = tag === "details" && !has(el, "open");
  for (let child = firstChild(shadowOf(el) || el); child; child = nextSibling(child)) {
    if (closed && !(nodeType(child) === ELEMENT && tagOf(child) === "summary")) continue;
    found[found.length] = child;
  }
  return found;
}

let styles = new MapType();

// Only what decides about a snapshot.
function styleOf(el) {
  let style = mapGet(styles, el);
  if (style) return style;
  style = { none: false, visible: true, pointer: false, block: false, lines: false };
  try {
    const all = computedStyle(window, el);
    const display = propertyValue(all, "display");
    const space = propertyValue(all, "white-space");
    style.none = display === "none";
    style.visible = propertyValue(all, "visibility") === "visible";
    style.pointer = propertyValue(all, "cursor") === "pointer";
    style.block = !(slice(display, 0, 6) === "inline" || display === "contents" || slice(display, 0, 4) === "ruby");
    style.gap = display !== "inline" && display !== "contents";
    style.lines = slice(space, 0, 3) === "pre" || space === "break-spaces";
  } catch (error) {
    // An element of a document that is being replaced has no style any more.
  }
  mapSet(styles, el, style);
  return style;
}

// Not there for anybody: the element with all below it.
function isGone(el) {
  if (SKIPPED[tagOf(el)] || isTrue(el, "aria-hidden") || has(el, "inert")) return true;
  if (weakHas(known.ignored, el)) return true;
  return styleOf(el).none && tagOf(el) !== "option" && tagOf(el) !== "optgroup";
}

// Not there because it or something above it is not.
function isShown(el) {
  if (!styleOf(el).visible) return false;
  for (let node = el; node; node = above(node)) if (isGone(node)) return false;
  return true;
}

const SECTIONING = set("article aside main nav section");

function implicitRole(el, tag) {
  if (!isHtml(el)) return tag === "svg" ? "svg" : "";
  if (tag === "a" || tag === "area") return has(el, "href") ? "link" : "";
  if (tag === "input") {
    const type = inputType(el);
    if (type === "hidden") return "none";
    return INPUT_ROLES[type] || (inputList(el) ? "combobox" : "textbox");
  }
  if (tag === "select") return selectMultiple(el) || selectSize(el) > 1 ? "listbox" : "combobox";
  if (tag === "img") return "img";
  if (tag === "summary") {
    const parent = parentNode(el);
    return parent && nodeType(parent) === ELEMENT && tagOf(parent) === "details" ? "button" : "";
  }
  if (tag === "header" || tag === "footer") {
    for (let node = above(el); node; node = above(node)) if (SECTIONING[tagOf(node)]) return "";
    return tag === "header" ? "banner" : "contentinfo";
  }
  if (tag === "section") return has(el, "aria-label") || has(el, "aria-labelledby") ? "region" : "";
  if (tag === "form") return has(el, "aria-label") || has(el, "aria-labelledby") ? "form" : "";
  if (tag === "table") return isLayout(el) ? "" : "table";
  if (tag === "tr" || tag === "td" || tag === "th") return tableRole(el, tag);
  return TAG_ROLES[tag] || "";
}

function explicitRole(el) {
  const words = attr(el, "role");
  if (!words) return "";
  let word = "";
  for (let i = 0; i <= words.length; i++) {
    if (i === words.length || words[i] === " ") {
      if (ROLES[word]) return word;
      word = "";
    } else word += lower(words[i]);
  }
  return "";
}

let roles = new MapType();

// The element's role: what its author says, else what its tag says, else editable text, else none.
function roleOf(el) {
  const before = mapGet(roles, el);
  if (before !== undefined) return before;
  const tag = tagOf(el);
  let role = explicitRole(el);
  const implicit = role && role !== "none" && role !== "presentation" ? "" : implicitRole(el, tag);
  // Presentation does not take away what a person can use (ARIA, presentational roles conflict resolution).
  if (!role || ((role === "none" || role === "presentation") && INTERACTIVE[implicit])) role = implicit;
  if (!role && isHtml(el) && contentEditable(el)) {
    const parent = above(el);
    if (!parent || !isHtml(parent) || !contentEditable(parent)) role = "textbox";
  }
  role = SAME_ROLE[role] || role;
  mapSet(roles, el, role);
  return role;
}

function enclosingTable(el) {
  for (let node = above(el), steps = 0; node && steps < 4; node = above(node), steps++) {
    if (tagOf(node) === "table") return node;
  }
  return null;
}

function tableRole(el, tag) {
  const table = enclosingTable(el);
  if (!table || isLayout(table)) return "";
  const role = explicitRole(table);
  if (role && role !== "table" && role !== "grid" && role !== "treegrid") return "";
  if (tag === "tr") return "row";
  if (tag === "td") return "cell";
  const scope = attr(el, "scope");
  if (scope === "row" || scope === "rowgroup") return "rowheader";
  if (scope === "col" || scope === "colgroup") return "columnheader";
  const row = parentNode(el);
  const section = row && parentNode(row);
  if (section && nodeType(section) === ELEMENT && tagOf(section) === "thead") return "columnheader";
  for (let cell = row && firstChild(row); cell; cell = nextSibling(cell)) {
    if (nodeType(cell) === ELEMENT && tagOf(cell) === "td") return "rowheader";
  }
  return "columnheader";
}

const holdsField = (el) => listLength(queryElement(el, NATIVE_FIELDS)) > 0;
let layouts = new MapType();
const NATIVE_FIELDS = "input:not([type=hidden]):not([type=submit]):not([type=button]):not([type=image]):not([type=reset]),select,textarea";

// Whether a table only arranges the page: tables in tables, one cell wide or high, or a form of
// label and field side by side. A header or a caption makes it a table of data.
function isLayout(table) {
  const before = mapGet(layouts, table);
  if (before !== undefined) return before;
  mapSet(layouts, table, false);
  const role = explicitRole(table);
  const layout = role ? role === "none" || role === "presentation" : looksLikeLayout(table);
  mapSet(layouts, table, layout);
  return layout;
}

function looksLikeLayout(table) {
  const rows = tableRows(table);
  const count = collectionLength(rows);
  if (listLength(queryElement(table, "table"))) return true;
  let widest = 0;
  let formRows = 0;
  for (let i = 0; i < count && i < 200; i++) {
    const cells = rowCells(rows[i]);
    const width = collectionLength(cells);
    if (width > widest) widest = width;
    let pairs = 0;
    let others = 0;
    for (let j = 0; j < width && j < 50; j++) {
      const next = j + 1 < width ? cells[j + 1] : null;
      const beside = next && !holdsField(cells[j]) && holdsField(next);
      if (tagOf(cells[j]) === "th" && !(beside && tagOf(next) === "td")) return false;
      if (beside) {
        pairs++;
        j++;
      } else others++;
    }
    if (pairs && !others) formRows++;
  }
  if (listLength(queryElement(table, "caption"))) return false;
  return widest <= 1 || formRows * 2 >= count || (count === 1 && listLength(queryElement(table, "form,h1,h2,h3,ul,div,p")) > 0);
}
