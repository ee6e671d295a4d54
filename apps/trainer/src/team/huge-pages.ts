/**
 * Pages of 2 MiB for the memory of a run. A step reads rows of weights and of the mini-batch scattered over it, and with
 * pages of 4 KiB the processor must look up where nearly each of them lies. Linux gives large ones to memory that asks,
 * which only a call of the system does: by Node's experimental `node:ffi`. No bit of a result depends on it.
 */
import { readFileSync } from "node:fs";
import { RequestError, RunError } from "../errors.ts";

/** When Linux gives memory large pages: always, when asked, or never; undefined on other systems. */
export type HugePages = "always" | "madvise" | "never" | undefined;

const SETTING = "/sys/kernel/mm/transparent_hugepage/enabled";

/** Linux's MADV_HUGEPAGE. */
const ADVICE = 14;

/** What the system is set to: the word in brackets. */
export function hugePagesOf(setting: string = readSetting()): HugePages {
  const word = setting.match(/\[(\w+)\]/)?.[1];
  return word === "always" || word === "madvise" || word === "never" ? word : undefined;
}

function readSetting(): string {
  try {
    return readFileSync(SETTING, "utf8");
  } catch {
    // Not Linux, or one without large pages.
    return "";
  }
}

/**
 * Asks for large pages for memory that nothing was written to yet.
 *
 * @throws RequestError where the system has none, or this Node cannot ask
 */
export function adviseHugePages(
  buffers: readonly (ArrayBuffer | SharedArrayBuffer)[],
  setting: HugePages = hugePagesOf(),
): void {
  if (setting === "always") return;
  const ffi = process.getBuiltinModule("node:ffi");
  if (setting !== "madvise" || ffi === undefined) {
    const wrong =
      setting === "madvise" ? `Node ${process.version} has no node:ffi` : `${SETTING} is not madvise`;
    throw new RequestError(
      `--experimental-huge-pages cannot be had here: ${wrong}; leave it out, or say --no-experimental-huge-pages`,
    );
  }
  using library = ffi.dlopen(null, { madvise: { arguments: ["u64", "u64", "i32"], return: "i32" } });
  const { madvise } = library.functions;
  for (const buffer of buffers) {
    const status = madvise(ffi.getRawPointer(new Uint8Array(buffer)), BigInt(buffer.byteLength), ADVICE);
    if (status !== 0) throw new RunError(`the system refused huge pages for ${buffer.byteLength} bytes`);
  }
}
