/**
 * The Arrow files of a folder: those that Hugging Face's `save_to_disk` listed in `state.json` (SAELens's activation
 * caches are such folders too), or, in any other folder, those that are Arrow by their first bytes or their names.
 *
 *   dataset/       state.json  dataset_info.json  data-00000-of-00002.arrow ...  (cache-<hash>.arrow: not data)
 *   DatasetDict/   dataset_dict.json  train/  test/ ...: each a dataset
 */
import { open, readFile, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CorpusError } from "./errors.ts";
import { errorCode, isMissing } from "./file-errors.ts";

/** What this package itself writes beside a corpus. */
const OWN_FILES: readonly string[] = [".sparseloom.json", ".partial"];

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
  if (splits !== undefined) return filesOfFolder(join(folder, onlySplit(folder, splits)));
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
  const listed = isObject(state) ? state["_data_files"] : undefined;
  if (!Array.isArray(listed)) {
    throw new CorpusError("malformed", 'has no list "_data_files"; is this a dataset of save_to_disk?', {
      path,
    });
  }
  if (listed.length === 0) throw new CorpusError("empty", "the dataset has no data files", { path: folder });
  const present = new Set(await attempt(folder, () => readdir(folder)));
  return listed.map((entry: unknown) => {
    const name = isObject(entry) ? entry["filename"] : undefined;
    if (typeof name !== "string" || name !== basename(name) || name === "" || name === "..") {
      throw new CorpusError(
        "malformed",
        `names the data file ${JSON.stringify(name)}, which is not one of its folder`,
        {
          path,
        },
      );
    }
    if (present.has(name)) return join(folder, name);
    throw new CorpusError(
      "not-found",
      `names the data file ${name}, which is not there: copy the whole folder`,
      {
        path,
      },
    );
  });
}

function onlySplit(folder: string, content: unknown): string {
  const path = join(folder, "dataset_dict.json");
  const splits: unknown = isObject(content) ? content["splits"] : undefined;
  const names: unknown[] = Array.isArray(splits) ? splits : [];
  const valid = names.filter((name) => typeof name === "string" && name === basename(name));
  const [only] = valid;
  if (typeof only !== "string" || valid.length !== names.length) {
    throw new CorpusError("malformed", 'has no list "splits" of folder names', { path });
  }
  if (valid.length === 1) return only;
  const what = `is a DatasetDict of the splits ${valid.join(", ")}; name one, for example ${join(folder, only)}`;
  throw new CorpusError("unsupported", what, { path: folder });
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw new CorpusError("unreadable", `cannot be read (${errorCode(cause)})`, { path, cause });
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CorpusError("malformed", "is not JSON", { path, cause });
  }
}

/** True when the first bytes are an Arrow file's magic, or a stream's mark and a length that can be one. */
async function beginsAsArrow(path: string): Promise<boolean> {
  return attempt(path, async () => {
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
