/**
 * Statistics kept beside the corpus, so that they are computed once: `<first file>.sparseloom.json`, or, where
 * that folder cannot be written, a file in the user's cache folder. Valid only for the fingerprint that it names.
 */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Corpus } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./paths.ts";
import { gammaOf } from "./statistics.ts";
import type { CorpusStatistics } from "./statistics.ts";

/** The version of the file's layout; another one is ignored. */
const VERSION = 1;

/**
 * The statistics recorded for this corpus, beside it or in the cache folder; undefined when there are none, or
 * only those of another corpus (by fingerprint).
 * @throws CorpusError malformed when a sidecar of this corpus is damaged, unreadable.
 */
export async function readStatistics(corpus: Corpus): Promise<CorpusStatistics | undefined> {
  for (const path of sidecarPaths(corpus)) {
    const text = await readIfThere(path);
    if (text === undefined) continue;
    const statistics = parse(path, text, corpus);
    if (statistics !== undefined) return statistics;
  }
  return undefined;
}

/**
 * Records statistics, atomically; replaces what was recorded before.
 * @returns the path that was written.
 * @throws CorpusError unwritable when neither place can be written.
 */
export async function writeStatistics(corpus: Corpus, statistics: CorpusStatistics): Promise<string> {
  const record = { version: VERSION, fingerprint: corpus.fingerprint, statistics };
  const text = `${JSON.stringify(record, undefined, 1)}\n`;
  const [beside, cached] = sidecarPaths(corpus);
  try {
    await replaceFile(beside, text);
    return beside;
  } catch (error) {
    if (!["EACCES", "EPERM", "EROFS"].includes(errorCode(error))) throw unwritable(beside, error);
  }
  try {
    await mkdir(dirname(cached), { recursive: true });
    await replaceFile(cached, text);
    return cached;
  } catch (error) {
    throw unwritable(cached, error);
  }
}

function unwritable(path: string, cause: unknown): CorpusError {
  return new CorpusError("unwritable", `the statistics cannot be written (${errorCode(cause)})`, {
    path,
    cause,
  });
}

function sidecarPaths(corpus: Corpus): readonly [beside: string, cached: string] {
  const first = corpus.files[0];
  if (first === undefined) throw new Error("internal: a corpus has files");
  const cacheFolder = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return [`${first.path}.sparseloom.json`, join(cacheFolder, "sparseloom", `${corpus.fingerprint}.json`)];
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}

function parse(path: string, text: string, corpus: Corpus): CorpusStatistics | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, "is not JSON", cause);
  }
  if (!isObject(record)) throw damaged(path, "is not an object");
  if (record["version"] !== VERSION || record["fingerprint"] !== corpus.fingerprint) return undefined;
  const found = record["statistics"];
  if (!isObject(found)) throw damaged(path, "has no statistics");
  const numberOf = (name: string): number => {
    const value = found[name];
    if (typeof value !== "number" || !(value >= 0)) throw damaged(path, `has no "${name}"`);
    return value;
  };
  const { mean, exact, source } = found;
  const meanFits = Array.isArray(mean) && mean.length === corpus.dIn && mean.every(Number.isFinite);
  if (!meanFits || typeof exact !== "boolean" || (source !== "sample" && source !== "full")) {
    throw damaged(path, `has no statistics of vectors of ${corpus.dIn} numbers`);
  }
  const totalVariance = numberOf("totalVariance");
  return {
    rows: numberOf("rows"),
    sampledRows: numberOf("sampledRows"),
    exact,
    dIn: corpus.dIn,
    mean: mean as number[],
    totalVariance,
    meanNorm: numberOf("meanNorm"),
    meanSquareNorm: numberOf("meanSquareNorm"),
    meanCentredNorm: numberOf("meanCentredNorm"),
    // JSON has no Infinity, so this one is made again.
    gamma: gammaOf(mean as number[], totalVariance),
    source,
  };
}

function damaged(path: string, what: string, cause?: unknown): CorpusError {
  return new CorpusError("malformed", `${what}; delete it, it will be made again`, { path, cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Replaces a file so that a reader sees the old or the new one, whole. */
async function replaceFile(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    const handle = await open(partial, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
