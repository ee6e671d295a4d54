/**
 * The Arrow files of a folder on an HTTP server, which lists none: those that `state.json` names where `save_to_disk`
 * wrote the folder, else shards by its names, `data-00000-of-00004.arrow`, found by the first.
 */
import { dataFileNames, onlySplit, parseJson } from "../dataset-files.ts";
import { CorpusError } from "../errors.ts";
import { errorCode } from "../file-errors.ts";
import type { TransferLimits } from "./options.ts";
import { mayPass, withAttempts } from "./remote-file.ts";
import { TransferError } from "./source.ts";
import type { RangeResponse, RangeSource } from "./source.ts";

/** What is asked of the server. */
export interface FolderReader {
  /** The whole of a small file; undefined where there is none that may be read. */
  text(address: string): Promise<string | undefined>;
  /** Whether there is a file that may be read. */
  exists(address: string): Promise<boolean>;
}

/** Numbers of shards that are tried; `save_to_disk` makes shards of 500 MB. */
const MOST_SHARDS = 64;
/** Of them at a time. */
const TRIED_AT_A_TIME = 8;
/** More than the list of any dataset's files takes. */
const MOST_TEXT_BYTES = 2 ** 24;
const MISSING: readonly number[] = [401, 403, 404, 410];

/** True for an address of a folder: its path ends with a slash. */
export function isHttpFolder(address: string): boolean {
  return URL.parse(address)?.pathname.endsWith("/") === true;
}

/**
 * The addresses of a folder's files, with what follows a `?` in the folder's.
 * @throws CorpusError not-found, malformed, empty, unsupported (a folder of several splits), and what reading throws.
 */
export async function filesOfHttpFolder(folder: string, reader: FolderReader): Promise<readonly string[]> {
  const inFolder = (name: string): string => {
    const address = new URL(folder);
    address.pathname += name.split("/").map(encodeURIComponent).join("/");
    return address.href;
  };
  const json = async (name: string): Promise<unknown> => {
    const text = await reader.text(inFolder(name));
    return text === undefined ? undefined : parseJson(text, inFolder(name));
  };
  const state = await json("state.json");
  if (state !== undefined) return dataFileNames(state, inFolder("state.json")).map(inFolder);
  const splits = await json("dataset_dict.json");
  if (splits !== undefined) {
    const folderOf = (split: string): string => inFolder(`${split}/`);
    const split = onlySplit(splits, inFolder("dataset_dict.json"), folder, folderOf);
    return await filesOfHttpFolder(split, reader);
  }
  for (let first = 1; first <= MOST_SHARDS; first += TRIED_AT_A_TIME) {
    const counts = Array.from({ length: TRIED_AT_A_TIME }, (_, i) => first + i);
    const found = await Promise.all(counts.map((count) => reader.exists(inFolder(shardName(0, count)))));
    const count = counts[found.indexOf(true)];
    if (count !== undefined) return Array.from({ length: count }, (_, i) => inFolder(shardName(i, count)));
  }
  const what = `there is no state.json to be read, and no data-00000-of-000NN.arrow with NN up to ${MOST_SHARDS}; an HTTP server has no list of files: give each file's address`;
  throw new CorpusError("not-found", what, { path: folder });
}

/**
 * Asks a server, again where a failure may pass. What is missing and what may not be read is the same: servers in front of
 * S3 answer 403 for both.
 * @param open an address as a source of ranges.
 */
export function folderReader(
  open: (address: string) => RangeSource,
  limits: TransferLimits,
  signal: AbortSignal | undefined,
): FolderReader {
  const ask = async <T>(
    address: string,
    bytes: number,
    take: (response: RangeResponse, progress: (bytes: number) => void) => Promise<T>,
  ): Promise<T | undefined> => {
    const source = open(address);
    return await withAttempts(source, limits, signal, async (attempt, progress) => {
      const response = await source.request(0, bytes - 1, undefined, attempt);
      const { status, detail } = response;
      try {
        if (status === 200 || status === 206) return await take(response, progress);
        if (MISSING.includes(status)) return undefined;
        const what = `the server answered ${status}: ${detail}`;
        if (mayPass(status)) {
          throw new TransferError(what, { retryAfter: response.retryAfter });
        }
        throw new CorpusError("unreadable", what, { path: address });
      } finally {
        response.body.destroy();
      }
    });
  };
  return {
    text: async (address) =>
      await ask(
        address,
        MOST_TEXT_BYTES,
        async ({ body }, progress) => await textOf(address, body, progress),
      ),
    exists: async (address) => (await ask(address, 1, () => Promise.resolve(true))) ?? false,
  };
}

async function textOf(
  path: string,
  body: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.byteLength;
      progress(chunk.byteLength);
      // A server that knows no ranges may send whatever it likes.
      if (length > MOST_TEXT_BYTES) break;
    }
  } catch (cause) {
    throw new TransferError(`the connection broke (${errorCode(cause)})`, { cause });
  }
  if (length <= MOST_TEXT_BYTES) return Buffer.concat(chunks).toString("utf8");
  throw new CorpusError("malformed", `has more than ${MOST_TEXT_BYTES} bytes; is this a dataset's?`, {
    path,
  });
}

function shardName(index: number, count: number): string {
  const digits = (number: number): string => String(number).padStart(5, "0");
  return `data-${digits(index)}-of-${digits(count)}.arrow`;
}
