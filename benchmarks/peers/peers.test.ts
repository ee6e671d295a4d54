/** The comparison's own arithmetic and lists; the peers themselves need not be installed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SHAPES } from "../src/shapes.ts";
import { effortFor, PEERS } from "./cases.ts";
import { stepGraph } from "./onnx-graphs.ts";
import { formatRace } from "./race.ts";
import { formatLines, linesOf, type Result } from "./results.ts";

const common = { model: "topk", shape: "S" } as const;
const RESULTS: readonly Result[] = [
  { ...common, contender: "Sparseloom", ours: true, threads: 2, rates: [30, 20, 10] },
  {
    ...common,
    contender: "Sparseloom --experimental-wide-simd",
    ours: true,
    threads: 2,
    rates: [60, 60, 60],
  },
  { ...common, contender: "Sparseloom", ours: true, threads: 1, rates: [15, 15, 15] },
  { ...common, contender: "other", ours: false, threads: 2, rates: [10, 10, 10] },
  { ...common, contender: "single", ours: false, threads: 1, rates: [5] },
];

await test("a peer is compared with ours at as many threads, turn by turn and best by best", () => {
  const [ours, , , other, single] = linesOf(RESULTS);
  assert.equal(ours!.activationsPerSecond, 20);
  assert.ok(Number.isNaN(ours!.oursByThis.byTurn));
  assert.deepEqual(other!.oursByThis, { byTurn: 2, bestByBest: 3 });
  assert.deepEqual(other!.wideByThis, { byTurn: 6, bestByBest: 6 });
  assert.deepEqual(single!.oursByThis, { byTurn: 3, bestByBest: 3 });
  assert.ok(Number.isNaN(single!.wideByThis.byTurn));
});

await test("the table shows both ratios, and none where there is none", () => {
  const lines = formatLines(linesOf(RESULTS)).split("\n");
  assert.match(lines[2]!, /^Sparseloom \(topk\) .* 20\.0 +10\.0 – 30\.0$/);
  assert.match(lines[5]!, /^other .* 10\.0 +10\.0 – 10\.0 +2\.00 \(3\.00\) +6\.00 \(6\.00\)$/);
  assert.match(lines[6]!, /3\.00 \(3\.00\)$/);
});

await test("every case is at shapes that exist, and one that PyTorch's script knows", () => {
  const script = readFileSync(join(import.meta.dirname, "torch_step.py"), "utf8");
  const known = /^CASES = \{(.*)\}$/m.exec(script)![1]!;
  for (const { shapes, system, open, model } of PEERS) {
    for (const name of shapes) {
      const shape = SHAPES.find((candidate) => candidate.name === name);
      assert.ok(shape !== undefined && effortFor(shape, model).rounds > 0, name);
    }
    if (system === "torch") assert.ok(known.includes(`"${String(open["case"])}"`), String(open["case"]));
  }
});

/** The fields of a protocol buffer's message: their numbers with whole numbers or bytes. */
function* fieldsOf(bytes: Uint8Array): Generator<readonly [field: number, value: number | Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let place = 1; ; place *= 128) {
      const byte = bytes[at++]!;
      value += place * (byte % 128);
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const field = Math.floor(key / 8);
    if (key % 8 === 0) yield [field, varint()];
    else {
      const length = key % 8 === 2 ? varint() : 4;
      yield [field, bytes.subarray(at, (at += length))];
    }
  }
}
const textOf = (value: number | Uint8Array | undefined): string =>
  new TextDecoder().decode(value as Uint8Array);

await test("an ONNX step takes its state and gives all of it back, from operators that are in order", () => {
  for (const architecture of ["topk", "relu"] as const) {
    const { model, state } = stepGraph(SHAPES[0]!, architecture);
    const graph = [...fieldsOf(model)].find(([field]) => field === 7)![1] as Uint8Array;
    const known = new Set<string>();
    const [inputs, outputs]: [string[], string[]] = [[], []];
    const nodes: Uint8Array[] = [];
    for (const [field, value] of fieldsOf(graph)) {
      const inside = typeof value === "number" ? [] : field === 2 ? [] : [...fieldsOf(value)];
      const name = (number: number) => textOf(inside.find(([field]) => field === number)?.[1]);
      if (field === 11) inputs.push(name(1));
      if (field === 12) outputs.push(name(1));
      if (field === 5) known.add(name(8));
      if (field === 1) nodes.push(value as Uint8Array);
    }
    for (const input of inputs) known.add(input);
    for (const node of nodes) {
      for (const [field, value] of fieldsOf(node)) {
        if (field === 1) assert.ok(known.has(textOf(value)), textOf(value));
        if (field === 2) known.add(textOf(value));
      }
    }
    assert.equal(state.length, 12);
    assert.deepEqual(inputs, ["x", "stepSize", "epsilon", ...state.map(({ name }) => name)]);
    assert.deepEqual(outputs, [...state.map(({ name }) => `${name}.next`), "loss"]);
    assert.ok(outputs.every((name) => known.has(name)));
  }
});

await test("the race's table has both systems' seconds, losses and active latents", () => {
  const density = { first: 0.5, last: 0.04, theirs: 0.041 };
  const line = {
    shape: "M",
    from: "the start",
    threads: 2,
    steps: 16,
    ours: 10,
    theirs: 20,
    ratio: 2,
    density,
  };
  const table = formatRace([{ ...line, loss: { ours: 1.5, theirs: 1.6 }, turns: [] }]);
  assert.match(
    table.split("\n")[2]!,
    /^from the start +M +2 +16 +10\.0 +20\.0 +2\.00 +50\.0 % – 4\.0 % +4\.1 % +1\.50 +1\.60$/,
  );
});

await test("the command refuses what it does not know with one line and status 2", () => {
  const words = [join(import.meta.dirname, "run.ts"), "--shape", "XL"];
  const { status, stderr, stdout } = spawnSync(process.execPath, words, { encoding: "utf8" });
  assert.equal(status, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: .*"XL" must be one of S, M, L\.\n$/);
  const short = spawnSync(process.execPath, [words[0]!, "--race", "--race-steps", "3"], { encoding: "utf8" });
  assert.equal(short.status, 2);
  assert.match(short.stderr, /^error: .*must be a whole number from 8 on\.\n$/);
});
