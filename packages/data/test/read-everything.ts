/** Opens a corpus that may be damaged, and reads all that it holds: it must work, or say what is wrong and where. */
import { openCorpus } from "../src/open-corpus.ts";
import type { Corpus } from "../src/corpus.ts";
import { isCorpusError } from "../src/errors.ts";

/** What came of it: `read`, or the kind of the refusal; anything else is a fault of ours. */
export type Outcome =
  | { readonly kind: "read"; readonly rows: number }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "fault"; readonly error: unknown };

const GUARD = 0x5a;
const GUARD_BYTES = 64;

/** Reads blocks (into memory with guards about it), some rows, all labels and their places. */
export async function readEverything(path: string, blockBytes: number): Promise<Outcome> {
  try {
    await using corpus = await openCorpus([path], { blockBytes });
    for (const block of corpus.blocks) {
      await guarded(block.byteLength, (into) => corpus.readBlock(block, into));
      const rows = Uint32Array.from(new Set([0, block.rows >> 1, block.rows - 1]));
      const rowBytes = block.byteLength / block.rows;
      await guarded(rows.length * rowBytes, (into) => corpus.readRows(block, rows, into));
      const names = corpus.labels.map((label) => label.name);
      for (const [name, labels] of await corpus.readLabels(block, names)) {
        if (labels.length === block.rows) continue;
        throw new Error(`${labels.length} labels "${name}" for ${block.rows} rows`);
      }
    }
    corpus.locate(0);
    corpus.locate(corpus.rows - 1);
    return { kind: "read", rows: corpus.rows };
  } catch (error) {
    return isFair(error, path) ? { kind: "refused", message: error.message } : { kind: "fault", error };
  }
}

/** A refusal must name the file, in one line; `changed` would mean that we read where the file has no bytes. */
function isFair(error: unknown, path: string): error is Error {
  if (!isCorpusError(error) || error.kind === "changed") return false;
  const { message } = error;
  return error.path?.startsWith(path) === true && !message.includes("\n") && message.length < 20_000;
}

async function guarded(
  bytes: number,
  read: (into: Uint8Array) => ReturnType<Corpus["readBlock"]>,
): Promise<void> {
  const memory = new Uint8Array(bytes + 2 * GUARD_BYTES).fill(GUARD);
  await read(memory.subarray(GUARD_BYTES, GUARD_BYTES + bytes));
  const isWhole =
    memory.subarray(0, GUARD_BYTES).every((byte) => byte === GUARD) &&
    memory.subarray(GUARD_BYTES + bytes).every((byte) => byte === GUARD);
  if (!isWhole) throw new Error("the reader wrote outside of the memory that it was given");
}
