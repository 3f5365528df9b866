// A recorded DOM built again in this document, operation by operation, without anything in it coming
// to life: no script, no request, no handler. Runs where scripts are off and nothing can be fetched;
// what is left out here would only cost time or stand in the way.
//
// Nodes come as rrweb writes them: {type, id, tagName, attributes, childNodes, textContent, isSVG,
// isShadowHost, isShadow}, and besides `value`, `checked` and `selected` (properties that differ from
// the attributes), `frame` (the document node of a frame), `sheets` (adopted style sheets' texts).

const setter = (type, name) => of(Object.getOwnPropertyDescriptor(realm[type].prototype, name).set);
const insert = method("Node", "insertBefore");
const takeOut = method("Node", "removeChild");
const setData = setter("Node", "nodeValue");
const setText = setter("Node", "textContent");
const setAttr = method("Element", "setAttribute");
const unsetAttr = method("Element", "removeAttribute");
const attachShadow = method("Element", "attachShadow");
const createElement = method("Document", "createElementNS");
const createText = method("Document", "createTextNode");
const createComment = method("Document", "createComment");
const implementation = getter("Document", "implementation");
const styleAttr = getter("HTMLElement", "style");
const sheetOf = getter("HTMLStyleElement", "sheet");
const setAdopted = { 9: setter("Document", "adoptedStyleSheets"), 11: setter("ShadowRoot", "adoptedStyleSheets") };
const setValue = { input: setter("HTMLInputElement", "value"), textarea: setter("HTMLTextAreaElement", "value"), select: setter("HTMLSelectElement", "value") };
const setChecked = setter("HTMLInputElement", "checked");
const setSelected = setter("HTMLOptionElement", "selected");
const setIndex = setter("HTMLSelectElement", "selectedIndex");

const SVG = "http://www.w3.org/2000/svg";
const SVG_NAMES = { clippath: "clipPath", foreignobject: "foreignObject", lineargradient: "linearGradient", radialgradient: "radialGradient", textpath: "textPath" };
const MAX_LIVE = 300000;
const MAX_BUILD_DEPTH = 600;
const MAX_FRAMES = 8;
// Attributes that make an element fetch, run or refresh, or that would shut us out of a frame.
const UNSET = {
  script: set("src type async defer"), iframe: set("src srcdoc sandbox csp allow loading"), frame: set("src"), object: set("data"), embed: set("src"),
  link: set("href imagesrcset"), meta: set("http-equiv"), base: set("href target"), video: set("src poster"), audio: set("src"), source: set("src srcset"), track: set("src"),
};

const ids = new Map(); // id -> node
const idOf = new WeakMap(); // node -> id
const constructed = new Map(); // id of a constructed style sheet -> sheet
const texts = new Map(); // names of style sheets that many pages share -> their text
let lost = 0; // changes to nodes that are not there
let madeOptions = []; // [option, whether it is selected], of selects that are not finished
let after = []; // what can only be done once nodes are in their document

const keep = (id, node) => {
  if (typeof id !== "number") return;
  ids.set(id, node);
  idOf.set(node, id);
};

// Custom elements have no scripts here: what the page showed once they were defined is what counts.
const css = (text) => text.replace(/:not\(\s*:defined\s*\)/g, ":not(*)").replace(/:defined/g, ":is(*)");

function buildNode(n, doc, depth) {
  if (!n || ids.size > MAX_LIVE || depth > MAX_BUILD_DEPTH) {
    lost++;
    return null;
  }
  let node = null;
  if (n.type === 2) node = buildElement(n, doc, depth);
  else if (n.type === 3 || n.type === 4) node = createText(doc, "" + (n.textContent || ""));
  else if (n.type === 5) node = createComment(doc, "");
  else if (n.type === 1) node = doctype(doc, n);
  if (node) keep(n.id, node);
  return node;
}

