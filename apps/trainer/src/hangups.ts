/**
 * Whether the process was to outlive its terminal, as under `nohup`, which ignores SIGHUP for the command that it starts.
 * Node sets ignored signals back to their default before any of our code runs, so that this must be told by other signs.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";

const HANGUP = 1n;
const ACCESS_MODE = 0o3;
const WRITE_ONLY = 0o1;

/** What Linux says of a process; undefined where it says nothing, as on other systems. */
function fileOfProcess(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    // No such system, or no such right: no sign.
    return undefined;
  }
}

/** Whether a process ignores SIGHUP; its children began so, too. */
function ignoresHangup(process: string | number): boolean {
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(fileOfProcess(`${process}/status`) ?? "")?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & HANGUP) !== 0n;
}

/** Where stdin is a terminal `nohup` puts something in its place that can be written alone, which nothing else does. */
function hasUnreadableInput(): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(fileOfProcess("self/fdinfo/0") ?? "")?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & ACCESS_MODE) === WRITE_ONLY;
}

/** The command that a shell (bash, zsh) started, which became this one. */
function startedAsNohup(): boolean {
  return basename(process.env["_"] ?? "") === "nohup";
}

/** Asked when the process begins: later its parent may be another. */
export const OUTLIVES_TERMINAL: boolean =
  ignoresHangup("self") || ignoresHangup(process.ppid) || hasUnreadableInput() || startedAsNohup();
