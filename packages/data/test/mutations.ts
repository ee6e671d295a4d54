/**
 * Damaged corpora, made from the fixtures: a pure function of a number, so that any of them can be made again. Used by
 * the tests with some hundreds, and by checks/fuzz.ts with as many as one likes.
 */
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hash32 } from "../src/random.ts";

const FIXTURES: string = fileURLToPath(new URL("fixtures/", import.meta.url));

/** A fixture that can be damaged. */
export interface Specimen {
  /** Path of the file below the fixtures' folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Folder of fixtures to be opened as a whole, when the file is part of one. */
  readonly folder: string | undefined;
}

/** All Arrow files among the fixtures, and the files of their folders. */
export async function readSpecimens(): Promise<readonly Specimen[]> {
  const specimens: Specimen[] = [];
  const names = await readdir(FIXTURES, { recursive: true });
  for (const name of names.sort()) {
    if (!/\.(arrow|feather|json)$/.test(name)) continue;
    const bytes = await readFile(join(FIXTURES, name));
    const folder = dirname(name) === "." ? undefined : dirname(name);
    specimens.push({ name, bytes, folder });
    // As a file by itself, too.
    if (folder !== undefined && name.endsWith(".arrow")) specimens.push({ name, bytes, folder: undefined });
  }
  return specimens;
}

/**
 * Writes damaged corpus number `index` into an empty folder.
 * @returns what to open, and a description of the damage.
 */
export async function writeDamaged(
  specimens: readonly Specimen[],
  seed: number,
  index: number,
  target: string,
): Promise<{ path: string; what: string; bytes: number }> {
  const draw = drawer(seed, index);
  const specimen = specimens[draw(specimens.length)]!;
  const { bytes, what } = damage(specimen, specimens, draw);
  await rm(target, { recursive: true, force: true });
  const description = `${seed}:${index} ${specimen.name}${specimen.folder === undefined ? "" : " in its folder"}, ${what}`;
  await mkdir(target, { recursive: true });
  if (specimen.folder === undefined) {
    const path = join(target, basename(specimen.name));
    await writeFile(path, bytes);
    return { path, what: description, bytes: bytes.length };
  }
  const path = join(target, basename(specimen.folder));
  await cp(join(FIXTURES, specimen.folder), path, { recursive: true });
  await writeFile(join(path, basename(specimen.name)), bytes);
  return { path, what: description, bytes: bytes.length + 100_000 };
}

/** Draws a whole number below `bound`. */
type Draw = (bound: number) => number;

function drawer(seed: number, index: number): Draw {
  let counter = 0;
  // Purpose 99: no stream of the package draws for it.
  return (bound) => Math.floor((hash32(seed, 99, index, counter++) / 2 ** 32) * bound);
}

function damage(
  specimen: Specimen,
  specimens: readonly Specimen[],
  draw: Draw,
): { bytes: Uint8Array; what: string } {
  let bytes = Uint8Array.from(specimen.bytes);
  const done: string[] = [];
  for (let times = 1 + draw(3) * draw(2); times > 0; times--) {
    const kind = KINDS[draw(KINDS.length)]!;
    bytes = kind.change(bytes, draw, specimens);
    done.push(kind.name);
  }
  return { bytes, what: done.join(", ") };
}

interface Kind {
  readonly name: string;
  readonly change: (
    bytes: Uint8Array<ArrayBuffer>,
    draw: Draw,
    specimens: readonly Specimen[],
  ) => Uint8Array<ArrayBuffer>;
}

const KINDS: readonly Kind[] = [
  { name: "bits flipped", change: flipBits },
  { name: "bytes set", change: setBytes },
  { name: "a 32-bit number set", change: (bytes, draw) => setNumber(bytes, draw, 4) },
  { name: "a 32-bit number set", change: (bytes, draw) => setNumber(bytes, draw, 4) },
  { name: "a 64-bit number set", change: (bytes, draw) => setNumber(bytes, draw, 8) },
  { name: "a small number changed", change: changeNumber },
  { name: "cut short", change: (bytes, draw) => bytes.slice(0, draw(bytes.length + 1)) },
  { name: "bytes taken out", change: (bytes, draw) => splice(bytes, place(bytes, draw), 1 + draw(64), []) },
  { name: "bytes put in", change: (bytes, draw) => splice(bytes, place(bytes, draw), 0, noise(draw)) },
  { name: "a range copied", change: copyRange },
  { name: "a range cleared", change: (bytes, draw) => fill(bytes, draw, draw(2) * 255) },
  { name: "the end of another file", change: graft },
];