function doctype(doc, n) {
  try {
    return implementation(doc).createDocumentType(n.name || "html", n.publicId || "", n.systemId || "");
  } catch (error) {
    return null;
  }
}

function create(doc, tag, svg) {
  try {
    return createElement(doc, svg ? SVG : HTML, svg ? SVG_NAMES[tag] || tag : tag);
  } catch (error) {
    return createElement(doc, HTML, "x-unknown");
  }
}

const isSheet = (tag, attributes) => {
  const rel = lower("" + (attributes.rel || ""));
  return tag === "link" && ("_cssText" in attributes || "_cssName" in attributes || (rel.includes("stylesheet") && !rel.includes("alternate")));
};

function buildElement(n, doc, depth) {
  const attributes = n.attributes && typeof n.attributes === "object" ? n.attributes : {};
  let tag = typeof n.tagName === "string" ? lower(n.tagName) : "x-unknown";
  if (isSheet(tag, attributes)) tag = "style";
  const el = create(doc, tag, n.isSVG);
  const children = Array.isArray(n.childNodes) ? n.childNodes : [];
  for (const name in attributes) setAttribute(el, tag, name, attributes[name]);
  if (n.isShadowHost) shadowFor(el);
  if (tag === "script" || tag === "noscript") return el;
  let own = null; // text that stands in the way of children's
  if (tag === "style") own = styleText(attributes, children);
  if (tag === "textarea" && typeof attributes.value === "string") own = attributes.value;
  const options = madeOptions.length;
  if (own !== null) setText(el, own);
  for (const child of own === null || tag === "style" ? children : []) {
    const made = buildNode(child, doc, depth + 1);
    if (!made) continue;
    if (tag === "style") {
      if (own !== null) setData(made, "");
    }
    insert((child.isShadow && shadowFor(el)) || el, made, null);
  }
  if (tag === "option") madeOptions.push([el, n.selected]);
  properties(el, tag, n, tag === "select" ? madeOptions.splice(options) : []);
  if (tag === "dialog" && openMode(attributes)) after.push(() => openDialog(el, openMode(attributes)));
  if (n.popover) after.push(() => el.showPopover());
  if (n.frame) after.push(() => fillFrame(el, n.frame));
  if (n.sheets) after.push(() => adoptTexts(shadowOf(el), n.sheets));
  return el;
}

function properties(el, tag, n, options) {
  try {
    if (typeof n.value === "string" && setValue[tag] && !(tag === "input" && inputType(el) === "file")) setValue[tag](el, n.value);
    if (typeof n.checked === "boolean" && tag === "input") setChecked(el, n.checked);
    if (tag !== "select" || !options.some(([, selected]) => selected !== undefined)) return;
    if (!options.some(([, selected]) => selected)) return setIndex(el, -1);
    for (const [option, selected] of options) if (selectMultiple(el) || selected) setSelected(option, !!selected);
  } catch (error) {
    lost++;
  }
}

function styleText(attributes, children) {
  const named = texts.get(attributes._cssName);
  const text = typeof named === "string" ? named : attributes._cssText;
  if (typeof text === "string") return css(text.split("/* rr_split */").join(""));
  const own = children.map((child) => (child && child.textContent) || "").join("");
  return own ? css(own) : null;
}

function shadowFor(el) {
  const found = shadowRootOf(el);
  if (found) return found;
  try {
    return attachShadow(el, { mode: "open" });
  } catch (error) {
    return null;
  }
}

function setAttribute(el, tag, name, value) {
  if (value === null || value === false || name === "_cssText" || name === "_cssName") return;
  if (UNSET[tag] && UNSET[tag][lower(name)]) return;
  if (slice(name, 0, 3) === "rr_" || (tag === "dialog" && name === "open")) return;
  let text = value === true ? "" : "" + value;
  // That there is a handler tells what can be clicked; what it did does not matter any more.
  if (slice(lower(name), 0, 2) === "on") text = "";
  if (text.length > 200 && slice(text, 0, 5) === "data:") text = "data:,";
  try {
    setAttr(el, name, text);
  } catch (error) {
    // A name that the parser of pages allows and this function does not.
  }
  if (tag === "dialog") return;
  if (tag === "textarea" && name === "value") setText(el, text);
}

