/**
 * Statistics kept beside the corpus, so that they are computed once: `<first file>.sparseloom.json`, or, where
 * that folder cannot be written or is on a server, a file in the user's cache folder; with row filters, a file for each
 * set of them. Valid only for the fingerprint and the filters that it names.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ColumnStatistics } from "./column-statistics.ts";
import type { Corpus, RowPlace } from "./corpus.ts";
import { CorpusError } from "./errors.ts";
import { errorCode } from "./file-errors.ts";
import { filtersKey } from "./filter/row-filter.ts";
import type { RowFilters } from "./filter/row-filter.ts";
import { isObject } from "./json.ts";
import { isRemote } from "./remote/address.ts";
import { userCacheFolder } from "./remote/options.ts";
import { readIfThere, replaceFile } from "./whole-files.ts";
import { gammaOf } from "./statistics-accumulator.ts";
import type { NormQuantiles } from "./statistics-accumulator.ts";
import type { CorpusStatistics } from "./statistics.ts";

/** The version of the file's layout; another one is ignored. */
const VERSION = 2;

/**
 * The statistics recorded for this corpus under these filters, beside it or in the cache folder; undefined when
 * there are none, or only those of another corpus (by fingerprint).
 * @throws CorpusError malformed when a sidecar of this corpus is damaged, unreadable.
 */
export async function readStatistics(
  corpus: Corpus,
  filters?: RowFilters,
): Promise<CorpusStatistics | undefined> {
  const key = filtersKey(filters);
  const { beside, cached } = sidecarPaths(corpus, key);
  for (const path of [beside, cached]) {
    if (path === undefined) continue;
    const bytes = await readIfThere(path);
    if (bytes === undefined) continue;
    const statistics = parse(path, bytes.toString("utf8"), corpus, key);
    if (statistics !== undefined) return statistics;
  }
  return undefined;
}

/**
 * Records statistics, atomically; replaces what was recorded before under the same filters.
 * @returns the path that was written.
 * @throws CorpusError unwritable when neither place can be written.
 */
export async function writeStatistics(
  corpus: Corpus,
  statistics: CorpusStatistics,
  filters?: RowFilters,
): Promise<string> {
  const key = filtersKey(filters);
  const record = { version: VERSION, fingerprint: corpus.fingerprint, filters: key, statistics };
  const text = `${JSON.stringify(record, undefined, 1)}\n`;
  const write = async (handle: FileHandle): Promise<void> => {
    await handle.writeFile(text);
    await handle.sync();
  };
  const { beside, cached } = sidecarPaths(corpus, key);
  if (beside !== undefined) {
    try {
      await replaceFile(beside, write);
      return beside;
    } catch (error) {
      if (!["EACCES", "EPERM", "EROFS"].includes(errorCode(error))) throw unwritable(beside, error);
    }
  }
  try {
    await mkdir(dirname(cached), { recursive: true });
    await replaceFile(cached, write);
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

function sidecarPaths(
  corpus: Corpus,
  key: string | undefined,
): { beside: string | undefined; cached: string } {
  const first = corpus.files[0];
  if (first === undefined) throw new Error("internal: a corpus has files");
  const which = key === undefined ? "" : `.${createHash("sha256").update(key).digest("hex").slice(0, 12)}`;
  return {
    beside:
      isRemote(first.path) || first.format === "synthetic"
        ? undefined
        : `${first.path}${which}.sparseloom.json`,
    cached: join(userCacheFolder(), `${corpus.fingerprint}${which}.json`),
  };
}

function parse(
  path: string,
  text: string,
  corpus: Corpus,
  key: string | undefined,
): CorpusStatistics | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, "is not JSON", cause);
  }
  if (!isObject(record)) throw damaged(path, "is not an object");
  if (record["version"] !== VERSION || record["fingerprint"] !== corpus.fingerprint) return undefined;
  if (record["filters"] !== key) return undefined;
  const found = record["statistics"];
  if (!isObject(found)) throw damaged(path, "has no statistics");
  const { exact, source, normQuantiles, nonFinitePlaces, outlierDimensions } = found;
  const numberOf = (name: string, of: Record<string, unknown> = found): number => {
    const value = of[name];
    if (typeof value !== "number" || !(value >= 0)) throw damaged(path, `has no "${name}"`);
    return value;
  };
  const perDimension = (name: string): number[] => {
    const values = found[name];
    if (Array.isArray(values) && values.length === corpus.dIn && values.every(Number.isFinite)) {
      return values as number[];
    }
    throw damaged(path, `has no "${name}" of vectors of ${corpus.dIn} numbers`);
  };
  if (typeof exact !== "boolean" || (source !== "sample" && source !== "full")) {
    throw damaged(path, "does not say what its statistics come from");
  }
  if (!isObject(normQuantiles) || !isWholeNumbers(outlierDimensions) || !isPlaces(nonFinitePlaces)) {
    throw damaged(path, "has incomplete statistics");
  }
  const { columns } = found;
  if (corpus.columns.length > 1 && !(Array.isArray(columns) && columns.every(isColumn))) {
    throw damaged(path, "has no statistics of its columns");
  }
  const mean = perDimension("mean");
  const totalVariance = numberOf("totalVariance");
  const quantiles = ["least", "p1", "p10", "p50", "p90", "p99", "p999", "greatest"].map((name) => [
    name,
    numberOf(name, normQuantiles),
  ]);
  return {
    rows: numberOf("rows"),
    sampledRows: numberOf("sampledRows"),
    exact,
    source,
    dIn: corpus.dIn,
    mean,
    variance: perDimension("variance"),
    totalVariance,
    meanNorm: numberOf("meanNorm"),
    meanSquareNorm: numberOf("meanSquareNorm"),
    meanCentredNorm: numberOf("meanCentredNorm"),
    // JSON has no Infinity, so this one is made again.
    gamma: gammaOf(mean, totalVariance),
    normQuantiles: Object.fromEntries(quantiles) as unknown as NormQuantiles,
    topVarianceShare: numberOf("topVarianceShare"),
    outlierDimensions,
    maxAbs: perDimension("maxAbs"),
    maxAbsCentred: perDimension("maxAbsCentred"),
    typicalMaxAbs: perDimension("typicalMaxAbs"),
    typicalMaxAbsCentred: perDimension("typicalMaxAbsCentred"),
    filteredRows: numberOf("filteredRows"),
    nonFiniteRows: numberOf("nonFiniteRows"),
    nonFinitePlaces,
    ...(corpus.columns.length > 1 ? { columns: columns as ColumnStatistics[] } : {}),
  };
}

function isColumn(value: unknown): value is ColumnStatistics {
  if (!isObject(value) || typeof value["column"] !== "string") return false;
  const numbers = ["dIn", "totalVariance", "meanNorm", "meanSquareNorm", "meanCentredNorm", "medianNorm"];
  return numbers.every((name) => typeof value[name] === "number" && value[name] >= 0);
}

function isWholeNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(Number.isInteger);
}

function isPlaces(value: unknown): value is RowPlace[] {
  const isPlace = (place: unknown): boolean =>
    isObject(place) &&
    typeof place["path"] === "string" &&
    Number.isInteger(place["batch"]) &&
    Number.isInteger(place["row"]);
  return Array.isArray(value) && value.every(isPlace);
}

function damaged(path: string, what: string, cause?: unknown): CorpusError {
  return new CorpusError("malformed", `${what}; delete it, it will be made again`, { path, cause });
}
