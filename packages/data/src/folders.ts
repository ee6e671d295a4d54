/**
 * The Arrow files of a folder: those that Hugging Face's `save_to_disk` listed in `state.json` (SAELens's activation
 * caches are such folders too), or, in any other folder, those that are Arrow by their first bytes or their names.
 *
 *   dataset/       state.json  dataset_info.json  data-00000-of-00002.arrow ...  (cache-<hash>.arrow: not data)
 *   DatasetDict/   dataset_dict.json  train/  test/ ...: each a dataset
 */
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { dataFileNames, onlySplit, parseJson } from "./dataset-files.ts";
import { CorpusError } from "./errors.ts";
import { errorCode } from "./file-errors.ts";
import { readIfThere } from "./whole-files.ts";

/** What this package itself writes beside a corpus. */
const OWN_FILES: readonly string[] = [".sparseloom.json", ".partial", ".partial.json", ".partial.lock"];

/** True for a file that this package wrote beside a corpus, or has not finished. */
export function isOwnFile(path: string): boolean {
  return OWN_FILES.some((ending) => path.endsWith(ending));
}

/**
 * The paths of a folder's data files, in no particular order.
 * @throws CorpusError not-found (no Arrow files, or not all that are listed), unsupported (several splits), malformed
 * (a damaged `state.json`), unreadable.
 */
export async function filesOfFolder(folder: string): Promise<readonly string[]> {
  const state = await readJson(join(folder, "state.json"));
  if (state !== undefined) return dataFiles(folder, state);
  const splits = await readJson(join(folder, "dataset_dict.json"));
  if (splits !== undefined) {
    const path = join(folder, "dataset_dict.json");
    return filesOfFolder(onlySplit(splits, path, folder, (split) => join(folder, split)));
  }
  const found: string[] = [];
  const entries = await attempt(folder, () => readdir(folder, { withFileTypes: true }));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() || entry.name.startsWith(".") || isOwnFile(path)) continue;
    if (
      isIndexFile(
        path,
        entries.map(({ name }) => name),
      )
    )
      continue;
    if (/\.(arrow|feather)$/.test(entry.name) || (await beginsAsArrow(path))) found.push(path);
  }
  if (found.length > 0) return found;
  const unfinished = entries.some(({ name }) => name === ".tmp_shards");
  const what = unfinished
    ? "the writing of this SAELens cache did not finish: there is no state.json, only .tmp_shards"
    : "the folder holds no Arrow files; name the folder that does, or a glob";
  throw new CorpusError("not-found", what, { path: folder });
}

/** True for a folder that `save_to_disk` wrote. */
export async function isDatasetFolder(folder: string): Promise<boolean> {
  return (await readJson(join(folder, "state.json"))) !== undefined;
}

/**
 * True when a file that a glob found is the index of a shuffled or selected dataset rather than data: datasets
 * keeps such files, `cache-<hash>.arrow`, beside the data.
 */
export async function isIndexOfDataset(path: string): Promise<boolean> {
  if (!INDEX_NAME.test(basename(path))) return false;
  const folder = dirname(path);
  return isIndexFile(path, await attempt(folder, () => readdir(folder)));
}

const INDEX_NAME = /^cache-[0-9a-z_]+\.arrow$/;

/** As `isIndexOfDataset`, by the names in its folder. */
export function isIndexFile(path: string, neighbours: readonly string[]): boolean {
  const ofDataset = neighbours.includes("state.json") || neighbours.includes("dataset_info.json");
  return ofDataset && INDEX_NAME.test(basename(path));
}

async function dataFiles(folder: string, state: unknown): Promise<readonly string[]> {
  const path = join(folder, "state.json");
  const names = dataFileNames(state, path);
  const present = new Set(await attempt(folder, () => readdir(folder)));
  const missing = names.find((name) => !present.has(name));
  if (missing === undefined) return names.map((name) => join(folder, name));
  const what = `names the data file ${missing}, which is not there: copy the whole folder`;
  throw new CorpusError("not-found", what, { path });
}

async function readJson(path: string): Promise<unknown> {
  const bytes = await readIfThere(path);
  return bytes === undefined ? undefined : parseJson(bytes.toString("utf8"), path);
}

/** True when the first bytes are an Arrow file's magic, or a stream's mark and a length that can be one. */
async function beginsAsArrow(path: string): Promise<boolean> {
  return attempt(path, async () => {
    // A pipe would be waited for.
    if (!(await stat(path)).isFile()) return false;
    await using file = await open(path, "r");
    const bytes = Buffer.alloc(8);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    if (bytes.toString("latin1", 0, 6) === "ARROW1") return true;
    const length = bytes.readInt32LE(4);
    return bytesRead === 8 && bytes.readInt32LE(0) === -1 && length > 0 && length % 8 === 0;
  });
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
}
