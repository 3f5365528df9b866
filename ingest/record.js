// Hears what a person does to a page and tells the recorder outside, each time with the page as it was
// just before. Parameters: `table` (the in-page functions), TOKEN (where frames around keep theirs),
// BINDING (the way out), KEY (where flush is kept), SALT (for hashes of passwords), BADGE (show it),
// SCRIPTED (a program drives the browser, so that real choices may come as untrusted events).

(() => {
  const out = window[BINDING];
  try {
    delete window[BINDING]; // the page shall not be able to speak in our place
  } catch (error) {
    // A binding that cannot be deleted is only a name.
  }
  if (!table || !out) return;
  const later = setTimeout;
  const now = performance.now.bind(performance);
  const origin = performance.timeOrigin; // milliseconds since 1970
  const tools = table.tools;
  const listen = tools.listen;
    let outer = window;
  try {
    while (outer.parent !== outer && outer.parent[TOKEN]) outer = outer.parent;
  } catch (error) {
    // The page around is of another origin.
  }
  // The in-page functions of the outermost page that we may look into.
  const top = outer === window ? table : outer[TOKEN];
  const isTop = window.top === window;
  const isOuter = outer === window;

  let lastAct = -1e9;
  const tell = (kind, fields) => {
    if (kind === "act") lastAct = now();
    let text = '{"kind":' + tools.quote(kind) + ',"time":' + (origin + now());
    for (const key in fields) text += "," + tools.quote(key) + ":" + fields[key];
    return out(text + "}");
  };

  const shoot = (target) => ({ el: target, time: origin + now(), page: top.takeSnapshot(target), dom: top.tools.dom() });
  const told = (shot) => ({ seen: shot.time, before: shot.page, dom: shot.dom === null ? "null" : tools.quote(shot.dom) });

  let press = null; // what was seen when the button or key went down
  let focus = null; // what was seen when the field was entered
  let edit = null; // a field being filled: {el, shot, from}
  let enter = false; // the click that follows belongs to the Enter key
  let settledPage = ""; // the last page told
  let flushed = false;
  const handled = new WeakMap();

  const FORMATTED = { __proto__: null, date: 1, time: 1, month: 1, week: 1, "datetime-local": 1 };

  const origTarget = (event) => {
    const target = event.composedPath()[0];
    return target && target.nodeType === 1 ? target : target && target.nodeType === 3 ? target.parentElement : null;
  };
  const fieldOf = tools.fieldOf;
  const valueOf = (el) => tools.value(el);
  const ours = (event) => {
    const target = origTarget(event);
    return !target || tools.ignored(target) ? null : target;
  };

  function flush() {
    const done = edit;
    edit = null;
    if (!done || valueOf(done.el) === done.from) return;
    flushed = true;
    fill(done.el, done.shot);
  }

  function fill(el, shot) {
    const secret = tools.isSecret(el);
    const value = valueOf(el);
    tell("act", {
      verb: '"fill"',
      value: tools.quote(secret ? tools.MASK : value),
      masked: secret ? "true" : "false",
      hash: secret ? tools.quote(tools.hash(SALT + value)) : '""',
      ...told(shot),
    });
    touched();
  }

  const pick = (target) => {
    const about = (seen) =>
      seen && (seen.el === target || tools.contains(seen.el, target) || tools.contains(target, seen.el) || tools.labels(seen.el, target));
    return about(press) ? press : about(focus) ? focus : null;
  };
  // The page as last looked at: the state before a choice that came without a press of a button.
  const lately = (target) => (settled ? { el: target, time: origin + now(), page: top.lastSeen(target), dom: settled.dom } : shoot(target));
  let settled = null;

  function onPress(event) {
    const target = ours(event);
    if (!target || !event.isTrusted) return;
    if (edit && fieldOf(target) !== edit.el) flush();
    press = shoot(target);
  }

  function onKey(event) {
    const target = ours(event);
    if (!target || !event.isTrusted || event.isComposing) return;
    const key = event.key;
    if (key !== "Enter" && key !== "Escape") {
      if (target.localName === "select" || (target.localName === "input" && !fieldOf(target)) || key === " ") press = shoot(target);
      return;
    }
    const field = fieldOf(target);
    const typing = field && (target.localName === "textarea" || (target.localName !== "input" && !tools.attr(target, "role"))) && key === "Enter";
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (key === "Enter" && !field && tools.keyClicks(target)) {
      press = shoot(target); // a click follows
      return;
    }
    if (key === "Enter" && target.localName === "select") return;
    flush();
    tell("act", { verb: '"press"', value: tools.quote(key), soft: "true", ...told(shoot(target)) });
    touched();
    if (key === "Enter") {
      enter = true;
      later(() => { enter = false; }, 0);
    }
  }

  function onClick(event) {
    const target = ours(event);
    if (!target || !event.isTrusted || enter) return;
    const kind = tools.clickKind(target);
    if (!kind) return;
    let soft = kind === "soft" ? "true" : "false";
    let shot = flushed ? null : pick(target);
    if (flushed && !target.isConnected) shot = pick(target);
    flushed = false;
    if (edit) flush();
    shot = shot || shoot(target);
    if (!tools.hasPath(shot.page)) {
      // Nothing there looked as if it could be clicked: kept when the page reacts.
      tools.markClickable(target);
      shot = shoot(target);
      soft = "true";
    }
    tell("act", { verb: '"click"', soft, ...told(shot) });
    press = null;
    touched();
  }

  // What was pressed is gone before the button came up (a list of suggestions): no click will follow.
  function onRelease(event) {
    if (!event.isTrusted || !press || press.el.isConnected) return;
    if (tools.hasPath(press.page)) tell("act", { verb: '"click"', soft: "true", ...told(press) });
    press = null;
    touched();
  }

  const acceptable = (event) => event.isTrusted || SCRIPTED;

  function onChoice(event) {
    const target = ours(event);
    if (!target || !acceptable(event)) return;
    if (edit && edit.el !== target) flush();
    flushed = false;
    const tag = target.localName;
    const type = tag === "input" ? tools.inputType(target) : "";
    if (tag === "select") {
      const chosen = tools.chosen(target);
      if (handled.get(target) === chosen && event.type === "change") return handled.delete(target);
      if (event.type === "input") handled.set(target, chosen);
      tell("act", { verb: '"select"', chosen, ...told(pick(target) || lately(target)) });
    } else if (type === "checkbox" || type === "radio") {
      const state = target.checked ? "check" : "uncheck";
      if (handled.get(target) === state && event.type === "change") return handled.delete(target);
      if (event.type === "input") handled.set(target, state);
      tell("act", { verb: tools.quote(state), ...told(pick(target) || lately(target)) });
    } else if (type === "file" || type === "range" || type === "color") {
      if (event.type !== "change") return;
      fill(target, pick(target) || lately(target));
    } else return;
    press = focus = null;
    touched();
  }

  function onBeforeInput(event) {
    const target = ours(event);
    const field = fieldOf(target);
    if (!field || !event.isTrusted || (edit && edit.el === field)) return;
    flush();
    edit = { el: field, shot: shoot(field), from: valueOf(field) };
  }

  function onInput(event) {
    const target = ours(event);
    const field = fieldOf(target);
    if (!field) return onChoice(event);
    if (!acceptable(event) || (edit && edit.el === field)) return;
    flush();
    const seen = pick(field) || lately(field);
    edit = { el: field, shot: seen, from: entered.get(field) || "" };
  }
  const entered = new WeakMap();

  function onChange(event) {
    const target = ours(event);
    const field = fieldOf(target);
    if (!field) return onChoice(event);
    const own = field.localName === "input" ? tools.inputType(field) : "";
    if (edit && edit.el === field && !(FORMATTED[own] && event.isTrusted)) flush();
  }

  function onFocus(event) {
    const target = ours(event);
    const field = fieldOf(target);
    if (!target || (!field && target.localName !== "select" && target.localName !== "input")) return;
    if (field) entered.set(field, valueOf(field));
    if (!press || press.el !== target) focus = shoot(target);
  }

  function onLeave(event) {
    if (edit && ours(event) && fieldOf(ours(event)) === edit.el) flush();
  }

  for (const [name, heard] of [
    ["pointerdown", onPress], ["pointerup", onRelease], ["keydown", onKey], ["click", onClick], ["beforeinput", onBeforeInput], ["input", onInput],
    ["change", onChange], ["focusin", onFocus], ["focusout", onLeave], ["submit", flush], ["pagehide", flush],
  ]) {
    listen(window, name, (event) => {
      try {
        heard(event);
      } catch (error) {
        tell("trouble", { text: tools.quote("" + error) });
      }
    }, true);
  }

  // What the page has become, told when it has been quiet for a moment.
  const RESTLESS_MS = 1000;
  let waiting = 0;
  let costly = 0;
  let looked = now();
  function touched() {
    if (!isOuter) {
      try {
        outer[KEY].touched();
      } catch (error) {
        // The outer page is gone.
      }
      return;
    }
    const turn = ++waiting;
    // A page that never comes to rest (a clock runs on it) is looked at all the same.
    const check = () => { if (turn === waiting || now() - looked > RESTLESS_MS + 5 * costly) look(); };
    later(check, costly > 300 ? 400 : 80);
    if (costly <= 300) later(check, 300);
    later(check, 900);
  }
  let changing = 0;
  function changed() {
    if (changing) return;
    changing = 1;
    later(() => { changing = 0; touched(); }, 40);
  }
  function look() {
    const began = now();
    const shot = shoot(null);
    looked = now();
    costly = looked - began;
    settled = shot;
    if (shot.page === settledPage) return;
    settledPage = shot.page;
    const fields = told(shot);
    tell("state", { page: fields.before, dom: fields.dom });
  }
  const start = () => {
    new MutationObserver(changed).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    touched();
  };
  listen(document, "readystatechange", () => {
    if (isOuter && document.readyState !== "loading") settled = shoot(null);
    touched();
  }, true);
  listen(window, "load", touched, true);
  start();

  Object.defineProperty(window, KEY, { value: Object.freeze({ flush, touched }) });
  if (window.navigation) {
    listen(window.navigation, "navigate", (event) => {
      // Going through the history is told below; loading again is the page's doing only right after an action.
      const own = event.navigationType === "reload" ? now() - lastAct < 1500 : event.navigationType !== "traverse";
      if (own && !event.hashChange && isTop) tell("leaving", {});
    });
  }
  for (const name of ["back", "forward", "go"]) {
    const original = History.prototype[name];
    History.prototype[name] = {
      [name](...steps) {
        tell("leaving", {});
        return Reflect.apply(original, this, steps);
      },
    }[name];
  }
  if (isTop) {
    const answer = tell("load", { url: tools.quote(location.href) });
    if (BADGE && answer && answer.then) answer.then((state) => showBadge(state));
  }

  function showBadge(state) {
    if (!document.documentElement) return later(() => showBadge(state), 20);
    const host = document.createElement("div");
    tools.ignore(host);
    host.style.cssText = "all:initial;position:fixed;right:12px;bottom:12px;z-index:2147483647";
    const root = tools.shadow(host);
    const box = document.createElement("div");
    box.style.cssText = "font:13px system-ui,sans-serif;background:#1c1c1e;color:#fff;border-radius:8px;padding:6px 10px;display:flex;gap:8px;align-items:center;box-shadow:0 2px 8px #0006";
    const word = document.createElement("span");
    const make = (text, heard) => {
      const button = document.createElement("button");
      button.textContent = text;
      button.style.cssText = "font:inherit;color:inherit;background:#3a3a3c;border:0;border-radius:5px;padding:3px 8px;cursor:pointer";
      listen(button, "click", heard);
      return button;
    };
    let paused = state === "paused";
    const pause = make("", () => {
      paused = !paused;
      tell("control", { what: paused ? '"pause"' : '"resume"' });
      paint();
    });
    const stop = make("Stop", () => { flush(); tell("control", { what: '"stop"' }); });
    const paint = () => {
      word.textContent = paused ? "\u23f8 paused" : "\u23fa recording";
      pause.textContent = paused ? "Go on" : "Pause";
    };
    paint();
    box.append(word, pause, stop);
    root.append(box);
    document.documentElement.append(host);
  }
})();