// Older recordings do not tell whether an open dialog is modal.
const openMode = (attributes) => attributes.rr_open_mode || (typeof attributes.open === "string" || attributes.open === true ? "non-modal" : "");

function openDialog(el, mode) {
  const type = realm.HTMLDialogElement.prototype;
  if (has(el, "open")) type.close.call(el);
  if (mode === "modal") type.showModal.call(el);
  else if (mode) type.show.call(el);
}

function settle() {
  madeOptions = [];
  for (let round = 0; after.length && round < MAX_FRAMES * 2; round++) {
    const todo = after;
    after = [];
    for (const act of todo) {
      try {
        act();
      } catch (error) {
        lost++;
      }
    }
  }
  after = [];
}

function frameDepth(el) {
  let depth = 0;
  for (let view = viewOf(ownerDocument(el)); view && view !== view.parent; view = view.parent) depth++;
  return depth;
}

function fillFrame(el, n) {
  const tag = tagOf(el);
  const doc = tag === "iframe" ? frameDocument(el) : oldFrameDocument(el);
  if (!doc || frameDepth(el) >= MAX_FRAMES) return lost++;
  const first = Array.isArray(n.childNodes) && n.childNodes[0];
  const quirks = n.compatMode === "BackCompat" || !first || first.type !== 1;
  try {
    doc.open();
    doc.write(quirks ? "<html></html>" : "<!doctype html><html></html>");
    doc.close();
  } catch (error) {
    // It keeps the mode it was made in, which few styles depend on.
  }
  fillDocument(doc, n);
}

function fillDocument(doc, n) {
  while (firstChild(doc)) takeOut(doc, firstChild(doc));
  keep(n.id, doc);
  for (const child of Array.isArray(n.childNodes) ? n.childNodes : []) putIntoDocument(doc, buildNode(child, doc, 0), null);
  if (n.sheets) adoptTexts(doc, n.sheets);
}

// A document has one doctype and one root; a new one takes the place of the old.
function putIntoDocument(doc, node, next) {
  if (!node || nodeType(node) === TEXT) return;
  for (let old = firstChild(doc); old; old = nextSibling(old)) {
    if (nodeType(old) !== nodeType(node) || nodeType(node) === 8 || old === node) continue;
    if (next === old) next = nextSibling(old);
    takeOut(doc, old);
    break;
  }
  try {
    insert(doc, node, next && parentNode(next) === doc ? next : null);
  } catch (error) {
    // A doctype that comes after the root element.
    if (nodeType(node) === 10) insert(doc, node, firstChild(doc));
    else lost++;
  }
}

function adoptTexts(root, sheets) {
  if (!root) return;
  const view = viewOf(nodeType(root) === 9 ? root : ownerDocument(root));
  const made = sheets.map((text) => {
    const sheet = new view.CSSStyleSheet();
    sheet.replaceSync(css(text));
    return sheet;
  });
  setAdopted[nodeType(root)](root, made);
}

// Changes

function forgetNode(node) {
  const id = idOf.get(node);
  if (id !== undefined && ids.get(id) === node) ids.delete(id);
  for (let child = firstChild(node); child; child = nextSibling(child)) forgetNode(child);
  const shadow = nodeType(node) === ELEMENT ? shadowRootOf(node) : null;
  if (shadow) forgetNode(shadow);
}

