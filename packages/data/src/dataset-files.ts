/**
 * What the JSON files say that Hugging Face's `save_to_disk` writes beside a dataset's data: which files are data, and
 * which splits there are. Knows neither disks nor servers.
 */
import { basename } from "node:path";
import { CorpusError } from "./errors.ts";
import { isObject } from "./json.ts";

/** @throws CorpusError malformed. */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CorpusError("malformed", "is not JSON", { path, cause });
  }
}

/**
 * The names of the data files that `state.json` lists.
 * @param path of that file.
 * @throws CorpusError malformed; empty when it lists none.
 */
export function dataFileNames(state: unknown, path: string): readonly string[] {
  const listed = isObject(state) ? state["_data_files"] : undefined;
  if (!Array.isArray(listed)) {
    const what = 'has no list "_data_files"; is this a dataset of save_to_disk?';
    throw new CorpusError("malformed", what, { path });
  }
  if (listed.length === 0) throw new CorpusError("empty", "the dataset has no data files", { path });
  return listed.map((entry: unknown) => {
    const name = isObject(entry) ? entry["filename"] : undefined;
    if (typeof name === "string" && isName(name)) return name;
    const what = `names the data file ${JSON.stringify(name)}, which is not one of its folder`;
    throw new CorpusError("malformed", what, { path });
  });
}

/**
 * The folder of the one split that `dataset_dict.json` names.
 * @param path of that file, in `folder`.
 * @param folderOf a split's folder.
 * @throws CorpusError malformed; unsupported when there are several.
 */
export function onlySplit(
  content: unknown,
  path: string,
  folder: string,
  folderOf: (split: string) => string,
): string {
  const splits: unknown = isObject(content) ? content["splits"] : undefined;
  const names: unknown[] = Array.isArray(splits) ? splits : [];
  const valid = names.filter((name) => typeof name === "string" && isName(name));
  const [only] = valid;
  if (typeof only !== "string" || valid.length !== names.length) {
    throw new CorpusError("malformed", 'has no list "splits" of folder names', { path });
  }
  if (valid.length === 1) return folderOf(only);
  const what = `is a DatasetDict of the splits ${valid.join(", ")}; name one, for example ${folderOf(only)}`;
  throw new CorpusError("unsupported", what, { path: folder });
}

/** True for the name of something in the folder itself. */
function isName(name: string): boolean {
  return name === basename(name) && !["", ".", ".."].includes(name);
}
