/**
 * Ranges of remote objects kept on the local disk, so that an epoch after the first, another run, or `eval` need not
 * fetch them again. One file per range: a header with length and CRC-32, then the bytes; written beside and renamed. A
 * damaged entry is deleted and fetched again. Several processes may share a folder.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { CorpusError } from "../errors.ts";
import { errorCode, isMissing } from "../file-errors.ts";
import { replaceFile } from "../whole-files.ts";

/** Marks an entry, and the version of its layout: "SLRANGE1", then length and CRC-32 as u32, little-endian. */
const MAGIC = Buffer.from("SLRANGE1", "latin1");
const HEADER_BYTES = 16;
/** Making room goes down to this share of the limit, so that it is not done for every entry. */
const SHRINK_TO = 0.9;
/** A half-written file that is older than this belongs to no process any more. */
const STALE_MS = 3_600_000;
const PARTIAL = ".partial";

/** A bounded folder of ranges. */
export class BlockCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  /** Bytes in the folder as far as this process knows; undefined before it has looked. */
  #bytes: number | undefined;
  #shrinking: Promise<void> | undefined;
  #written = 0;
  #full = false;

  /** @param maxBytes most bytes of all entries; exceeded at most by the entries being written. */
  constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
  }

  /**
   * The cache of one object.
   * @param url where it is.
   * @param identity its content, as `RangeReader.identity` tells it.
   */
  entries(url: string, identity: string): CachedRanges {
    const name = createHash("sha256").update(`${url}\n${identity}`).digest("hex").slice(0, 32);
    const folder = join(this.#folder, name);
    const pathOf = (position: number, length: number): string => join(folder, `${position}-${length}`);
    return {
      read: (into, position) => this.#read(pathOf(position, into.byteLength), into),
      write: (bytes, position) => this.#write(folder, pathOf(position, bytes.byteLength), bytes),
    };
  }

  async #read(path: string, into: Uint8Array): Promise<boolean> {
    let handle: FileHandle;
    try {
      handle = await open(path, "r+");
    } catch (cause) {
      if (isMissing(cause)) return false;
      throw this.#unusable("unreadable", cause);
    }
    let intact: boolean;
    try {
      intact = await readEntry(handle, into);
      // Eviction goes by this time: what was used last goes last.
      const now = new Date();
      if (intact) await handle.utimes(now, now);
    } catch (cause) {
      throw this.#unusable("unreadable", cause);
    } finally {
      await handle.close();
    }
    if (!intact) await rm(path, { force: true });
    return intact;
  }

  async #write(folder: string, path: string, bytes: Uint8Array): Promise<void> {
    const length = HEADER_BYTES + bytes.byteLength;
    if (this.#full || length > this.#maxBytes) return;
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header);
    header.writeUInt32LE(bytes.byteLength, 8);
    header.writeUInt32LE(crc32(bytes), 12);
    const partial = `${path}.${process.pid}-${this.#written++}${PARTIAL}`;
    try {
      await mkdir(folder, { recursive: true });
      const write = async (handle: FileHandle): Promise<void> => {
        await writeFully(handle, header);
        await writeFully(handle, bytes);
      };
      await replaceFile(path, write, partial);
    } catch (cause) {
      // A full disk is no reason to lose a run: nothing more is kept, reading goes on.
      this.#full = ["ENOSPC", "EDQUOT"].includes(errorCode(cause));
      if (this.#full) return;
      throw this.#unusable("unwritable", cause);
    }
    if (this.#bytes === undefined) await this.#shrink();
    else {
      this.#bytes += length;
      if (this.#bytes > this.#maxBytes) await this.#shrink();
    }
  }

  /** Counts the entries, and removes those unused for longest where there are too many. One at a time. */
  async #shrink(): Promise<void> {
    this.#shrinking ??= this.#removeOldest().finally(() => {
      this.#shrinking = undefined;
    });
    await this.#shrinking;
  }

  async #removeOldest(): Promise<void> {
    let bytes = 0;
    try {
      const entries = await listEntries(this.#folder);
      for (const entry of entries) bytes += entry.size;
      if (bytes > this.#maxBytes) {
        entries.sort((a, b) => a.usedMs - b.usedMs);
        for (const { path, size } of entries) {
          if (bytes <= SHRINK_TO * this.#maxBytes) break;
          await rm(path, { force: true });
          bytes -= size;
        }
      }
    } catch (cause) {
      throw this.#unusable("unwritable", cause);
    }
    this.#bytes = bytes;
  }

  #unusable(kind: "unreadable" | "unwritable", cause: unknown): CorpusError {
    const what = `the cache of remote blocks cannot be used (${errorCode(cause)}); give another folder by SPARSELOOM_CACHE_DIR, or none by SPARSELOOM_CACHE_SIZE=0`;
    return new CorpusError(kind, what, { path: this.#folder, cause });
  }
}

/** Kept ranges of one object. A range is found again only by the same position and length. */
export interface CachedRanges {
  /** Fills `into` from an entry; false when there is none that is intact. @throws CorpusError unreadable. */
  read(into: Uint8Array, position: number): Promise<boolean>;
  /** Keeps a copy of `bytes`, unless the disk is full. @throws CorpusError unwritable. */
  write(bytes: Uint8Array, position: number): Promise<void>;
}

async function readEntry(handle: FileHandle, into: Uint8Array): Promise<boolean> {
  const { size } = await handle.stat();
  if (size !== HEADER_BYTES + into.byteLength) return false;
  const header = Buffer.alloc(HEADER_BYTES);
  if (!(await readFully(handle, header, 0)) || !(await readFully(handle, into, HEADER_BYTES))) return false;
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return false;
  return header.readUInt32LE(8) === into.byteLength && header.readUInt32LE(12) === crc32(into);
}

async function readFully(handle: FileHandle, into: Uint8Array, position: number): Promise<boolean> {
  for (let done = 0; done < into.byteLength; ) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, position + done);
    if (bytesRead === 0) return false;
    done += bytesRead;
  }
  return true;
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
  }
}

interface Entry {
  readonly path: string;
  readonly size: number;
  readonly usedMs: number;
}

/** All entries; deletes what processes that died have left. */
async function listEntries(folder: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const object of await readdir(folder, { withFileTypes: true })) {
    if (!object.isDirectory()) continue;
    for (const name of await readdir(join(folder, object.name))) {
      const path = join(folder, object.name, name);
      try {
        const { size, mtimeMs } = await stat(path);
        if (!name.endsWith(PARTIAL)) entries.push({ path, size, usedMs: mtimeMs });
        else if (Date.now() - mtimeMs > STALE_MS) await rm(path, { force: true });
      } catch (error) {
        // Another process was faster.
        if (!isMissing(error)) throw error;
      }
    }
  }
  return entries;
}