function mutate(m) {
  const removed = [];
  for (const each of m.removes || []) {
    const node = ids.get(each.id);
    const parent = node && parentNode(node);
    if (!parent) lost++;
    else {
      takeOut(parent, node);
      removed.push(node);
    }
  }
  placeAll(m.adds || []);
  settle();
  for (const node of removed) if (!isConnected(node)) forgetNode(node);
  for (const each of m.texts || []) {
    const node = ids.get(each.id);
    if (!node) lost++;
    else if (nodeType(node) === ELEMENT) setText(node, each.value || "");
    else {
      const parent = parentNode(node);
      const style = parent && nodeType(parent) === ELEMENT && tagOf(parent) === "style";
      setData(node, style ? css(each.value || "") : each.value || "");
    }
  }
  for (const each of m.attributes || []) changeAttributes(each);
  settle();
}

// Nodes come in an order in which the parent or the next sibling of one may still be missing.
function placeAll(adds) {
  const waiting = new Map();
  const turn = (add) => {
    const todo = [add];
    while (todo.length) {
      const each = todo.pop();
      const missing = missingFor(each);
      if (missing !== null) {
        if (!waiting.has(missing)) waiting.set(missing, []);
        waiting.get(missing).push(each);
        continue;
      }
      if (!place(each)) continue;
      const freed = waiting.get(each.node.id);
      if (freed) {
        waiting.delete(each.node.id);
        for (const other of freed) todo.push(other);
      }
    }
  };
  for (const add of adds) if (add && add.node) turn(add);
  for (const left of waiting.values()) {
    for (const each of left) {
      if (ids.get(each.parentId)) place(each);
      else lost++;
    }
  }
}

function missingFor(add) {
  if (!ids.has(add.parentId)) return add.parentId;
  return add.nextId && add.nextId !== -1 && !ids.has(add.nextId) ? add.nextId : null;
}

function place(add) {
  const n = add.node;
  let parent = ids.get(add.parentId);
  const type = nodeType(parent);
  if (n.type === 0) {
    if (type !== ELEMENT || (tagOf(parent) !== "iframe" && tagOf(parent) !== "frame")) {
      lost++;
      return false;
    }
    const frame = parent;
    if (isConnected(frame)) {
      settle();
      fillFrame(frame, n);
    } else after.push(() => fillFrame(frame, n));
    return true;
  }
  const doc = type === 9 ? parent : ownerDocument(parent);
  const known = ids.get(n.id);
  const node = known && sameKind(known, n) ? reuse(known, n) : buildNode(n, doc, 0);
  if (!node) return false;
  if (n.isShadow && type === ELEMENT) parent = shadowFor(parent) || parent;
  let next = ids.get(add.nextId) || null;
  if (!next && add.previousId) {
    const previous = ids.get(add.previousId);
    next = previous ? nextSibling(previous) : null;
  }
  if (next && parentNode(next) !== parent) next = null;
  if (type === 9) putIntoDocument(parent, node, next);
  else {
    if (type === ELEMENT && nodeType(node) === TEXT && tagOf(parent) === "textarea") setText(parent, "");
    if (type === ELEMENT && tagOf(parent) === "style") for (let old = firstChild(parent); old; old = firstChild(parent)) if (idOf.has(old)) break; else takeOut(parent, old);
    try {
      insert(parent, node, next);
    } catch (error) {
      lost++;
      return false;
    }
  }
  return true;
}

const sameKind = (node, n) => {
  const type = nodeType(node);
  if (n.type === 3) return type === TEXT;
  return n.type === 2 && type === ELEMENT && (!n.childNodes || !n.childNodes.length) && (tagOf(node) === lower("" + n.tagName) || tagOf(node) === "style");
};

// A node that only moves keeps what is in it.
function reuse(node, n) {
  if (n.type === 3) setData(node, n.textContent || "");
  else for (const name in n.attributes) setAttribute(node, tagOf(node), name, n.attributes[name]);
  return node;
}

