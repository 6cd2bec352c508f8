(function () {
  "use strict";
  var at = function (id) { return document.getElementById(id); };
  var AREAS = 10, TOP = 26, BOTTOM = 24, LEFT = 46, WIDEST = 9;
  var last = null;
  function number(value) { return Math.round(value).toLocaleString("en-US"); }
  function say(id, words) { var node = at(id); if (node.textContent !== words) { node.textContent = words; } }
  function make(name, attributes, words) {
    var node = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.keys(attributes).forEach(function (key) { node.setAttribute(key, attributes[key]); });
    if (words !== undefined) { node.textContent = words; }
    return node;
  }
  function element(name, className, words) {
    var node = document.createElement(name);
    node.className = className;
    if (words !== undefined) { node.textContent = words; }
    return node;
  }
  function badge(words, tone) { say("badge", words); at("badge").className = "badge " + tone; }
  function phase(view) {
    if (view.problem) { return badge("broken", "fail"); }
    if (view.silent_s) { return badge("no word for " + Math.round(view.silent_s) + " s", "invalid"); }
    badge(view.phase, view.phase === "running" ? "pass" : "quiet");
  }
  function rows(view) {
    var body = at("rows").tBodies[0], over = view.phase === "over";
    say("figure", over ? "share" : "a second");
    while (body.rows.length > view.rows.length) { body.deleteRow(-1); }
    view.rows.forEach(function (row, index) {
      var line = body.rows[index];
      if (!line) {
        line = body.insertRow();
        [element("td", "replica"), element("td", "n"), element("td", "n"), element("td", "")].forEach(function (cell) { line.append(cell); });
        line.cells[0].append(element("span", "dot"), element("span", "name"), " ", element("span", "tag"));
        line.cells[3].append(element("div", "track"));
        line.cells[3].firstChild.append(element("div", "fill"));
      }
      line.className = "c" + index % AREAS + (row.here ? "" : " gone") + (row.state === "new" ? " new" : "");
      var parts = line.cells[0].children;
      parts[1].textContent = row.pod;
      parts[2].textContent = row.state;
      parts[2].hidden = !row.state;
      line.cells[1].textContent = over ? (100 * row.share).toFixed(1) + " %" : number(row.rate);
      line.cells[2].textContent = number(row.calls);
      line.cells[3].firstChild.firstChild.style.width = 100 * row.length + "%";
    });
  }
  function events(view) {
    var list = at("events");
    list.replaceChildren.apply(list, view.events.slice(-40).reverse().map(function (event) {
      var item = element("li", event.kind === "command" ? "command" : "");
      item.append(element("time", "soft", (event.t_s < 0 ? "−" : "+") + Math.abs(event.t_s).toFixed(1) + " s"), " ");
      item.append(element("b", "", event.kind), " " + event.detail);
      return item;
    }));
    if (!view.events.length) { list.append(element("li", "soft", "Nothing has happened to the replicas.")); }
  }
  function timeline(view) {
    var svg = at("timeline"), width = svg.clientWidth || 800, height = svg.clientHeight || 260, seconds = view.seconds;
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    svg.replaceChildren();
    var first = view.first_second, span = Math.max(view.of_s && view.of_s <= 120 ? view.of_s : 10, seconds.length);
    var most = Math.max.apply(null, [1].concat(seconds.map(function (second) { return second.reduce(function (a, b) { return a + b; }, 0); })));
    var x = function (t) { return LEFT + (width - LEFT - 8) * (t - first) / span; };
    var y = function (calls) { return height - BOTTOM - (height - TOP - BOTTOM) * calls / most; };
    [0, 0.5, 1].forEach(function (part) {
      svg.append(make("line", {x1: LEFT, x2: width - 8, y1: y(part * most), y2: y(part * most), "class": "grid"}));
      svg.append(make("text", {x: LEFT - 8, y: y(part * most) + 4, "text-anchor": "end", "class": "axis"}, number(part * most)));
    });
    var step = [1, 2, 5, 10, 15, 20, 30, 60].find(function (size) { return span / size <= width / 90; }) || 60;
    for (var t = Math.ceil(first / step) * step; t <= first + span; t += step) {
      svg.append(make("text", {x: x(t), y: height - 4, "text-anchor": t === first ? "start" : t > first + span - step / 3 ? "end" : "middle", "class": "axis"}, t + " s"));
    }
    var base = seconds.map(function () { return 0; }), areas = seconds.length ? seconds[0].length : 0;
    for (var index = 0; index < areas; index += 1) {
      var below = base.slice(), forth = "", back = "";
      seconds.forEach(function (second, place) {
        base[place] += second[index];
        var from = x(first + place), to = x(first + place + 1);
        forth += "L" + from + " " + y(base[place]) + "L" + to + " " + y(base[place]);
        back = "L" + to + " " + y(below[place]) + "L" + from + " " + y(below[place]) + back;
      });
      svg.append(make("path", {d: "M" + (forth + back).slice(1) + "Z", "class": "area " + (index === areas - 1 ? "bad" : "c" + index % AREAS)}));
    }
    view.events.forEach(function (event) {
      if (event.t_s < first || event.t_s > first + span) { return; }
      var command = event.kind === "command", place = x(event.t_s), late = event.t_s > first + span / 2;
      svg.append(make("line", {x1: place, x2: place, y1: command ? 6 : TOP, y2: height - BOTTOM, "class": command ? "mark command" : "mark"}));
      if (!command) { return; }
      var fits = Math.floor((late ? place - 6 : width - place - 6) / WIDEST);
      var words = event.detail.length > fits ? event.detail.slice(0, fits - 1) + "…" : event.detail;
      svg.append(make("text", {x: place + (late ? -6 : 6), y: 16, "text-anchor": late ? "end" : "start", "class": "event"}, words));
    });
  }
  function show(view) {
    last = view;
    phase(view);
    at("waiting").hidden = view.phase !== "waiting";
    at("view").hidden = view.phase === "waiting";
    at("progress").style.width = 100 * view.progress + "%";
    if (view.phase === "waiting") { return; }
    say("run", view.run);
    say("headline", view.headline);
    say("title", view.title + (view.scenario_title ? ". " + view.scenario_title : ""));
    say("time", view.t_s.toFixed(1) + " s");
    say("of-time", view.of_s ? "of " + view.of_s.toLocaleString("en-US", {maximumFractionDigits: 1}) + " s" : "");
    say("calls", number(view.done));
    say("of-calls", view.total ? "of " + number(view.total) : "");
    say("rate", view.phase === "running" ? number(view.rate) : "–");
    var codes = Object.keys(view.errors).map(function (code) { return code + " " + number(view.errors[code]); });
    say("failed", number(view.failed));
    at("failed-tile").title = codes.join(", ");
    at("failed-tile").className = "tile" + (view.failed ? " trouble" : "");
    at("failed-tile").firstElementChild.textContent = "failed" + (codes.length ? ": " + codes[0].replace(/ [\d,]+$/, "") : "");
    say("p99", view.p99_ms === null ? "–" : view.p99_ms < 10 ? view.p99_ms.toFixed(2) + " ms" : number(view.p99_ms) + " ms");
    say("connections", number(view.connections));
    say("problem", view.problem);
    at("problem").hidden = !view.problem;
    document.title = view.headline + ", live";
    rows(view); events(view); timeline(view);
  }
  var source = new EventSource("views");
  source.onmessage = function (message) { show(JSON.parse(message.data)); };
  source.onerror = function () { badge("not connected: is lb-lab watch --page still running?", "invalid"); };
  window.addEventListener("resize", function () { if (last && last.phase !== "waiting") { timeline(last); } });
}());
