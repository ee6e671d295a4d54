/**
 * How far a partial file is good, so that a broken-off writing can be gone on with: `<path>.partial.json`, written
 * after the bytes that it speaks of have reached the disk. Used by the writer only.
 */
import type { FileHandle } from "node:fs/promises";
import { open, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import type { BatchPlace } from "./arrow/encode.ts";
import { CorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";

/** Bytes between two notes: each waits for the disk, and what comes after the last is done again. */
const NOTE_EVERY_BYTES = 256 * 1024 * 1024;

/** What the file says. */
interface Note {
  readonly key: string;
  readonly batches: readonly BatchPlace[];
}

export class Journal {
  readonly #partial: string;
  readonly #path: string;
  readonly #key: string;
  readonly #noteEvery: number;
  #noted = 0;

  /** @param key a part that was written under another is thrown away. */
  constructor(path: string, key: string, noteEvery: number = NOTE_EVERY_BYTES) {
    this.#partial = `${path}.partial`;
    this.#path = `${path}.partial.json`;
    this.#key = key;
    this.#noteEvery = noteEvery;
  }

  /** Whether there is something to go on with. */
  get isNoted(): boolean {
    return this.#noted > 0;
  }

  /** Opens the partial file behind its last good batch; a new one where there is nothing to go on with. */
  async open(): Promise<{ handle: FileHandle; batches: readonly BatchPlace[] }> {
    const batches = await this.#read();
    const end = endOf(batches);
    try {
      const size = await sizeOf(this.#partial);
      if (end > 0 && size >= end) {
        await truncate(this.#partial, end);
        this.#noted = end;
        return { handle: await open(this.#partial, "a"), batches };
      }
      await rm(this.#path, { force: true });
      return { handle: await open(this.#partial, "w"), batches: [] };
    } catch (cause) {
      const what = isMissing(cause) ? "its folder does not exist" : `cannot be written (${errorCode(cause)})`;
      const kind = isMissing(cause) ? "not-found" : "unwritable";
      throw new CorpusError(kind, what, { path: this.#partial, cause });
    }
  }

  /** Called after each batch: now and then waits for the disk and notes how far the file is good. */
  async note(handle: FileHandle, batches: readonly BatchPlace[]): Promise<void> {
    const end = endOf(batches);
    if (end - this.#noted < this.#noteEvery) return;
    await handle.sync();
    const note: Note = { key: this.#key, batches };
    const beside = `${this.#path}.new`;
    await writeFile(beside, JSON.stringify(note));
    await rename(beside, this.#path);
    this.#noted = end;
  }

  /** When the file has its name. */
  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #read(): Promise<readonly BatchPlace[]> {
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (cause) {
      if (isMissing(cause)) return [];
      throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, {
        path: this.#path,
        cause,
      });
    }
    try {
      const note = JSON.parse(text) as Note;
      return note.key === this.#key ? note.batches : [];
    } catch (cause) {
      const what = "is damaged; remove it to pack from the start";
      throw new CorpusError("malformed", what, { path: this.#path, cause });
    }
  }
}

/** 0 where there is no such file. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

function endOf(batches: readonly BatchPlace[]): number {
  const last = batches.at(-1);
  return last === undefined ? 0 : last.position + last.metadataBytes + last.bodyBytes;
}