function changeAttributes(change) {
  let el = ids.get(change.id);
  if (!el || nodeType(el) !== ELEMENT) return lost++;
  const tag = tagOf(el);
  const attributes = change.attributes || {};
  if (isSheet(tag, attributes)) {
    const style = createElement(ownerDocument(el), HTML, "style");
    const parent = parentNode(el);
    if (parent) {
      insert(parent, style, el);
      takeOut(parent, el);
    }
    keep(change.id, style);
    el = style;
  }
  for (const name in attributes) {
    const value = attributes[name];
    if (name === "_cssText" && tagOf(el) === "style") setText(el, css("" + value));
    else if (name === "style" && value && typeof value === "object") changeStyle(el, value);
    else if (value === null && tag === "dialog" && name === "open") openDialog(el, "");
    else if (value === null) unsetAttr(el, name);
    else setAttribute(el, tag, name, value);
  }
  if (tag === "dialog" && openMode(attributes)) openDialog(el, openMode(attributes));
}

function changeStyle(el, values) {
  const style = styleAttr(el);
  if (!style) return;
  for (const name in values) {
    const value = values[name];
    if (value === false || value === null) style.removeProperty(name);
    else if (Array.isArray(value)) style.setProperty(name, "" + value[0], "" + (value[1] || ""));
    else style.setProperty(name, "" + value);
  }
}

// Style sheets changed by scripts

function sheetFor(d) {
  if (d.styleId) return constructed.get(d.styleId);
  const el = ids.get(d.id);
  return el && nodeType(el) === ELEMENT && tagOf(el) === "style" ? sheetOf(el) : null;
}

function ruleAt(sheet, path) {
  let rule = sheet;
  for (const index of path) rule = rule && rule.cssRules ? rule.cssRules[index] : null;
  return rule;
}

function changeRules(d) {
  const sheet = sheetFor(d);
  if (!sheet) return lost++;
  const at = (index) => (Array.isArray(index) ? [ruleAt(sheet, index.slice(0, -1)), index[index.length - 1]] : [sheet, index]);
  const attempt = (change) => {
    try {
      change();
    } catch (error) {
      // A rule of another browser, or one that is not there any more.
    }
  };
  for (const each of d.adds || []) {
    attempt(() => {
      const [home, index] = at(each.index);
      const count = home.cssRules.length;
      home.insertRule(css("" + each.rule), index === undefined || index > count ? count : index);
    });
  }
  for (const each of d.removes || []) {
    attempt(() => {
      const [home, index] = at(each.index);
      home.deleteRule(index || 0);
    });
  }
  const text = typeof d.replace === "string" ? d.replace : d.replaceSync;
  if (typeof text === "string") attempt(() => sheet.replaceSync(css(text)));
  if (d.set) attempt(() => ruleAt(sheet, d.index).style.setProperty(d.set.property, d.set.value, d.set.priority || ""));
  if (d.remove) attempt(() => ruleAt(sheet, d.index).style.removeProperty(d.remove.property));
}

function adopt(d) {
  const node = ids.get(d.id);
  if (!node) return lost++;
  const root = nodeType(node) === 9 ? node : shadowRootOf(node);
  if (!root) return lost++;
  const view = viewOf(nodeType(root) === 9 ? root : ownerDocument(root));
  for (const each of d.styles || []) {
    constructed.set(each.styleId, new view.CSSStyleSheet());
    changeRules({ styleId: each.styleId, adds: each.rules });
  }
  const sheets = (d.styleIds || []).map((id) => constructed.get(id)).filter((sheet) => sheet);
  try {
    setAdopted[nodeType(root)](root, sheets);
  } catch (error) {
    lost++;
  }
}

function setField(el, text, checked) {
  const tag = tagOf(el);
  try {
    const type = tag === "input" ? inputType(el) : "";
    if (type === "checkbox" || type === "radio") setChecked(el, !!checked);
    else if (setValue[tag] && type !== "file") setValue[tag](el, text);
  } catch (error) {
    lost++;
  }
}