/** A place in the file: often in its headers, which are at its ends. */
function place(bytes: Uint8Array, draw: Draw): number {
  const region = draw(4);
  if (bytes.length === 0) return 0;
  if (region === 0) return draw(Math.min(bytes.length, 1500));
  if (region === 1) return bytes.length - 1 - draw(Math.min(bytes.length, 1500));
  return draw(bytes.length);
}

function flipBits(bytes: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  for (let n = 1 + draw(4); n > 0 && bytes.length > 0; n--) bytes[place(bytes, draw)]! ^= 1 << draw(8);
  return bytes;
}

function setBytes(bytes: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  for (let n = 1 + draw(4); n > 0 && bytes.length > 0; n--) bytes[place(bytes, draw)] = draw(256);
  return bytes;
}

function setNumber(bytes: Uint8Array<ArrayBuffer>, draw: Draw, width: 4 | 8): Uint8Array<ArrayBuffer> {
  if (bytes.length < width) return bytes;
  const at = Math.min(bytes.length - width, place(bytes, draw) & ~3);
  const near = [0, 1, -1, 2, 7, 8, 64, 255, bytes.length, bytes.length - at, at, -at, 2 ** 16, 2 ** 30];
  const far = [2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 2 ** 62];
  const values = [...near, ...far];
  const value = BigInt(values[draw(values.length)]!) + BigInt(draw(3) - 1);
  const view = new DataView(bytes.buffer);
  if (width === 8) view.setBigInt64(at, BigInt.asIntN(64, value), true);
  else view.setInt32(at, Number(BigInt.asIntN(32, value)), true);
  return bytes;
}

function changeNumber(bytes: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  if (bytes.length < 4) return bytes;
  const view = new DataView(bytes.buffer);
  // Lengths and offsets are small numbers at multiples of 4: change one that is there.
  for (let tries = 0; tries < 50; tries++) {
    const at = Math.min(bytes.length - 4, place(bytes, draw) & ~3);
    const value = view.getInt32(at, true);
    if (value === 0 || Math.abs(value) > 100_000) continue;
    view.setInt32(at, [value + 1, value - 1, value * 2, -value, value >> 1, value + 8][draw(6)]!, true);
    return bytes;
  }
  return bytes;
}

function splice(
  bytes: Uint8Array,
  at: number,
  remove: number,
  insert: ArrayLike<number>,
): Uint8Array<ArrayBuffer> {
  const rest = bytes.subarray(Math.min(bytes.length, at + remove));
  const result = new Uint8Array(at + insert.length + rest.length);
  result.set(bytes.subarray(0, at));
  result.set(insert, at);
  result.set(rest, at + insert.length);
  return result;
}

function noise(draw: Draw): number[] {
  return Array.from({ length: 1 + draw(64) }, () => draw(256));
}

function copyRange(bytes: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  const from = place(bytes, draw);
  return bytes.copyWithin(place(bytes, draw), from, from + 1 + draw(128));
}

function fill(bytes: Uint8Array<ArrayBuffer>, draw: Draw, value: number): Uint8Array<ArrayBuffer> {
  const at = place(bytes, draw);
  return bytes.fill(value, at, at + 1 + draw(64));
}

function graft(
  bytes: Uint8Array<ArrayBuffer>,
  draw: Draw,
  specimens: readonly Specimen[],
): Uint8Array<ArrayBuffer> {
  const other = specimens[draw(specimens.length)]!.bytes;
  const at = draw(bytes.length + 1);
  return splice(bytes, at, bytes.length, other.subarray(draw(other.length)));
}
